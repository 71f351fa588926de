"""Files of ``torch.save`` with one tensor of whole numbers, read without executing anything."""

import io
import zipfile
from collections import Counter, OrderedDict
from pathlib import PurePosixPath
from pickle import Unpickler, UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.data.builtin.safe_pickle import check_pickle_size
from dilution.utils.zip_directory import open_zip

_MAX_PICKLE = 10_000  # bytes of the description of one tensor
_STORAGES = {"LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "ByteStorage": "|u1"}


class _TensorUnpickler(Unpickler):
    """A reader of the description of one tensor, which names nothing but torch's own parts of it."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _STORAGES:
            return name
        raise UnpicklingError(f"it names {module}.{name}; a file of labels is one tensor of whole numbers")

    def persistent_load(self, pid: Any) -> Any:
        return pid


def read_tensor(content: bytes) -> NDArray[Any]:
    """Return the tensor of whole numbers in a file of ``torch.save``: an integer array of shape (n,).

    ``torch.load(weights_only=True)`` would execute no code either, but a small file can have it build much.

    Parameters
    ----------
    content
        Content of the file.

    Raises
    ------
    ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, UnpicklingError, BadZipFile
        If it is damaged, or holds anything else.
    """
    with open_zip(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its entries are compressed, and torch.save compresses none")
        names = Counter(PurePosixPath(entry.filename).name for entry in entries)
        if max(names["data.pkl"], names["0"]) > 1:
            raise ValueError("two entries in it have one name")
        members = {PurePosixPath(entry.filename).name: entry for entry in entries}
        description = members["data.pkl"]
        if description.file_size > _MAX_PICKLE:
            raise ValueError(f"its description has {description.file_size:,} bytes; one tensor needs fewer")
        with archive.open(description) as file:
            pickled = file.read(_MAX_PICKLE)
        check_pickle_size(pickled)
        parts = _TensorUnpickler(io.BytesIO(pickled)).load()
        if not isinstance(parts, tuple) or len(parts) != 4:
            raise ValueError(f"it holds a {type(parts).__name__}; a file of labels is one tensor")
        storage, offset, size, stride = parts
        if not isinstance(storage, tuple) or len(storage) != 5 or not _are_whole((offset,), size, stride):
            raise ValueError("its tensor is described in another way than torch.save does")
        _, kind, key, _, _ = storage
        if not isinstance(kind, str) or kind not in _STORAGES or key != "0":
            raise ValueError("its storage is described in another way than torch.save does")
        with archive.open(members["0"]) as file:
            values = np.frombuffer(file.read(), dtype=_STORAGES[kind])
    if len(size) != 1:
        raise ValueError(f"its tensor has shape {size}; labels have one dimension")
    if stride != (1,) or offset != 0 or size[0] != len(values):
        raise ValueError("its tensor is a part of a larger one; save a copy of it")
    return values


def _are_whole(*values: Any) -> bool:
    """Return whether all values are tuples of whole numbers that are no larger than sizes of arrays."""
    return all(
        isinstance(value, tuple) and all(type(number) is int and 0 <= number < 2**63 for number in value)
        for value in values
    )
