"""Pickles of strangers: read without running anything that they name.

A pickle is a program. This reader lets it build numbers, text, lists, dictionaries and numpy arrays of
bytes, and nothing else; even numpy itself is not called, but played by two stand-ins.
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.errors import DataError

_REFUSED = "it may name numpy's array reconstruction and nothing else. Fetch the file from its source."


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
        raise _RefusedError("changes what it names")


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
            raise _RefusedError(f"names {module}.{name}")
        return _Maker(_NUMPY[module, name])

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f"refers to {pid!r} outside itself")


def read_pickle(content: bytes, what: str) -> dict[str, Any]:
    """Return the dictionary in a pickle, as Python 2 or 3 wrote it.

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
        If it names anything but numpy's array reconstruction, is cut off, or holds no dictionary.
    """
    try:
        found = _Reader(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(f"{what} is refused: it {error}; {_REFUSED}") from error
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
