"""Random numbers as functions of a key and a counter, and the named streams of a root seed.

There is no state: number j of a stream is computed from (key, j) alone, in integer arithmetic, so it is the
same on every machine and device and in any order of access. No global generator is read or changed.

The mixing function is the finalizer of SplitMix64 (Steele, Lea and Flood, *Fast splittable
pseudorandom number generators*, OOPSLA 2014), in two's-complement int64, which wraps as uint64 does.
"""

import hashlib
import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.errors import InputError, short_repr
from dilution.utils.forked_process import compute_with_one_thread_after_fork
from dilution.utils.whole_numbers import check_digits, is_whole_number

compute_with_one_thread_after_fork()  # here, since noise and training both need random numbers

Words = NDArray[np.uint64]

BITS = 48
"""Resolution of :func:`uniform_bits`: draws are integers in [0, 2**48)."""

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_UNSIGNED_GOLDEN, _UNSIGNED_MIX_1, _UNSIGNED_MIX_2 = (np.uint64(k % 2**64) for k in (_GOLDEN, _MIX_1, _MIX_2))
_ROUNDS = 6
_ROUNDS_SMALL = 16  # six leave some orders of a short range likelier than others
_SMALL = 64


def check_seed(seed: int) -> None:
    """Raise InputError unless a root seed is a whole number ≥ 0."""
    check_digits("seed", seed)
    if not is_whole_number(seed) or seed < 0:
        raise InputError(f"seed is {short_repr(seed)}; it must be a whole number ≥ 0, such as 0.")


def stream(seed: int, name: str) -> int:
    """Return the key of the stream `name` of a root seed.

    Parameters
    ----------
    seed
        Root seed, any integer.
    name
        What the numbers are for: ``"subset"``, ``"noise"``, ``"weights"``, ``"order"`` …

    Returns
    -------
    int
        A key in the range of int64. Different names give unrelated keys.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def generator(seed: int, name: str) -> torch.Generator:
    """Return a new CPU generator for the stream `name` of a root seed."""
    return torch.Generator().manual_seed(stream(seed, name) & (2**63 - 1))


def _shift_right(x: Tensor, by: int) -> Tensor:
    """Shift int64 as if it were unsigned: the sign bit is not copied down."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _wrap(value: int) -> int:
    """Wrap a Python integer into the range of int64, as the hardware does."""
    return (value + 2**63) % 2**64 - 2**63


def mix(key: int | Tensor, counter: Tensor) -> Tensor:
    """Hash counters under a key.

    Parameters
    ----------
    key
        Key of a stream, or int64 that broadcasts against `counter`: one key per counter.
    counter
        int64, any shape.

    Returns
    -------
    Tensor
        int64 of the same shape, all 64 bits mixed.
    """
    if counter.device.type == "cpu":
        unsigned_key = _unsigned(key) if isinstance(key, Tensor) else np.uint64(int(key) % 2**64)
        return torch.from_numpy(_mix_words(unsigned_key, _unsigned(counter)).view(np.int64))
    return _mix_tensors(key, counter)


def _mix_tensors(key: int | Tensor, counter: Tensor) -> Tensor:
    """Return :func:`mix` by operations that every device has."""
    x = counter * _GOLDEN + (_wrap(key) if isinstance(key, int) else key)
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def _unsigned(x: Tensor) -> Words:
    """Return integers on the CPU as uint64; those of int64 stay in the same memory."""
    return x.long().numpy().view(np.uint64)


def _mix_words(key: np.uint64 | Words, counter: Words) -> Words:
    """Return :func:`mix` of unsigned numbers, a new array.

    NumPy has unsigned shifts and writes in place: several times as fast as torch on a CPU, and bit-identical.
    """
    with np.errstate(over="ignore"):  # a single number would warn that it wraps
        x = np.asarray(counter * _UNSIGNED_GOLDEN + key)
    shifted = np.empty_like(x)
    for by, factor in ((30, _UNSIGNED_MIX_1), (27, _UNSIGNED_MIX_2)):
        x ^= np.right_shift(x, np.uint64(by), out=shifted)
        np.multiply(x, factor, out=x)
    x ^= np.right_shift(x, np.uint64(31), out=shifted)
    return x


def uniform_bits(key: int | Tensor, counter: Tensor) -> Tensor:
    """Draw integers uniform on [0, 2**48), one per counter (int64, same shape)."""
    return _shift_right(mix(key, counter), 64 - BITS)


def permute(key: int | Tensor, position: Tensor, size: int | Tensor) -> Tensor:
    """Apply a keyed permutation of 0 … size − 1 to positions, without storing it.

    A Feistel network alternates between the two digits of a position in mixed radix (a, b), with a·b the
    smallest such product ≥ size. Each round adds a hash of one digit to the other, which is invertible, so
    that all rounds together are a bijection of 0 … a·b − 1. The few results ≥ size go through the network
    again (cycle walking), which leaves a bijection of 0 … size − 1.

    Parameters
    ----------
    key
        Key of a stream; another key gives another permutation. A tensor that broadcasts against `position`
        holds one key per element.
    position
        int64, any shape, values in [0, size).
    size
        Length of the range. A tensor that broadcasts against `position` holds one length per element; ranges
        of equal length are shuffled alike unless their keys differ.

    Returns
    -------
    Tensor
        int64, shape of `position`.
    """
    if isinstance(key, int) and isinstance(size, int) and position.device.type == "cpu":
        words = _permute_words(np.uint64(key % 2**64), _unsigned(position.reshape(-1)), size)
        return torch.from_numpy(words.view(np.int64)).view(position.shape)
    return _permute_tensors(key, position, size)


def _permute_tensors(key: int | Tensor, position: Tensor, size: int | Tensor) -> Tensor:
    """Return :func:`permute` by operations that every device has."""
    a: int | Tensor
    b: int | Tensor
    if isinstance(size, int):
        a, b = _digits(size)
    else:
        a = size.clamp(min=1).double().sqrt().ceil().long()
        b = (size + a - 1).div(a, rounding_mode="floor").clamp(min=1)
    shuffled = _feistel(key, position, a, b, size)
    if isinstance(key, int) and isinstance(size, int):  # the common case: only results ≥ size go on
        flat = shuffled.view(-1)
        while len(walking := (flat >= size).nonzero()[:, 0]):
            flat[walking] = _feistel(key, flat[walking], a, b, size)
        return shuffled
    while bool((outside := shuffled >= size).any()):
        shuffled = torch.where(outside, _feistel(key, shuffled, a, b, size), shuffled)
    return shuffled


@lru_cache(maxsize=32)
def permutation(key: int, size: int) -> Tensor:
    """Return :func:`permute` of all positions; the tensor is shared and must not be changed."""
    return permute(key, torch.arange(size), size)


@lru_cache(maxsize=128)
def part_of_permutation(key: int, size: int, start: int, stop: int) -> Tensor:
    """Return :func:`permute` of the positions start … stop − 1, some thousands of them.

    The tensor is shared and must not be changed.
    """
    return permute(key, torch.arange(start, stop), size)


@lru_cache(maxsize=128)
def permutations(keys: tuple[int, ...], size: int) -> Tensor:
    """Return :func:`permutation` of 0 … size − 1 under each key, one behind the other.

    Short permutations are several times as fast together as one by one. The tensor is shared and must not
    be changed.
    """
    key_of_position = np.array([key % 2**64 for key in keys], dtype=np.uint64).repeat(size)
    position = np.tile(np.arange(size, dtype=np.uint64), len(keys))
    return torch.from_numpy(_permute_words(key_of_position, position, size).view(np.int64))


def _digits(size: int) -> tuple[int, int]:
    """Return the bases (a, b) of the two digits of a position; see :func:`permute`."""
    a = math.isqrt(max(size - 1, 0)) + 1
    return a, -(-size // a)


def _permute_words(key: np.uint64 | Words, position: Words, size: int) -> Words:
    """Return :func:`permute` of a row of unsigned positions, under one key or one per position."""
    a, b = _digits(size)
    shuffled = _feistel_words(key, position, a, b, size)
    while len(walking := np.flatnonzero(shuffled >= np.uint64(size))):
        keys = key[walking] if isinstance(key, np.ndarray) else key
        shuffled[walking] = _feistel_words(keys, shuffled[walking], a, b, size)
    return shuffled


def _feistel_words(key: np.uint64 | Words, x: Words, a: int, b: int, size: int) -> Words:
    """Return :func:`_feistel` under one key, or one per number, and one length, as unsigned numbers."""
    digits = [x // np.uint64(b), x % np.uint64(b)]  # high and low
    bases = np.uint64(a), np.uint64(b)
    for number in range(_ROUNDS_SMALL if size < _SMALL else _ROUNDS):
        mixed = _mix_words(key, digits[1 - number % 2] + np.uint64(number << 40))
        mixed >>= np.uint64(64 - BITS)
        mixed += digits[number % 2]
        quotient = mixed // bases[number % 2]  # vectorised for one divisor; the remainder of NumPy is not
        quotient *= bases[number % 2]
        mixed -= quotient
        digits[number % 2] = mixed
    return digits[0] * bases[1] + digits[1]


def _feistel(key: int | Tensor, x: Tensor, a: int | Tensor, b: int | Tensor, size: int | Tensor) -> Tensor:
    """Permute 0 … a·b − 1; ranges shorter than `_SMALL` take more rounds."""
    high, low = x.div(b, rounding_mode="floor"), x.remainder(b)
    small = size < _SMALL  # where lengths differ, only the short ranges take more rounds
    for number in range(_ROUNDS_SMALL if bool(torch.as_tensor(small).any()) else _ROUNDS):
        # Distinct counters per round: the digits are far below 2**40.
        if number % 2:
            mixed = (low + uniform_bits(key, high + (number << 40))).remainder(b)
            low = torch.where(small, mixed, low) if isinstance(small, Tensor) and number >= _ROUNDS else mixed
        else:
            mixed = (high + uniform_bits(key, low + (number << 40))).remainder(a)
            high = (
                torch.where(small, mixed, high) if isinstance(small, Tensor) and number >= _ROUNDS else mixed
            )
    return high * b + low
