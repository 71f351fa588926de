"""CIFAR's images with the labels of human annotators: CIFAR-10N and CIFAR-100N.

Wei, Zhu, Cheng, Liu, Niu and Liu, *Learning with Noisy Labels Revisited: A Study Using Real-World Human
Annotations* (ICLR 2022), asked three annotators per image of CIFAR-10, and one per image of CIFAR-100.
"""

import hashlib
import io
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import DataSet
from dilution.data.builtin.base import Description
from dilution.data.builtin.cifar import CIFAR10, CIFAR100, Cifar
from dilution.data.builtin.safe_pickle import read_pickle
from dilution.data.download import FileStatus
from dilution.errors import DataError
from dilution.utils.npz_size import check_array_fits, check_arrays_fit, load_array, load_arrays
from dilution.utils.zip_directory import open_zip

_MAX_BYTES = 1 << 26  # of a file of labels, packed and unpacked; the largest original has 2.4 million
_CLEAN = "clean_label"
_SOURCE = "http://noisylabels.com or https://github.com/UCSC-REAL/cifar-10-100n (folder data)"
_USE_ORIGINAL = f"Use the file that its authors share: {_SOURCE}."

_READ_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, OSError, ValueError),
    *(
        RuntimeError,
        MemoryError,
        NotImplementedError,
        OverflowError,
    ),  # an encrypted file; a header that announces an array larger than memory
)


@dataclass(frozen=True)
class HumanLabels:
    """A :class:`BuiltinDataSet`: CIFAR with one set of human labels as observed labels.

    The file of labels is looked for in ``root/cifar10n`` (or ``cifar100n``) and ``root``:
    ``CIFAR-10_human.pt`` as its authors share it, a ``.npz`` file of the same arrays, or one ``.npy`` file
    for each of the two arrays that are needed.

    Parameters
    ----------
    name, about
        As of :class:`Description`.
    images
        Data set of the images.
    file
        Name of the file of labels, without its suffix.
    key
        Key of the labels in the file.
    """

    name: str
    about: str
    images: Cifar
    file: str
    key: str

    @property
    def description(self) -> Description:
        """Description of the data set."""
        files = (f"{self._folder}/{self.file}.pt", *self.images.description.files)
        return replace(self.images.description, name=self.name, about=self.about, files=files)

    def load(self, root: Path) -> DataSet:
        """Return the data set; its train split has observed labels, its test split has none.

        Raises
        ------
        DataError
            If the file of labels is missing, damaged or has other content, or its clean labels differ from
            those of the images.
        """
        paths = self._locate(root)
        if not paths:
            raise DataError(self._missing_message(root))
        arrays = _read(paths)
        for key in (_CLEAN, self.key):
            if key not in arrays:
                raise DataError(
                    f"{paths[0]} holds {', '.join(arrays) or 'nothing'}; {_CLEAN} and {self.key} are needed. "
                    f"{_USE_ORIGINAL}"
                )
        data = self.images.load(root)
        clean, observed = (_check_labels(arrays[key], key, paths[0], data) for key in (_CLEAN, self.key))
        differing = (clean != data.train.labels).nonzero()[:, 0]
        if len(differing):
            raise DataError(
                f"{paths[0]}: {_CLEAN} differs from the labels of {self.images.name} for "
                f"{len(differing):,} of {len(clean):,} images, the first is image {int(differing[0])}; "
                f"labels and images must be in one order. {_USE_ORIGINAL}"
            )
        noise_rate = float((observed != data.train.labels).double().mean())
        note = (
            f"Observed labels are {self.key} of {paths[0].name}; {noise_rate:.1%} of them differ from the "
            "true labels."
        )
        train = replace(data.train, observed=observed)
        return replace(data, name=self.name, train=train, notes=(*data.notes, note))

    def fetch(self, root: Path) -> list[FileStatus]:
        """Download the images if they are missing, and return the state of each file.

        Raises
        ------
        DataError
            If the file of labels is missing: under its licence the user downloads it. If the images cannot be
            downloaded.
        """
        if not self._locate(root):
            raise DataError(self._missing_message(root))
        self.images.fetch(root)
        return self.check(root)

    def check(self, root: Path) -> list[FileStatus]:
        """Return the state of each file; of the labels no checksum of the original is known."""
        labels = [_status(path) for path in self._locate(root)]
        return (labels or [FileStatus(self._path(root), "missing", "", 0)]) + self.images.check(root)

    def is_present(self, root: Path) -> bool:
        """Return whether the files of labels and images exist, without verifying them."""
        return bool(self._locate(root)) and self.images.is_present(root)

    def paths(self, root: Path) -> list[Path]:
        """Return the files that exist and are read."""
        return [*self._locate(root), *self.images.paths(root)]

    def identity(self, root: Path, load: Callable[[], DataSet]) -> str:
        """Return the identity of the images and the SHA-256 of the observed labels."""
        observed = load().train.observed
        content = b"" if observed is None else observed.numpy().astype("<i8").tobytes()
        labels = hashlib.sha256(content).hexdigest()
        return "+".join(filter(None, (self.images.identity(root, load), labels)))

    @property
    def _folder(self) -> str:
        return self.name.partition("/")[0]

    def _path(self, root: Path) -> Path:
        return root / self._folder / f"{self.file}.pt"

    def _missing_message(self, root: Path) -> str:
        return (
            f"{self.name} needs {self._path(root)}, which is missing. It is not downloaded for you: its "
            f"licence, CC BY-NC 4.0, allows no commercial use. Download it from {_SOURCE}."
        )

    def _locate(self, root: Path) -> list[Path]:
        """Return the files of the labels: one file, or one per array, or none."""
        candidates = (
            [f"{self.file}.pt"],
            [f"{self.file}.npz"],
            [f"{_CLEAN}.npy", f"{self.key}.npy"],
        )
        for folder in (root / self._folder, root):
            for names in candidates:
                paths = [folder / name for name in names]
                if all(path.is_file() for path in paths):
                    return paths
        return []


def _cifar10n(name: str, about: str, key: str) -> HumanLabels:
    return HumanLabels(f"cifar10n/{name}", f"cifar10 with {about}", CIFAR10, "CIFAR-10_human", key)


HUMAN_LABELS = (
    _cifar10n("worse", "a wrong label where any of three annotators gave one", "worse_label"),
    _cifar10n("aggre", "the majority label of three annotators", "aggre_label"),
    _cifar10n("random1", "the label of a first annotator", "random_label1"),
    _cifar10n("random2", "the label of a second annotator", "random_label2"),
    _cifar10n("random3", "the label of a third annotator", "random_label3"),
    HumanLabels(
        "cifar100n/noisy",
        "cifar100 with the label of one annotator",
        CIFAR100,
        "CIFAR-100_human",
        "noisy_label",
    ),
)
"""All sets of human labels."""


def _status(path: Path) -> FileStatus:
    content = _content(path)
    return FileStatus(path, "present", hashlib.sha256(content).hexdigest(), len(content))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
    if len(content) > _MAX_BYTES:
        raise DataError(
            f"{path} has more than {_MAX_BYTES:,} bytes; a file of labels has fewer. {_USE_ORIGINAL}"
        )
    return content


def _read(paths: list[Path]) -> dict[str, Any]:
    """Return the arrays in the files by name; no code in them is executed."""
    if paths[0].suffix == ".pt":
        return read_pickle(_torch_pickle(paths[0]), str(paths[0]), saved_by_torch=True)
    arrays: dict[str, Any] = {}
    for path in paths:
        try:
            content = io.BytesIO(_content(path))
            if path.suffix == ".npz":
                _check_members(content, path)
                check_arrays_fit(content, _MAX_BYTES)
                arrays |= load_arrays(content)
            else:
                check_array_fits(content, content.getbuffer().nbytes, path.stem, _MAX_BYTES)
                arrays[path.stem] = load_array(content, path.stem)
        except _READ_ERRORS as error:
            raise DataError(
                f"{path} cannot be read ({error}); it must be a whole {path.suffix} file of plain numbers. "
                "Write it with numpy.save or numpy.savez."
            ) from error
    return arrays


def _check_members(content: io.BytesIO, path: Path) -> None:
    """Raise DataError if a zip unpacks to more than _MAX_BYTES, or a member is named outside the zip."""
    with open_zip(content) as opened:
        members = opened.infolist()
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"{path} is refused: its member {member.filename!r} is named outside the file.")
    if sum(member.file_size for member in members) > _MAX_BYTES:
        raise DataError(f"{path} is refused: it unpacks to more than {_MAX_BYTES:,} bytes. {_USE_ORIGINAL}")
    content.seek(0)


def _torch_pickle(path: Path) -> bytes:
    """Return the pickle in a file of ``torch.save``: ``data.pkl`` in a zip.

    ``torch.load(weights_only=True)`` would execute no code either, but a file of 5 kB can make it build
    arrays of 1.6 GB: one text, named by many of them.
    """
    content = io.BytesIO(_content(path))
    try:
        _check_members(content, path)
        with open_zip(content) as opened:
            names = [name for name in opened.namelist() if PurePosixPath(name).name == "data.pkl"]
            if len(names) != 1:
                raise DataError(
                    f"{path} holds {len(names)} members named data.pkl; it must hold one. {_USE_ORIGINAL}"
                )
            with opened.open(names[0]) as member:
                pickled = member.read(_MAX_BYTES + 1)  # a member may be larger than its header says
    except _READ_ERRORS as error:
        raise DataError(f"{path} is no whole file of torch.save ({error}). {_USE_ORIGINAL}") from error
    if len(pickled) > _MAX_BYTES:
        raise DataError(
            f"{path} is refused: its data.pkl has more than {_MAX_BYTES:,} bytes. {_USE_ORIGINAL}"
        )
    return pickled


def _check_labels(values: Any, key: str, path: Path, data: DataSet) -> torch.Tensor:
    """Return labels as int64; raise DataError unless there is one label of a class per training image."""
    labels: NDArray[Any] = np.asarray(values)
    n, n_classes = len(data.train), len(data.train.classes)
    if labels.dtype.kind not in "iu" or labels.shape != (n,):
        raise DataError(
            f"{path}: {key} is {labels.dtype} of shape {labels.shape}; it must be whole numbers, one for "
            f"each of {n:,} images. {_USE_ORIGINAL}"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise DataError(
            f"{path}: {key} runs from {low} to {high}; labels of {n_classes} classes lie in "
            f"0 … {n_classes - 1}. {_USE_ORIGINAL}"
        )
    return torch.from_numpy(labels.astype(np.int64))
