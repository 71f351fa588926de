"""A ZIP file of one JSON text and arrays, without compression, that ends in a checksum of all its bytes.

A stranger can compute the checksum too. So everything is checked before it is read: how entries are packed,
their sizes, and the headers of arrays. Nothing in the file is executed.
"""

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from dilution.errors import DataError
from dilution.utils.available_memory import available_memory
from dilution.utils.npz_size import RefusedArraysError, check_array_fits, load_array
from dilution.utils.regular_file import check_regular
from dilution.utils.strict_json import NestedTooDeeplyError, parse_json
from dilution.utils.zip_directory import open_zip

_TEXT = "model.json"
_MARK = b"dilution sha256:"  # the comment of the ZIP file, which is its end
_DIGITS = 64
_END = re.compile(re.escape(_MARK) + rb"([0-9a-f]{64})\Z")
_MAX_ENTRIES = 100_000
_MAX_DIRECTORY = 500 * _MAX_ENTRIES  # bytes
_MAX_TEXT = 64 << 20  # bytes of the JSON text: class names, and values of text in a table
_COPIES = 2  # of the file in memory while it is read
_EPOCH = (1980, 1, 1, 0, 0, 0)
_REMEDY = "Copy it again, or fit the model again."
_DAMAGED = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error)


@dataclass(frozen=True)
class CheckedZip:
    """The content of such a file.

    Parameters
    ----------
    text
        The JSON text, parsed.
    arrays
        Arrays by name, such as ``"weights/0/0"``.
    """

    text: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def to_bytes(self) -> bytes:
        """Return the file; equal contents give equal bytes."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            text = json.dumps(self.text, indent=1, allow_nan=False)
            archive.writestr(zipfile.ZipInfo(_TEXT, _EPOCH), text)
            for name, array in self.arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy", _EPOCH), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)
            archive.comment = _MARK + b"0" * _DIGITS
        content = file.getvalue()[:-_DIGITS]
        return content + hashlib.sha256(content).hexdigest().encode()

    @classmethod
    def read(cls, path: Path) -> "CheckedZip":
        """Return the content of a file.

        Raises
        ------
        DataError
            If the file is missing, was not written by this program, is damaged, or does not fit in memory.
        """
        content = _read_bytes(path)
        check_checksum(content, path)
        try:
            with open_zip(io.BytesIO(content), _MAX_DIRECTORY) as archive:
                entries = archive.infolist()
                _check_entries(entries, len(content), path)
                text = parse_json(archive.read(_TEXT), constants=False)
                if not isinstance(text, dict):
                    raise DataError(f"{path} is no model file: {_TEXT} in it is no object. {_REMEDY}")
                arrays = {
                    entry.filename.removesuffix(".npy"): _read_array(archive, entry)
                    for entry in entries
                    if entry.filename != _TEXT
                }
        except RefusedArraysError as error:
            raise DataError(f"{path} {error}; it is no model file. {_REMEDY}") from error
        except NestedTooDeeplyError as error:
            raise DataError(
                f"{path} is no model file: {_TEXT} in it is nested too deeply. {_REMEDY}"
            ) from error
        except _DAMAGED as error:
            raise DataError(f"{path} cannot be unpacked ({error}); it is no model file. {_REMEDY}") from error
        return cls(text, arrays)


def is_checked_zip(path: Path) -> bool:
    """Return whether a file ends as this program writes it, with the right checksum."""
    if not path.is_file():
        return False
    try:
        check_checksum(path.read_bytes(), path)
    except (OSError, DataError):
        return False
    return True


def check_checksum(content: bytes, path: Path) -> None:
    """Raise DataError unless the bytes of a file end in their checksum."""
    match = _END.search(content[-len(_MARK) - _DIGITS :])
    if match is None:
        is_start = content[:2] == b"PK" and _TEXT.encode() in content[:100]
        reason = "is cut off or damaged at its end" if is_start else "is no model file of this program"
        raise DataError(
            f"{path} {reason}: it must end in a checksum, and has {len(content):,} bytes. {_REMEDY}"
        )
    if hashlib.sha256(content[:-_DIGITS]).hexdigest().encode() != match[1]:
        raise DataError(f"{path} is damaged or was changed: its content does not fit its checksum. {_REMEDY}")


def _read_bytes(path: Path) -> bytes:
    check_regular(path)
    try:
        size, free = path.stat().st_size, available_memory()
        if free is not None and _COPIES * size > free:
            raise DataError(
                f"{path} takes {_COPIES * size / 1e9:,.1f} GB of memory while it is read, and "
                f"{free / 1e9:,.1f} GB are free. Free memory."
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a file that does.") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it must be a model file. Check its name "
            "and permissions."
        ) from error


def _check_entries(entries: list[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Raise DataError if entries are compressed, too many, or larger together than the file."""
    names = [entry.filename for entry in entries]
    text = next((entry for entry in entries if entry.filename == _TEXT), None)
    if text is None or len(set(names)) < len(names):
        fault = f"it has no {_TEXT}" if text is None else "two entries have one name"
    elif len(entries) > _MAX_ENTRIES or text.file_size > _MAX_TEXT:
        fault = f"it has {len(entries):,} entries and a text of {text.file_size:,} bytes"
    elif any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        fault = "its entries are compressed or encrypted"
    elif sum(entry.file_size for entry in entries) > size:
        fault = f"its entries take more than the {size:,} bytes of the file"
    elif any(not name.endswith(".npy") for name in names if name != _TEXT):
        fault = "it has entries that are no arrays"
    else:
        return
    raise DataError(f"{path} is no model file: {fault}. {_REMEDY}")


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as file:
        member, name = cast(BinaryIO, file), entry.filename.removesuffix(".npy")
        check_array_fits(member, entry.file_size, name)
        return load_array(member, name)
