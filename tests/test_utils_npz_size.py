"""Arrays in archives are refused by their headers, before anything is unpacked."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dilution.data import load, write_pack
from dilution.data.pack.reader import HEADER
from dilution.errors import DataError, DilutionError
from dilution.utils.npz_size import RefusedArraysError, check_array_fits, check_arrays_fit, load_arrays
from dilution.utils.printable import printable


def npz(**arrays: np.ndarray) -> io.BytesIO:
    """Return a ``.npz`` file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return io.BytesIO(file.getvalue())


def forged(dtype: str, shape: tuple[int, ...]) -> io.BytesIO:
    """Return a ``.npz`` file of one array with a header and no content."""
    file, member = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": dtype, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", member.getvalue())
    return io.BytesIO(file.getvalue())


def test_plain_arrays_are_named_and_the_file_is_at_its_start() -> None:
    file = npz(images=np.zeros((3, 2)), labels=np.array(["a", "b"]), empty=np.zeros((0, 4)))
    assert check_arrays_fit(file) == ["images", "labels", "empty"]
    assert file.tell() == 0


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (forged("<U0", (10**18,)), "holds a of the type <U0, which has no width"),
        (forged("|V0", (3,)), "no width"),
        (forged("<f8", (10**9,)), r"its header announces 8,000,000,\d+"),
        (npz(a=np.array([{}], dtype=object)), "holds Python objects under a; only plain numbers"),
        (npz(**{f"x{number}": np.zeros(1) for number in range(101)}), "has 101 arrays; at most 100 are read"),
    ],
)
def test_what_no_data_set_holds_is_refused(file: io.BytesIO, message: str) -> None:
    with pytest.raises(RefusedArraysError, match=message):
        check_arrays_fit(file)


def test_two_arrays_of_one_name_are_refused_because_the_last_would_win() -> None:
    member = io.BytesIO()
    np.save(member, np.array([0]))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("labels.npy", member.getvalue())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("labels.npy", member.getvalue())
    with pytest.raises(RefusedArraysError, match="two arrays under the name labels"):
        check_arrays_fit(file)


def test_arrays_are_measured_against_the_limit_or_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    file = npz(a=np.zeros(1000), b=np.zeros(1000))
    assert check_arrays_fit(file, 16_000) == ["a", "b"]
    with pytest.raises(RefusedArraysError, match="holds arrays of 16,000 bytes; at most 15,999 are read"):
        check_arrays_fit(file, 15_999)
    monkeypatch.setattr("dilution.utils.npz_size.available_memory", lambda: 31_999)
    with pytest.raises(RefusedArraysError, match="while they are read"):
        check_arrays_fit(file)


def test_a_single_array_is_checked_in_the_same_way() -> None:
    file = io.BytesIO()
    np.save(file, np.zeros(4))
    size = file.tell()
    file.seek(0)
    check_array_fits(file, size, "a")
    assert file.tell() == 0
    with pytest.raises(RefusedArraysError, match="its header announces"):
        check_array_fits(file, size - 1, "a")


def with_code(code: int, array: np.ndarray, name: str = "classes", **others: np.ndarray) -> io.BytesIO:
    """Return a ``.npz`` file in which a character of a text has a code."""
    codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.str[0])).copy()
    codes[0] = code
    return npz(**{name: np.frombuffer(codes.tobytes(), array.dtype).reshape(array.shape)}, **others)


TEXTS = {
    "plain": np.array(["ab", "c"]),
    "big-endian": np.array(["ab", "c"], dtype=">U2"),
    "single": np.array("ab"),
    "table": np.array([["a", "b"], ["c", "d"]]),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("code", [0x110000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_text_with_a_code_that_is_no_character_is_refused(text: np.ndarray, code: int) -> None:
    file = with_code(code, text)
    check_arrays_fit(file)
    with pytest.raises(RefusedArraysError, match=f"holds classes with a character of the code 0x{code:x}"):
        load_arrays(file)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("code", [0x41, 0xD800, 0x10FFFF])
def test_a_text_of_code_points_is_loaded(text: np.ndarray, code: int) -> None:
    assert chr(code) in str(load_arrays(with_code(code, text))["classes"].reshape(-1).tolist()[0])


def test_texts_in_fields_are_checked_too() -> None:
    array = np.zeros(2, dtype=[("n", "i4"), ("text", "<U1")])
    array["text"] = ["a", "b"]
    damaged = np.frombuffer(array.tobytes().replace(b"b\0\0\0", b"\0\0\x11\0"), array.dtype)
    with pytest.raises(RefusedArraysError, match="0x110000"):
        load_arrays(npz(labels=damaged))


@pytest.mark.parametrize("name", ["classes", "labels", "noisy_labels"])
@pytest.mark.parametrize("code", [0x7FFFFFFF, 0xD800])
def test_no_text_of_a_data_set_ends_in_a_traceback(name: str, code: int, tmp_path: Path) -> None:
    labels = np.array(["ab", "c"] * 20)
    arrays = {"images": np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8), "labels": labels}
    text = np.array(["ab", "c"]) if name == "classes" else labels
    arrays.pop(name, None)
    if name == "classes":
        arrays["labels"] = np.arange(40) % 2
    path = tmp_path / "d.npz"
    path.write_bytes(with_code(code, text, name, **arrays).getvalue())
    try:
        data = load(path)
    except DilutionError:
        return
    assert code == 0xD800
    assert all(printable(class_name).isprintable() for class_name in data.train.classes)


def test_a_pack_with_such_a_text_is_no_pack(tmp_path: Path) -> None:
    digits = load("digits")
    path = write_pack(tmp_path / "p.pack", [digits.train], [digits.test], ["note"])
    content = path.read_bytes()
    magic, start, length, _ = HEADER.unpack(content[: HEADER.size])
    index = dict(np.load(io.BytesIO(content[start : start + length])))
    index["notes"] = np.frombuffer(np.full(4, 0x7FFFFFFF, np.uint32).tobytes(), "<U4")
    buffer = io.BytesIO()
    np.savez(buffer, **index)
    index_bytes = buffer.getvalue()
    header = HEADER.pack(magic, start, len(index_bytes), hashlib.sha256(index_bytes).digest())
    path.write_bytes(header + content[HEADER.size : start] + index_bytes)
    with pytest.raises(DataError, match=r"is no valid pack .*0x7fffffff"):
        load(path)
