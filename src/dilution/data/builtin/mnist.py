"""MNIST: four IDX files, found or downloaded, and verified by checksum whenever they are read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.builtin import idx
from dilution.data.download import Finding, download
from dilution.errors import DataError

CLASSES = tuple(str(digit) for digit in range(10))

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


@dataclass(frozen=True)
class Checksums:
    """SHA-256 of one file: unpacked, which is what counts, and gzipped as the mirrors send it."""

    content: str
    sent: str


FILES = {
    "train-images-idx3-ubyte": Checksums(
        content="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        sent="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte": Checksums(
        content="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        sent="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte": Checksums(
        content="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        sent="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte": Checksums(
        content="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        sent="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}


def load(root: Path, mirrors: Sequence[str] = MIRRORS) -> DataSet:
    """Return MNIST, downloading only the files that are missing.

    Parameters
    ----------
    root
        The folder of downloaded data; the files are looked for in ``root/mnist`` and ``root``,
        gzipped and plain.
    mirrors
        URLs of folders, tried in turn.

    Returns
    -------
    DataSet
        60,000 and 10,000 images, uint8 of shape (n, 1, 28, 28).

    Raises
    ------
    DataError
        If a file is altered, or missing and cannot be downloaded.
    """
    missing = [name for name in FILES if locate(name, root) is None]
    if missing:
        for name in FILES.keys() - missing:
            _read(name, root)  # a damaged file is reported before anything is downloaded beside it
    for name in missing:
        _download(name, root, mirrors)
    return DataSet("mnist", _half("train", root), _half("t10k", root))


def fetch(root: Path, mirrors: Sequence[str] = MIRRORS) -> list[Finding]:
    """Download what is missing or altered; return what is there afterwards.

    Raises
    ------
    DataError
        If the folder cannot be written, or no mirror sends a file.
    """
    for name, finding in zip(FILES, check(root), strict=True):
        if finding.state == "present":
            continue
        try:
            _download(name, root, mirrors)
        except DataError as error:
            if finding.state == "missing":
                raise
            raise DataError(f"{finding.file} is there but altered, and {error}") from error
    return check(root)


def check(root: Path) -> list[Finding]:
    """Return one finding for each of the four files; nothing is written or downloaded."""
    return [_finding(name, root) for name in FILES]


def locate(name: str, root: Path) -> Path | None:
    """Return where a file is, or None. ``root/mnist/*.gz`` comes first: downloads go there."""
    candidates = [folder / (name + suffix) for folder in (root / "mnist", root) for suffix in (".gz", "")]
    try:
        return next((path for path in candidates if path.is_file()), None)
    except PermissionError as error:
        raise DataError(
            f"{root} cannot be searched ({error.strerror}); it must be a folder that you may read. "
            "Name another with --data-root or DILUTION_DATA."
        ) from error


def _download(name: str, root: Path, mirrors: Sequence[str]) -> None:
    download(name + ".gz", FILES[name].sent, root / "mnist", mirrors)


def _finding(name: str, root: Path) -> Finding:
    path = locate(name, root)
    if path is None:
        return Finding(root / "mnist" / (name + ".gz"), "missing", "", 0, FILES[name].content)
    size = path.stat().st_size
    try:
        sha256 = hashlib.sha256(idx.unpack(path)).hexdigest()
    except DataError:
        return Finding(path, "altered", "", size, FILES[name].content)
    original = sha256 == FILES[name].content
    return Finding(path, "present" if original else "altered", sha256, size, FILES[name].content)


def _half(half: str, root: Path) -> Arrays:
    images = torch.from_numpy(_read(f"{half}-images-idx3-ubyte", root))
    labels = torch.from_numpy(_read(f"{half}-labels-idx1-ubyte", root))
    return Arrays(images[:, None], labels.to(torch.int64), CLASSES)


def _read(name: str, root: Path) -> NDArray[np.uint8]:
    path = locate(name, root)
    if path is None:
        raise DataError(f"{root} has no {name}; fetch it with: dilution data fetch mnist")
    remedy = (
        f"the original has SHA-256 {FILES[name].content[:12]}…. Replace it with: dilution data fetch mnist"
    )
    try:
        content = idx.unpack(path)
    except DataError as error:
        raise DataError(f"{error} {path.stat().st_size:,} bytes are there; unpacked, {remedy}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != FILES[name].content:
        raise DataError(f"{path} is altered: SHA-256 {sha256[:12]}… unpacked; {remedy}")
    return idx.parse(content, path)
