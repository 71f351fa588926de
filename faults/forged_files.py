"""Files of arrays and archives that are damaged, or forged as a stranger can."""

import io
import struct
import zipfile

import numpy as np

TYPES = ["|u1", "<U0", "|V0", "|S0", "<i8", "|O", "<U1", "<U999999999", "<f8", "|b1", "<M8[s]", "<c16"]
SHAPES = [
    (0,),
    (60,),
    (60, 4, 4),
    (10**12,),
    (2**62,),
    (2**40, 0),
    (10**9, 4, 4),
    (0, 10**18),
    (-1,),
    (1,) * 30,
    (),
]


def npy(array):
    """Return an array as a ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def forged_npy(draw, content=b""):
    """Return a ``.npy`` file whose header is anything."""
    header = repr({"descr": draw.choice(TYPES), "fortran_order": False, "shape": draw.choice(SHAPES)})
    header = draw.choice(
        [header] * 8 + ["(" * 9000, "{'descr': [('a', '<U0', (10**9,))]}", header[:-3], "x" * 70000]
    )
    encoded = header.encode().ljust(117) + b"\n"
    if draw.random() < 0.2:
        return (
            b"\x93NUMPY"
            + bytes([draw.choice([2, 3, 9]), 0])
            + struct.pack("<I", len(encoded))
            + encoded
            + content
        )
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(encoded) % 65536) + encoded + content


def damaged(draw, content):
    """Return bytes with some changed, or cut off."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 20])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])


def zipped(draw, members, compression=None):
    """Return members in a zip, perhaps one of them many times."""
    file = io.BytesIO()
    kinds = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]
    with zipfile.ZipFile(file, "w", draw.choice(kinds) if compression is None else compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()
