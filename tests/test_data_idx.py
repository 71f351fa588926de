import gzip
from pathlib import Path

import numpy as np
import pytest

from dilution.data.builtin.idx import read_idx
from dilution.errors import DataError


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


ARRAY = np.arange(2 * 3 * 300).reshape(2, 3, 300) % 251  # a length that needs two bytes


@pytest.mark.parametrize("name", ["a.gz", "a"])
@pytest.mark.parametrize("packed", [True, False])
def test_an_idx_file_is_read_whether_gzipped_or_not_whatever_its_name(
    tmp_path: Path, name: str, packed: bool
) -> None:
    content = idx_bytes(ARRAY)
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    array = read_idx(tmp_path / name)
    assert array.dtype == np.uint8
    assert array.flags.writeable
    np.testing.assert_array_equal(array, ARRAY)


GOOD = idx_bytes(ARRAY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"\(none\)"),
        (b"\x00\x00\x08", "00 00 08"),
        (b"<html>404</html>", "3c 68 74 6d"),
        (b"\x00\x00\x0d" + GOOD[3:], "00 00 0d"),
        (GOOD[:9], "9 bytes long; its header alone takes 16"),
        (GOOD[:-1], r"1,815 bytes long unpacked; its header announces 1,816 \(shape 2×3×300\)"),
        (GOOD + b"x", "1,817 bytes"),
        (gzip.compress(GOOD)[:-20], "cannot be unpacked"),
        (gzip.compress(GOOD)[:-1], "cannot be unpacked"),
        (gzip.compress(GOOD)[:20] + b"xxxxxxxxxx" + gzip.compress(GOOD)[30:], "cannot be unpacked"),
        (b"\x1f\x8bno gzip at all", "cannot be unpacked"),
    ],
)
def test_a_broken_idx_file_is_one_line_that_names_it(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken-idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_idx_file_and_a_folder_are_data_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_idx(path)
