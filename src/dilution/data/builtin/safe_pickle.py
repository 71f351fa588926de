"""A reader of untrusted pickles that executes nothing they name and limits the memory they take.

A pickle is a program. This reader builds numbers, text, lists, dictionaries and numpy arrays of whole
numbers, and nothing else; numpy's own constructors are replaced by two stand-ins. Before it runs, the pickle
is scanned for lengths and numbers that would take memory out of proportion to the file.
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

_BYTE_TYPES = ("u1", "|u1", "uint8")
_INTEGER_TYPES = (*_BYTE_TYPES, *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)))


class _DType:
    """Stand-in for ``numpy.dtype``: type code and byte order."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        self.order = ""

    def __setstate__(self, state: object) -> None:
        """Take the byte order from the state of a numpy dtype."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
        order = order.decode("latin1") if isinstance(order, bytes) else order
        self.order = order if order in ("<", ">") else ""

    def to_numpy(self, codes: tuple[str, ...]) -> np.dtype[Any]:
        """Return the dtype; raise ValueError if its code is not among `codes`."""
        if self.code not in codes:
            raise ValueError(f"an array of another type than {', '.join(codes)}")
        return np.dtype(self.order + str(self.code).removeprefix("|"))


class _Array:
    """Stand-in for an array under reconstruction."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, tuple) else ()

    def to_numpy(self, codes: tuple[str, ...]) -> NDArray[Any]:
        """Return the array; raise ValueError if its state is inconsistent or its type not among `codes`."""
        if len(self.state) != 5:
            raise ValueError("an array without its parts")
        _, shape, dtype_stand_in, fortran_order, content = self.state
        if not isinstance(dtype_stand_in, _DType):
            raise ValueError("an array without a type")
        dtype = dtype_stand_in.to_numpy(codes)
        if isinstance(content, str):
            content = content.encode("latin1")
        is_shape = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
        if (
            not isinstance(content, bytes)
            or not is_shape
            or math.prod(shape) * dtype.itemsize != len(content)
        ):
            raise ValueError("an array whose shape does not fit its content")
        if fortran_order not in (False, 0):
            raise ValueError("an array in column order")
        array: NDArray[Any] = np.frombuffer(content, dtype=dtype).reshape(shape)
        return array


class _Constructor:
    """Stand-in for a constructor of numpy."""

    def __init__(self, construct: Callable[..., object]) -> None:
        self._construct = construct

    def __call__(self, *arguments: object) -> object:
        return self._construct(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError(f"changes what it names; {_RULE}")


class _RefusedError(Exception):
    """A pickle does something that is not allowed."""


_NUMPY: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "ndarray"): lambda *_: None,  # only an argument of the reconstruction
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
}


def _encode(text: object = "", encoding: object = "", *_: object) -> object:
    """Stand in for ``_codecs.encode``, by which protocol 2 writes bytes; :class:`_Array` takes text too."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError(f"encodes text as {encoding!r}; {_RULE}")
    return text


class _SafeUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes, allowed: dict[tuple[str, str], Callable[..., object]]) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise _RefusedError(f"names {module}.{name}; {_RULE}")
        return _Constructor(self._allowed[module, name])

    def persistent_load(self, pid: Any) -> Any:
        # Not shown: the repr of a value made of shared parts can take any memory.
        raise _RefusedError(f"refers to a {type(pid).__name__} outside itself; {_RULE}")


_STOP, _PUT, _LONG_BINPUT = pickle.STOP[0], pickle.PUT[0], pickle.LONG_BINPUT[0]
_TWO_LINES = (pickle.GLOBAL[0], pickle.INST[0])
_MAX_STEPS = 2_000_000  # opcodes; the largest original, of CIFAR-100, has 200,000
_WIDTHS = {ord(code.code): code.arg.n if code.arg else 0 for code in pickletools.opcodes}
"""Bytes of the argument of each opcode; negative for a line or a text with a length prefix."""
_LENGTH_PREFIXES = {
    pickletools.TAKEN_FROM_ARGUMENT1: struct.Struct("<B"),
    pickletools.TAKEN_FROM_ARGUMENT4: struct.Struct("<i"),
    pickletools.TAKEN_FROM_ARGUMENT4U: struct.Struct("<I"),
    pickletools.TAKEN_FROM_ARGUMENT8U: struct.Struct("<Q"),
}


def _check_memo_numbers(content: bytes) -> None:
    """Scan a pickle for memo numbers beyond its length, and count its opcodes, without executing it.

    A pickle numbers its objects, to refer to them. Python's memo has room for every number up to the largest,
    so that nine bytes could take any amount of memory. No pickle has more objects than bytes.

    Raises
    ------
    _RefusedError
        If a memo number is larger than the pickle is long, or there are too many opcodes.
    ValueError, KeyError, IndexError, struct.error
        If it is cut off or holds an unknown opcode.
    """
    position, size, n_steps = 0, len(content), 0
    while (code := content[position]) != _STOP:
        position, n_steps = position + 1, n_steps + 1
        if n_steps > _MAX_STEPS:
            raise _RefusedError(f"takes more than {_MAX_STEPS:,} steps; the originals take fewer")
        width, number = _WIDTHS[code], 0
        if code == _LONG_BINPUT:
            number = int.from_bytes(content[position : position + 4], "little")
        if width >= 0:
            position += width
        elif width == pickletools.UP_TO_NEWLINE:
            end = content.index(b"\n", position)
            if code == _PUT:
                number = int(content[position:end])
            position = 1 + (content.index(b"\n", end + 1) if code in _TWO_LINES else end)
        else:
            (length,) = _LENGTH_PREFIXES[width].unpack_from(content, position)
            if length < 0:
                raise ValueError("a length below 0")
            position += _LENGTH_PREFIXES[width].size + length
        if number > size:
            raise _RefusedError(f"gives an object the number {number:,}; none may exceed its {size:,} bytes")


_SHARED_SIZE = 10
"""Elements that nested tuples may have in all, per byte of the pickle: honest ones have less than one."""


def _check_shared_tuples(content: bytes) -> None:
    """Follow the stack of a pickle, without executing it, and refuse tuples that share parts without end.

    A tuple of two references to a tuple of two references … has 2^depth elements in 4 · depth bytes. As a key
    of a dictionary it is hashed element by element, which no signal interrupts.

    Raises
    ------
    _RefusedError
        If the elements of all tuples together are out of proportion to the pickle.
    Exception
        If it is cut off or uses a stack that is not there.
    """
    limit = _SHARED_SIZE * len(content) + 1000
    stack: list[int | None] = []  # elements of each object, counted through tuples; None is a mark
    memo: dict[int, int] = {}
    total = 0
    for opcode, argument, _ in pickletools.genops(content):
        name = opcode.name
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(str(argument))] = stack[-1] or 1
            continue
        if name in ("GET", "BINGET", "LONG_BINGET"):
            size = memo[int(str(argument))]
        else:
            taken = _take(stack, opcode)
            is_tuple = name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
            size = 1 + sum(taken) if is_tuple else 1
        total += size if size > 1 else 0
        if total > limit:
            raise _RefusedError(f"nests tuples to more than {limit:,} elements in {len(content):,} bytes")
        if name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(size)
        elif name == "DUP":
            stack += [taken[0], taken[0]]
        else:
            stack += [None if kind is pickletools.markobject else size for kind in opcode.stack_after]


def _take(stack: list[int | None], opcode: pickletools.OpcodeInfo) -> list[int]:
    """Remove from the stack what an opcode takes, and return the elements of each object."""
    before = opcode.stack_before
    taken: list[int] = []
    if pickletools.markobject in before:
        while (size := stack.pop()) is not None:
            taken.append(size)
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        taken.append(stack.pop() or 1)
    return taken


def check_pickle_size(content: bytes) -> None:
    """Check, without executing it, that reading a pickle takes memory and time in proportion to its length.

    Raises
    ------
    ValueError
        If it numbers objects beyond its length, nests tuples of shared parts, or is cut off; the text is a
        predicate.
    """
    try:
        _check_memo_numbers(content)
        _check_shared_tuples(content)
    except _RefusedError as error:
        raise ValueError(f"its pickle {error}") from error
    except Exception as error:  # a damaged pickle fails anywhere, with any exception
        raise ValueError("its pickle is cut off or damaged") from error


def read_pickle(content: bytes, name: str, *, saved_by_torch: bool = False) -> dict[str, Any]:
    """Return the dictionary in an untrusted pickle of Python 2, or of Python 3 in protocol 3 or 4.

    In its other protocols Python 3 names more than numpy's array reconstruction; those are refused, except
    protocol 2 for files of ``torch.save``.

    Parameters
    ----------
    content
        The pickle.
    name
        Its path, for messages.
    saved_by_torch
        Whether ``torch.save`` wrote it: protocol 2, arrays of any whole numbers.

    Returns
    -------
    dict
        Keys are text. Arrays are read-only uint8 arrays, or of other whole numbers if saved by torch. Text of
        Python 2 is bytes.

    Raises
    ------
    DataError
        If the pickle names anything but numpy's array reconstruction, numbers objects beyond its length, is
        cut off, holds no dictionary, or holds arrays that are together larger than itself.
    """
    allowed = _NUMPY | {("_codecs", "encode"): _encode} if saved_by_torch else _NUMPY
    try:
        _check_memo_numbers(content)
        _check_shared_tuples(content)
        loaded = _SafeUnpickler(content, allowed).load()
    except _RefusedError as error:
        raise DataError(f"{name} is refused: it {error}. Fetch the file from its source.") from error
    except Exception as error:  # a damaged pickle fails anywhere, with any exception
        raise DataError(
            f"{name} is no whole pickle ({type(error).__name__}). It was cut off or altered: fetch it again."
        ) from error
    if not isinstance(loaded, dict):
        raise DataError(f"{name} holds a {type(loaded).__name__}; it must hold a dictionary. Fetch it again.")
    arrays: dict[_Array, NDArray[Any]] = {}
    try:
        for value in loaded.values():
            if isinstance(value, _Array) and value not in arrays:
                arrays[value] = value.to_numpy(_INTEGER_TYPES if saved_by_torch else _BYTE_TYPES)
                if sum(array.nbytes for array in arrays.values()) > len(content):
                    raise ValueError("one content in many arrays")  # each would be a copy
    except ValueError as error:
        raise DataError(f"{name} is refused: it holds {error}. Fetch the file again.") from error
    return {
        key.decode("latin1") if isinstance(key, bytes) else str(key): (
            arrays[value] if isinstance(value, _Array) else value
        )
        for key, value in loaded.items()
    }
