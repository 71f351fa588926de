"""CIFAR's images with the labels that people gave them: CIFAR-10N and CIFAR-100N.

Wei, Zhu, Cheng, Liu, Niu and Liu, *Learning with Noisy Labels Revisited: A Study Using Real-World Human
Annotations* (ICLR 2022), asked three people for each image of CIFAR-10, and one for each of CIFAR-100.
"""

import hashlib
import io
import pickle
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import DataSet
from dilution.data.builtin import cifar
from dilution.data.builtin.safe_pickle import read_pickle
from dilution.data.download import Finding
from dilution.errors import DataError

_LARGEST = 1 << 26  # bytes of a file of labels, packed and unpacked; the largest original has 2.4 million
_CLEAN = "clean_label"
_SOURCE = "http://noisylabels.com or https://github.com/UCSC-REAL/cifar-10-100n (folder data)"
_AS_SHARED = f"Take it as its authors share it, from {_SOURCE}."

_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, OSError, ValueError),
    *(RuntimeError, MemoryError),  # encrypted; an array that says that it is larger than memory
)


@dataclass(frozen=True)
class Human:
    """One set of labels that people gave.

    Parameters
    ----------
    name
        How results call the data set with these labels.
    about
        What they are.
    images
        The data set that they belong to.
    file
        Name of the file that holds them, without its ending.
    key
        Under which it holds them.
    """

    name: str
    about: str
    images: cifar.Cifar
    file: str
    key: str

    @property
    def folder(self) -> str:
        """The folder in which the file is looked for first."""
        return self.name.partition("/")[0]


def _cifar10n(name: str, about: str, key: str) -> Human:
    return Human(f"cifar10n/{name}", f"cifar10, {about}", cifar.CIFAR10, "CIFAR-10_human", key)


HUMAN = (
    _cifar10n("worse", "a wrong label where any of three people gave one", "worse_label"),
    _cifar10n("aggre", "the label of most of three people", "aggre_label"),
    _cifar10n("random1", "the label of a first person", "random_label1"),
    _cifar10n("random2", "the label of a second person", "random_label2"),
    _cifar10n("random3", "the label of a third person", "random_label3"),
    Human(
        "cifar100n/noisy",
        "cifar100, the label of one person",
        cifar.CIFAR100,
        "CIFAR-100_human",
        "noisy_label",
    ),
)
"""The sets of labels there are."""


def load(which: Human, root: Path) -> DataSet:
    """Return CIFAR's images and true labels, with the labels that people gave as observed ones.

    Parameters
    ----------
    which
        One of ``HUMAN``.
    root
        The folder of downloaded data. The file of labels is looked for in ``root/cifar10n`` (or
        ``cifar100n``) and ``root``: ``CIFAR-10_human.pt`` as its authors share it, or a ``.npz`` file of the
        same arrays, or one ``.npy`` file for each of the two that are needed.

    Returns
    -------
    DataSet
        Its training half has ``observed``; nobody labelled the test half.

    Raises
    ------
    DataError
        If the file is missing, damaged, or does not hold what it should; if its clean labels are not those
        of the images, one by one.
    """
    found = _found(which, root)
    if not found:
        raise DataError(_missing(which, root))
    arrays = _read(found)
    for key in (_CLEAN, which.key):
        if key not in arrays:
            raise DataError(
                f"{found[0]} holds {', '.join(arrays) or 'nothing'}; {_CLEAN} and {which.key} are needed. "
                f"{_AS_SHARED}"
            )
    data = cifar.load(which.images, root)
    clean, seen = (_labels(arrays[key], key, found[0], data) for key in (_CLEAN, which.key))
    differ = (clean != data.train.labels).nonzero()[:, 0]
    if len(differ):
        raise DataError(
            f"{found[0]}: {_CLEAN} differs from the labels of {which.images.name} at {len(differ):,} of "
            f"{len(clean):,} images, the first being number {int(differ[0])}; both must be in one order, "
            f"or labels would be set beside other images. {_AS_SHARED}"
        )
    wrong = float((seen != data.train.labels).double().mean())
    note = (
        f"Observed labels are {which.key} of {found[0].name}; {wrong:.1%} of them differ from the true ones."
    )
    return replace(data, name=which.name, train=replace(data.train, observed=seen), notes=(*data.notes, note))


def identity(which: Human, root: Path, data: DataSet) -> str:
    """Return what tells `data` from others of its name: CIFAR's identity and SHA-256 of observed labels."""
    observed = data.train.observed
    content = b"" if observed is None else observed.numpy().astype("<i8").tobytes()
    labels = hashlib.sha256(content).hexdigest()
    return "+".join(filter(None, (cifar.identity(which.images, root, data), labels)))


def check(which: Human, root: Path) -> list[Finding]:
    """Return one finding for each file, of the labels and of the images.

    No checksum of the original labels is kept.
    """
    paths = _found(which, root)
    mine = [_finding(path) for path in paths] or [Finding(_place(which, root), "missing", "", 0)]
    return mine + cifar.check(which.images, root)


def fetch(which: Human, root: Path) -> list[Finding]:
    """Download the images if they are not there; return what is there afterwards.

    Raises
    ------
    DataError
        If the labels are not there: their licence leaves it to you to fetch them. If the images cannot be
        downloaded.
    """
    if not _found(which, root):
        raise DataError(_missing(which, root))
    cifar.fetch(which.images, root)
    return check(which, root)


def _place(which: Human, root: Path) -> Path:
    return root / which.folder / f"{which.file}.pt"


def _missing(which: Human, root: Path) -> str:
    return (
        f"{which.name} needs {_place(which, root)}, which is not there. It is not downloaded for you: its "
        f"licence, CC BY-NC 4.0, allows no commercial use. Take it from {_SOURCE}, and put it there."
    )


def _found(which: Human, root: Path) -> list[Path]:
    """Return the files that hold the labels: one, or one for each array, or none."""
    for folder in (root / which.folder, root):
        for names in ([f"{which.file}.pt"], [f"{which.file}.npz"], [f"{_CLEAN}.npy", f"{which.key}.npy"]):
            paths = [folder / name for name in names]
            if all(path.is_file() for path in paths):
                return paths
    return []


def _finding(path: Path) -> Finding:
    content = _content(path)
    return Finding(path, "present", hashlib.sha256(content).hexdigest(), len(content))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
    if len(content) > _LARGEST:
        raise DataError(f"{path} has more than {_LARGEST:,} bytes; a file of labels has less. {_AS_SHARED}")
    return content


def _read(paths: list[Path]) -> dict[str, Any]:
    """Return what the files hold, by its name. Nothing in them is run."""
    if paths[0].suffix == ".pt":
        return read_pickle(_pickle_in(paths[0]), str(paths[0]), saved_by_torch=True)
    arrays: dict[str, Any] = {}
    for path in paths:
        try:
            content = io.BytesIO(_content(path))
            if path.suffix == ".npz":
                _check_sizes(content, path)
            loaded = np.load(content, allow_pickle=False)
            arrays |= {path.stem: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except _BROKEN as error:
            raise DataError(
                f"{path} cannot be read ({error}); it must be a whole {path.suffix} file of plain numbers. "
                "Write it with numpy.save or numpy.savez."
            ) from error
    return arrays


def _check_sizes(content: io.BytesIO, path: Path) -> None:
    """Refuse a zip whose parts would take more memory than labels do, or are named like other places."""
    with zipfile.ZipFile(content) as opened:
        parts = opened.infolist()
        for part in parts:
            place = PurePosixPath(part.filename.replace("\\", "/"))
            if place.is_absolute() or ".." in place.parts:
                raise DataError(
                    f"{path} is refused: a part of it is named {part.filename!r}, which is outside it."
                )
    if sum(part.file_size for part in parts) > _LARGEST:
        raise DataError(
            f"{path} is refused: its parts say that they have more than {_LARGEST:,} bytes. {_AS_SHARED}"
        )
    content.seek(0)


def _pickle_in(path: Path) -> bytes:
    """Return the pickle in a file that ``torch.save`` wrote: ``data.pkl`` in a zip."""
    content = io.BytesIO(_content(path))
    try:
        _check_sizes(content, path)
        with zipfile.ZipFile(content) as opened:
            names = [name for name in opened.namelist() if PurePosixPath(name).name == "data.pkl"]
            if len(names) != 1:
                raise DataError(
                    f"{path} holds {len(names)} parts named data.pkl; it must hold one. {_AS_SHARED}"
                )
            with opened.open(names[0]) as part:
                found = part.read(_LARGEST + 1)  # a part may be larger than it says
    except _BROKEN as error:
        raise DataError(f"{path} is no whole file of torch.save ({error}). {_AS_SHARED}") from error
    if len(found) > _LARGEST:
        raise DataError(f"{path} is refused: its data.pkl has more than {_LARGEST:,} bytes. {_AS_SHARED}")
    return found


def _labels(values: Any, key: str, path: Path, data: DataSet) -> torch.Tensor:
    """Return labels as int64, if they are labels of the training images."""
    array: NDArray[Any] = np.asarray(values)
    wanted = len(data.train)
    if array.dtype.kind not in "iu" or array.shape != (wanted,):
        raise DataError(
            f"{path}: {key} is {array.dtype} of shape {array.shape}; it must be whole numbers, one for each "
            f"of {wanted:,} images. {_AS_SHARED}"
        )
    low, high, classes = int(array.min()), int(array.max()), len(data.train.classes)
    if low < 0 or high >= classes:
        raise DataError(
            f"{path}: {key} runs from {low} to {high}; labels of {classes} classes lie in 0 … {classes - 1}. "
            f"{_AS_SHARED}"
        )
    return torch.from_numpy(array.astype(np.int64))
