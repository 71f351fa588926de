"""write_pack: parts of any length, refused parts, and a full disk."""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dilution.data import Arrays, load, write_pack
from dilution.errors import DataError, InputError


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), channels=st.integers(1, 3), seed=st.integers()
)
def test_parts_of_any_length_make_the_same_pack(
    tmp_path: Path, sizes: list[int], channels: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed % 2**31)
    images = torch.randint(0, 256, (sum(sizes), channels, 3, 2), generator=generator, dtype=torch.uint8)
    whole = Arrays(images, torch.arange(sum(sizes)) % 2, ("no", "yes"))
    parts = [whole.subset(rows) for rows in torch.arange(sum(sizes)).split(sizes)]
    expected = write_pack(tmp_path / "one.pack", [whole], [whole]).read_bytes()
    assert write_pack(tmp_path / "many.pack", parts, parts).read_bytes() == expected


def test_different_parts_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    digits = load("digits")
    other = Arrays(torch.zeros(2, 1, 9, 8, dtype=torch.uint8), torch.tensor([0, 1]), digits.train.classes)
    with pytest.raises(InputError, match="parts differ"):
        write_pack(tmp_path / "a.pack", [digits.train, other], [digits.test])
    with pytest.raises(InputError, match="the test split has no images"):
        write_pack(tmp_path / "a.pack", [digits.train], [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which reports a full disk")
def test_a_full_disk_leaves_no_pack_and_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load("digits")

    def full(_: Path) -> BinaryIO:
        return Path("/dev/full").open("wb")

    monkeypatch.setattr("dilution.data.pack.writer.create_file", full)
    with pytest.raises(DataError, match=r"a.pack could not be written: No space left on device"):
        write_pack(tmp_path / "a.pack", [digits.train], [digits.test])
    assert list(tmp_path.iterdir()) == []


def test_observed_labels_are_packed(tmp_path: Path) -> None:
    images = torch.arange(8, dtype=torch.uint8)[:, None, None, None]
    observed = Arrays(images, torch.tensor([0, 1] * 4), ("a", "b"), torch.tensor([1, 1] * 4))
    clean = Arrays(images, observed.labels, observed.classes)
    data = load(write_pack(tmp_path / "a.pack", [observed], [clean]))
    assert data.train.observed is not None
    assert data.train.observed.tolist() == [1] * 8
    assert data.test.observed is None
    with pytest.raises(InputError, match="8 of 16 images of the train split"):
        write_pack(tmp_path / "b.pack", [observed, clean], [clean])
    assert [file.name for file in tmp_path.iterdir()] == ["a.pack"]


def test_floats_are_refused(tmp_path: Path) -> None:
    rows = Arrays(torch.zeros(4, 3, 1, 1), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(InputError, match="a pack holds uint8 only"):
        write_pack(tmp_path / "c.pack", [rows], [rows])
    assert list(tmp_path.iterdir()) == []


def test_notes_are_packed_and_without_notes_the_file_is_that_of_older_versions(tmp_path: Path) -> None:
    digits = load("digits")
    notes = ("1 file is skipped", "é 日本")
    data = load(write_pack(tmp_path / "a.pack", [digits.train], [digits.test], notes))
    assert data.notes == notes
    plain = write_pack(tmp_path / "b.pack", [digits.train], [digits.test])
    assert load(plain).notes == ()
    assert b"notes.npy" not in plain.read_bytes()


def test_groups_are_packed_where_examples_share_one_or_notes_speak_of_them(tmp_path: Path) -> None:
    images = torch.arange(8, dtype=torch.uint8)[:, None, None, None]
    plain = Arrays(images, torch.tensor([0, 1] * 4), ("a", "b"))
    shared, trivial = torch.arange(8) // 2, torch.arange(8)
    for number, (groups, notes, is_packed) in enumerate(
        [(shared, (), True), (trivial, ("all 8 images are equal",), True), (trivial, (), False)]
    ):
        grouped = replace(plain, groups=groups)
        path = write_pack(tmp_path / f"{number}.pack", [grouped], [plain], notes)
        assert (b"train_groups" in path.read_bytes()) == is_packed
        data = load(path)
        assert data.train.groups is not None
        assert data.train.groups.tolist() == groups.tolist()
        assert data.test.groups is None
    with pytest.raises(InputError, match="8 of 16 images of the train split have a group; all must have one"):
        write_pack(tmp_path / "x.pack", [grouped, plain], [plain])


def test_copies_of_a_pack_with_groups_are_not_sought_again(tmp_path: Path) -> None:
    images = torch.zeros(8, 1, 1, 1, dtype=torch.uint8)
    equal = Arrays(images, torch.tensor([0, 1] * 4), ("a", "b"), groups=torch.arange(8))
    notes = ("all 10 images are equal; no model can tell one image from another",)
    data = load(write_pack(tmp_path / "a.pack", [equal], [equal], notes))
    assert data.notes == notes
    assert data.train.split_groups is None
