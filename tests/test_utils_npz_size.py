"""Arrays in archives are refused by their headers, before anything is unpacked."""

import io
import zipfile

import numpy as np
import pytest

from dilution.utils.npz_size import RefusedArraysError, check_array_fits, check_arrays_fit


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
