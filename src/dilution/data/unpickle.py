"""Pickles of strangers: read without running anything that they name.

A pickle is a program. This reader lets it build numbers, text, lists, dictionaries and numpy arrays of
bytes, and nothing else; even numpy itself is not called, but played by two stand-ins. Before it runs, it is
looked through for lengths and numbers that would take memory out of proportion to the file.
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


class _Type:
    """Stands in for ``numpy.dtype``: of all types only the byte has a meaning here."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        """Take what numpy keeps of byte order and alignment; a byte has neither."""


class _Array:
    """Stands in for an array under reconstruction."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, tuple) else ()

    def read(self) -> NDArray[np.uint8]:
        """Return the array; ValueError if the parts do not make one of bytes."""
        if len(self.state) != 5:
            raise ValueError("an array without its parts")
        _, shape, kind, by_columns, content = self.state
        if not isinstance(kind, _Type) or kind.code not in ("u1", "|u1", "uint8"):
            raise ValueError("an array of another type than unsigned bytes")
        if isinstance(content, str):
            content = content.encode("latin1")
        sizes = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
        if not isinstance(content, bytes) or not sizes or math.prod(shape) != len(content):
            raise ValueError("an array whose shape does not fit its content")
        if by_columns not in (False, 0):
            raise ValueError("an array that lies by columns")
        array: NDArray[np.uint8] = np.frombuffer(content, dtype=np.uint8).reshape(shape)
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


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMPY:
            raise _RefusedError(f"names {module}.{name}; {_RULE}")
        return _Maker(_NUMPY[module, name])

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


def read_pickle(content: bytes, what: str) -> dict[str, Any]:
    """Return the dictionary in a pickle, as Python 2 wrote it, or Python 3 in protocol 3 or 4.

    In its other protocols Python 3 names more than what numpy reconstructs arrays with; those are refused.

    Parameters
    ----------
    content
        The pickle.
    what
        How an error calls it: its path.

    Returns
    -------
    dict
        Keys as text; arrays as uint8 arrays that cannot be written to; text of Python 2 as bytes.

    Raises
    ------
    DataError
        If it names anything but numpy's array reconstruction, numbers its parts beyond its length, is cut
        off, or holds no dictionary.
    """
    try:
        _check_numbers(content)
        found = _Reader(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(f"{what} is refused: it {error}. Fetch the file from its source.") from error
    except Exception as error:  # a damaged pickle fails anywhere, with any exception; none is ours
        raise DataError(
            f"{what} is no whole pickle ({type(error).__name__}). It was cut off or altered: fetch it again."
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{what} holds a {type(found).__name__}; a dictionary was expected. Fetch it again.")
    try:
        arrays = {key: value.read() for key, value in found.items() if isinstance(value, _Array)}
    except ValueError as error:
        raise DataError(f"{what} is refused: it holds {error}. Fetch the file again.") from error
    return {_text(key): value for key, value in (found | arrays).items()}


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)
