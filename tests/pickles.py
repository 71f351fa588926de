"""Pickles as Python 2 wrote them."""

import struct
from collections.abc import Sequence

import numpy as np


def as_python_2(images: np.ndarray, labels: Sequence[int], key: str) -> bytes:
    """Return a batch with the opcodes of the original CIFAR files: text as bytes, numpy by its old name."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"K" + bytes([value])

    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"tU\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1" + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + b"U\x01|NNN" + b"J\xff\xff\xff\xff" * 2 + number(0) + b"tb"
    shape = b"(" + b"".join(b"J" + struct.pack("<i", size) for size in images.shape) + b"t"
    array += b"(" + number(1) + shape + dtype + b"\x89" + text(images.tobytes()) + b"tb"
    numbers = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + numbers + b"u."
