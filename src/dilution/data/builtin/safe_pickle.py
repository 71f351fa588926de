"""Pickles of strangers: read without running anything that they name.

A pickle is a program. This reader lets it build numbers, text, lists, dictionaries and numpy arrays of
whole numbers, and nothing else; even numpy itself is not called, but played by two stand-ins. Before it runs,
it is looked through for lengths and numbers that would take memory out of proportion to the file.
"""

import io
import math
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.errors import DataError

_RULE = "it may name numpy's array reconstruction and nothing else"


_BYTES = ("u1", "|u1", "uint8")
_WHOLE = (*_BYTES, *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)))


class _Type:
    """Stands in for ``numpy.dtype``: of all types only those of whole numbers have a meaning here."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        self.order = ""

    def __setstate__(self, state: object) -> None:
        """Take the byte order out of what numpy keeps."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
        order = order.decode("latin1") if isinstance(order, bytes) else order
        self.order = order if order in ("<", ">") else ""

    def dtype(self, codes: tuple[str, ...]) -> np.dtype[Any]:
        """Return the type; ValueError if it is none of `codes`."""
        if self.code not in codes:
            raise ValueError(f"an array of another type than {', '.join(codes)}")
        return np.dtype(self.order + str(self.code).removeprefix("|"))


class _Array:
    """Stands in for an array under reconstruction."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, tuple) else ()

    def read(self, codes: tuple[str, ...]) -> NDArray[Any]:
        """Return the array; ValueError if the parts do not make one of these types."""
        if len(self.state) != 5:
            raise ValueError("an array without its parts")
        _, shape, kind, by_columns, content = self.state
        if not isinstance(kind, _Type):
            raise ValueError("an array without a type")
        dtype = kind.dtype(codes)
        if isinstance(content, str):
            content = content.encode("latin1")
        sizes = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
        if not isinstance(content, bytes) or not sizes or math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError("an array whose shape does not fit its content")
        if by_columns not in (False, 0):
            raise ValueError("an array that lies by columns")
        array: NDArray[Any] = np.frombuffer(content, dtype=dtype).reshape(shape)
        return array


class _Maker:
    """Stands in for something that numpy has and that is called to make something."""

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError(f"changes what it names; {_RULE}")


class _RefusedError(Exception):
    """What a pickle does and may not."""


_NUMPY: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "ndarray"): lambda *_: None,  # only ever handed to the reconstruction
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
}


def _encode(text: object = "", encoding: object = "", *_: object) -> object:
    """Stand in for ``_codecs.encode``, as protocol 2 writes bytes; an `_Array` takes them as text too."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError(f"encodes text as {encoding!r}; {_RULE}")
    return text


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes, known: dict[tuple[str, str], Callable[..., object]]) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise _RefusedError(f"names {module}.{name}; {_RULE}")
        return _Maker(self._known[module, name])

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f"refers to {pid!r} outside itself; {_RULE}")


_STOP, _PUT, _LONG_BINPUT = pickle.STOP[0], pickle.PUT[0], pickle.LONG_BINPUT[0]
_TWO_LINES = (pickle.GLOBAL[0], pickle.INST[0])
_WIDTHS = {ord(code.code): code.arg.n if code.arg else 0 for code in pickletools.opcodes}
"""For each instruction the bytes of what it is given; below 0, that a line or a counted text is."""
_COUNTERS = {
    pickletools.TAKEN_FROM_ARGUMENT1: struct.Struct("<B"),
    pickletools.TAKEN_FROM_ARGUMENT4: struct.Struct("<i"),
    pickletools.TAKEN_FROM_ARGUMENT4U: struct.Struct("<I"),
    pickletools.TAKEN_FROM_ARGUMENT8U: struct.Struct("<Q"),
}


def _check_numbers(content: bytes) -> None:
    """Look through a pickle without running it.

    A pickle numbers its parts, to refer to them. Python keeps room for every number up to the largest, so
    that nine bytes could take any amount of memory. Nothing has more parts than bytes.

    Raises
    ------
    _RefusedError
        If it gives a part a number beyond its own length.
    ValueError, KeyError, IndexError, struct.error
        If it is cut off or holds what is no instruction.
    """
    at, size = 0, len(content)
    while (code := content[at]) != _STOP:
        at += 1
        width, number = _WIDTHS[code], 0
        if code == _LONG_BINPUT:
            number = int.from_bytes(content[at : at + 4], "little")
        if width >= 0:
            at += width
        elif width == pickletools.UP_TO_NEWLINE:
            end = content.index(b"\n", at)
            if code == _PUT:
                number = int(content[at:end])
            at = 1 + (content.index(b"\n", end + 1) if code in _TWO_LINES else end)
        else:
            (length,) = _COUNTERS[width].unpack_from(content, at)
            if length < 0:
                raise ValueError("a length below 0")
            at += _COUNTERS[width].size + length
        if number > size:
            raise _RefusedError(f"gives a part the number {number:,}; none may exceed its {size:,} bytes")


def read_pickle(content: bytes, what: str, *, saved_by_torch: bool = False) -> dict[str, Any]:
    """Return the dictionary in a pickle, as Python 2 wrote it, or Python 3 in protocol 3 or 4.

    In its other protocols Python 3 names more than what numpy reconstructs arrays with; those are refused,
    but for protocol 2 where it is what is expected.

    Parameters
    ----------
    content
        The pickle.
    what
        How an error calls it: its path.
    saved_by_torch
        Whether it is written as ``torch.save`` writes numpy arrays, in protocol 2 and of any whole numbers.

    Returns
    -------
    dict
        Keys as text; arrays as uint8 arrays that cannot be written to, or of other whole numbers if saved by
        torch; text of Python 2 as bytes.

    Raises
    ------
    DataError
        If it names anything but numpy's array reconstruction, numbers its parts beyond its length, is cut
        off, holds no dictionary, or holds arrays that are together larger than itself.
    """
    known = _NUMPY | {("_codecs", "encode"): _encode} if saved_by_torch else _NUMPY
    try:
        _check_numbers(content)
        found = _Reader(content, known).load()
    except _RefusedError as error:
        raise DataError(f"{what} is refused: it {error}. Fetch the file from its source.") from error
    except Exception as error:  # a damaged pickle fails anywhere, with any exception; none is ours
        raise DataError(
            f"{what} is no whole pickle ({type(error).__name__}). It was cut off or altered: fetch it again."
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{what} holds a {type(found).__name__}; a dictionary was expected. Fetch it again.")
    read: dict[_Array, NDArray[Any]] = {}
    try:
        for value in found.values():
            if isinstance(value, _Array) and value not in read:
                read[value] = value.read(_WHOLE if saved_by_torch else _BYTES)
                if sum(array.nbytes for array in read.values()) > len(content):
                    raise ValueError("one content in many arrays")  # each would be a copy
    except ValueError as error:
        raise DataError(f"{what} is refused: it holds {error}. Fetch the file again.") from error
    return {_text(key): read[value] if isinstance(value, _Array) else value for key, value in found.items()}


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)
