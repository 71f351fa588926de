"""The directory of a ZIP file is limited before Python makes an object of each of its entries."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dilution.data import load
from dilution.errors import DilutionError
from dilution.utils.zip_directory import open_zip


def zipped(count: int, comment: bytes = b"") -> bytes:
    """Return a ZIP file of many entries without bytes, and of one text."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}.npy", b"")
        archive.writestr("text", b"content" * 10_000)
        archive.comment = comment
    return file.getvalue()


@pytest.mark.parametrize("comment", [b"", b"x" * 60_000])
def test_a_small_directory_is_read_and_so_are_the_entries(comment: bytes) -> None:
    with open_zip(io.BytesIO(zipped(100, comment)), 10_000) as archive:
        assert len(archive.namelist()) == 101
        assert archive.read("text") == b"content" * 10_000  # larger than the limit of the directory


@pytest.mark.parametrize("comment", [b"", b"x" * 60_000])
def test_a_large_directory_is_refused_before_an_entry_is_made(
    comment: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped(300, comment)
    made = []
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *_: made.append(1))
    with pytest.raises(zipfile.BadZipFile, match=r"its directory has [\d,]+ bytes; at most 10,000 are read"):
        open_zip(io.BytesIO(content), 10_000)
    assert made == []


def test_what_is_no_zip_file_is_refused() -> None:
    for content in (b"", b"PK\x05\x06", b"x" * 100_000):
        with pytest.raises(zipfile.BadZipFile):
            open_zip(io.BytesIO(content))


def test_arrays_in_a_file_of_many_entries_are_refused_in_a_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 2, 2), np.uint8), labels=np.arange(4) % 2)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(DilutionError, match="its directory has") as refusal:
        load(tmp_path / "a.npz")
    assert len(str(refusal.value)) < 500
