"""Copies and groups: examples that belong together are never on both sides of a split."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

import dilution
from dilution.data import Arrays, load, load_unsplit, pack_folder
from dilution.data.duplicates import find_copies, group_copies
from dilution.data.exact_copies import exact_groups, is_copy_of
from dilution.data.group_numbers import join_groups, number_groups
from dilution.data.groups import read_groups
from dilution.data.splits import divide_groups, split_arrays, stratified_split
from dilution.diagnosis.cross_validation import split_folds
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.study import Run
from dilution.study.prepare import GROUPED, prepare
from dilution.training.confusability import _folds

Pixels = NDArray[np.uint8]


@st.composite
def rows_with_copies(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features of which some rows are equal, and labels, which may differ among copies."""
    n = draw(st.integers(12, 60))
    values = draw(st.lists(st.integers(0, 40), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    assume(len(set(labels)) > 1)
    features = torch.tensor(values, dtype=torch.float32)[:, None, None, None].repeat(1, 2, 1, 1)
    return features, torch.tensor(labels)


def sides(*parts: torch.Tensor) -> list[set[float]]:
    return [set(part.flatten(1)[:, 0].tolist()) for part in parts]


@given(rows_with_copies(), st.integers(0, 2**31), st.integers(1, 11), st.integers(2, 6))
def test_no_split_has_copies_on_both_sides(
    rows: tuple[torch.Tensor, torch.Tensor], seed: int, count: int, folds: int
) -> None:
    features, labels = rows
    arrays = Arrays(features, labels, ("a", "b", "c"))
    groups = exact_groups(features)
    try:
        data = split_arrays("x", arrays)
        train, test = sides(data.train.images, data.test.images)
        assert not train & test
        assert set(data.train.labels.tolist()) == set(labels.tolist())
    except InputError as error:
        assert "must not be divided" in str(error) or "no class of the" in str(error)  # noqa: PT017
    if len(set(groups)) > 1:
        kept, held_out = Dilution(arrays, 1, seed=seed).hold_out(count)
        train, val = sides(features[kept.clean_rows], features[held_out.clean_rows])
        assert not train & val
        assert 0 < held_out.n < len(features)
        assert kept.n + held_out.n == len(features)
    parts = split_folds(len(features), groups, folds, seed, 0)
    assert sorted(np.concatenate(parts)) == list(range(len(features)))
    of_folds = sides(*(features[part] for part in parts))
    assert sum(map(len, of_folds)) == len(set.union(*of_folds))
    confusability_folds = _folds(torch.arange(len(features)), torch.from_numpy(groups))
    of_folds = sides(*(features[part] for part in confusability_folds))
    assert sum(map(len, of_folds)) == len(set.union(*of_folds))


@given(rows_with_copies(), st.integers(0, 100), st.integers(6, 10))
def test_fresh_images_are_no_copies_of_validation_images(
    rows: tuple[torch.Tensor, torch.Tensor], seed: int, n: int
) -> None:
    features, labels = rows
    try:
        noisy = Dilution(Arrays(features, labels, ("a", "b", "c")), 0.3, image_source="fresh", n=n, seed=seed)
        training, held_out = noisy.hold_out(2)
    except InputError:  # a group alone, or no fresh image left
        assume(False)
    shown = training.images(torch.arange(len(training)))
    assert not set.intersection(*sides(shown, features[held_out.clean_rows]))


@given(st.lists(st.integers(0, 3), min_size=6, max_size=80), st.integers(2, 5), st.integers(0, 99))
def test_rows_without_copies_are_split_as_they_always_were(labels: list[int], folds: int, seed: int) -> None:
    numbers = np.array(labels)
    for own, alone in zip(
        stratified_split(numbers, np.arange(len(numbers))[::-1]), stratified_split(numbers), strict=True
    ):
        np.testing.assert_array_equal(own, alone)
    arrays = Arrays(torch.arange(len(numbers)).float()[:, None, None, None], torch.from_numpy(numbers))
    assert arrays.split_groups is None
    expected = dilution.utils.rng.permutation(
        dilution.utils.rng.stream(seed, "folds/0"), len(numbers)
    ).numpy()
    for part, rows in zip(
        split_folds(len(numbers), None, folds, seed, 0), np.array_split(expected, folds), strict=True
    ):
        np.testing.assert_array_equal(part, rows)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_joined_groups_keep_both_divisions_together_and_nothing_else(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    joined = join_groups(first, second)
    reached = np.eye(len(pairs), dtype=bool)
    same = (first[:, None] == first) | (second[:, None] == second)
    for _ in pairs:
        reached = (reached.astype(int) @ same) > 0
    np.testing.assert_array_equal(joined[:, None] == joined, reached)
    np.testing.assert_array_equal(joined, number_groups(joined))


def test_parts_of_groups_are_about_equal() -> None:
    groups = np.repeat(np.arange(60), np.random.default_rng(0).integers(1, 9, 60))
    sizes = np.bincount(divide_groups(groups, 5))
    assert sizes.max() - sizes.min() <= 1


def test_a_fifth_of_the_rows_is_for_testing_whatever_the_sizes_and_the_order_of_the_groups() -> None:
    random = np.random.default_rng(0)
    for groups in (
        np.repeat(np.arange(200), 5),
        np.tile(np.arange(200), 5),
        np.repeat(np.arange(200), random.integers(1, 20, 200)),
    ):
        labels = (groups * 7) % 3
        _, test = stratified_split(labels, groups)
        assert 0.15 <= len(test) / len(labels) <= 0.201
        assert np.abs(np.bincount(labels[test]) / np.bincount(labels) - 0.19).max() < 0.08


def test_two_patients_are_divided_and_one_is_not() -> None:
    labels = np.array([0, 1] * 10)
    _, test = stratified_split(labels, np.repeat([0, 1], [15, 5]))
    np.testing.assert_array_equal(test, np.arange(15, 20))
    assert len(stratified_split(labels, np.zeros(20, dtype=np.int64))[1]) == 0
    arrays = Arrays(
        torch.arange(20.0)[:, None, None, None], torch.from_numpy(labels), groups=torch.ones(20).long()
    )
    with pytest.raises(InputError, match=r"the 20 examples are 1 group.*must not be divided"):
        split_arrays("x", arrays)
    with pytest.raises(InputError, match=r"the 20 examples are 1 group.*must not be divided"):
        Dilution(arrays, 1).hold_out(4)


def test_zeros_of_both_signs_are_equal_and_types_do_not_matter() -> None:
    images = torch.tensor([0.0, -0.0, 1.0])[:, None, None, None]
    assert exact_groups(images).tolist() == [0, 0, 1]
    assert exact_groups(images.abs().byte()).tolist() == [0, 0, 1]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 9),
    st.sampled_from([torch.uint8, torch.float32]),
    st.integers(0, 99),
)
def test_groups_of_equal_examples_are_those_of_their_bytes(
    kinds: list[int], width: int, dtype: torch.dtype, seed: int
) -> None:
    """Examples of any width differ in one number, the first, the last or another one."""
    different = torch.randint(0, 200, (1, width), generator=torch.manual_seed(seed)).repeat(4, 1)
    for number in range(1, 4):
        different[number, (0, width - 1, width // 2)[number - 1]] += number * 7
    images = different[kinds].to(dtype)[:, None, None, :]
    rows = [tuple(image.flatten().tolist()) for image in images]
    expected = number_groups(np.array([rows.index(row) for row in rows]))
    np.testing.assert_array_equal(exact_groups(images), expected)
    others = images[: len(images) // 2]
    assert is_copy_of(images[len(others) :], others).tolist() == [
        row in rows[len(others) :] for row in rows[: len(others)]
    ]


def test_a_million_different_rows_need_no_hash_of_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashes(images: torch.Tensor) -> NDArray[np.int64]:
        assert len(images) < 10
        return np.zeros(len(images), dtype=np.int64)

    monkeypatch.setattr("dilution.data.exact_copies._hashes", hashes)
    counter = torch.arange(1_000_000)
    features = torch.stack([counter % 1000, counter // 1000, counter % 7], dim=1).float()
    assert exact_groups(features[:, :, None, None])[-1] == 999_999


@pytest.fixture(scope="module")
def photos() -> Pixels:
    """Parts of two photographs, uint8, shape (parts, 3, 192, 192)."""
    size, step = 192, 64
    parts = [
        image[top : top + size, left : left + size]
        for image in load_sample_images().images
        for top in range(0, 427 - size, step)
        for left in range(0, 640 - size, step)
    ]
    return np.stack(parts).transpose(0, 3, 1, 2)


def compressed(image: Pixels, quality: int) -> Pixels:
    content = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(content.getvalue()))).transpose(2, 0, 1)


def brightened(image: Pixels, levels: int) -> Pixels:
    return np.clip(image.astype(int) + levels, 0, 255).astype(np.uint8)


CHANGES = {
    "compressed at 90": lambda image: compressed(image, 90),
    "compressed at 75": lambda image: compressed(image, 75),
    "brighter": lambda image: brightened(image, 20),
    "darker": lambda image: brightened(image, -20),
    "less contrast": lambda image: (0.7 * image).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_were_compressed_again_or_made_brighter_are_near_copies(
    photos: Pixels, change: str
) -> None:
    changed = np.stack([CHANGES[change](image) for image in photos])
    copies = find_copies(torch.from_numpy(np.concatenate([photos, changed])))
    is_joined = copies.groups[: len(photos)] == copies.groups[len(photos) :]
    assert is_joined.mean() >= 0.9  # the others are mostly white, or too dark to show anything
    assert copies.n_copies == copies.n_near_copies == is_joined.sum()
    (note,) = copies.notes("image", "images")
    assert f"{copies.n_copies} of the {2 * len(photos)} images are near-copies of other images" in note


def test_different_images_are_no_near_copies(photos: Pixels) -> None:
    assert find_copies(torch.from_numpy(photos)).n_copies == 0
    assert find_copies(load("photos").train.images).n_copies == 0
    colours = np.zeros((3, 3, 16, 16), dtype=np.uint8)
    colours[np.arange(3), np.arange(3), :, :8] = 200  # one grey value, three colours
    assert find_copies(torch.from_numpy(colours)).n_copies == 0
    small = torch.from_numpy(np.stack([photos[0][:, :15, :15], brightened(photos[0], 5)[:, :15, :15]]))
    assert find_copies(small).n_copies == 0  # too few pixels to tell


def test_near_copies_of_float_images_do_not_depend_on_their_scale(photos: Pixels) -> None:
    pair = torch.from_numpy(np.stack([photos[0], brightened(photos[0], 8), photos[7]])).float()
    for scale in (1.0, 1 / 255, 1e4):
        assert find_copies(pair * scale).groups.tolist() == [0, 0, 1]


def test_near_copies_that_would_join_a_large_share_of_the_images_are_counted_and_not_joined(
    photos: Pixels,
) -> None:
    frames = np.stack([brightened(photos[3], number - 15) for number in range(30)])
    copies = find_copies(torch.from_numpy(np.concatenate([frames, photos[4:34]])))
    assert copies.n_copies == 0
    assert copies.n_alike == 30
    (note,) = copies.notes("image", "images")
    assert note.startswith("30 of the 60 images are so alike that near-copies among them cannot be told")


def write_table(folder: Path, distinct: int, times: int, groups: int = 0, name: str = "t.csv") -> Path:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, distinct)
    rows = [
        f"{number / 7:.3f},{'abc'[labels[number]]}{f',{number % groups}' if groups else ''}"
        for number in random.permutation(np.repeat(np.arange(distinct), times))
    ]
    header = f"size,label{',patient' if groups else ''}"
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


def test_the_splits_of_a_table_share_no_row_and_copies_are_noted(tmp_path: Path) -> None:
    data = load(write_table(tmp_path, 60, 5))
    assert not set.intersection(*sides(data.train.images, data.test.images))
    assert len(data.test) == 60
    (note,) = data.notes
    assert note.startswith("240 of the 300 rows are copies of other rows (equal features), the first is row ")
    kept, held_out = Dilution(data.train, 1).hold_out(24)
    assert held_out.n == 20
    assert not set.intersection(
        *sides(data.train.images[kept.clean_rows], data.train.images[held_out.clean_rows])
    )


def test_rows_that_become_equal_by_their_encoding_share_a_split(tmp_path: Path) -> None:
    # Missing cells get the median of the training rows, which other rows may have.
    rows = [f"{'' if number % 7 == 0 else number % 9},{'ab'[number % 2]}" for number in range(90)]
    (tmp_path / "t.csv").write_text("size,label\n" + "\n".join(rows) + "\n")
    data = load(tmp_path / "t.csv")
    train, test = (
        {tuple(row) for row in split.images.flatten(1).tolist()} for split in (data.train, data.test)
    )
    assert not train & test


def test_a_column_of_groups_is_no_feature_and_keeps_its_rows_together(tmp_path: Path) -> None:
    path = write_table(tmp_path, 120, 1, groups=15)
    data = load(f"{path}#group=patient")
    assert data.train.shape == (1, 1, 1)
    patients = {round(number / 7, 3): number % 15 for number in range(120)}
    train, test = (
        {patients[round(size, 3)] for size in split.images.flatten().tolist()}
        for split in (data.train, data.test)
    )
    assert not train & test
    assert train | test == set(range(15))
    assert "120 examples are of 15 groups of column 'patient'" in data.notes[0]
    assert len(load_unsplit(f"{path}#group=patient").arrays.split_groups.unique()) == 15
    with pytest.raises(InputError, match="'doctor' is not a column"):
        load(f"{path}#group=doctor")
    with pytest.raises(InputError, match="'size' is the column of groups, and a label or to be dropped too"):
        load(f"{path}#group=size,drop=size")


def test_examples_without_a_group_are_groups_of_their_own() -> None:
    groups, notes = read_groups(["a", "", None, "a ", "1", 1.0], "column 'x'", lambda row: f"row {row}")
    assert groups.tolist() == [0, 1, 2, 0, 3, 3]
    assert (
        notes[1] == "2 examples have no group in column 'x' and are groups of their own, the first is row 1"
    )


def test_rows_that_are_equal_by_chance_do_not_join_all_groups_that_a_user_names(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    patient, size = np.arange(300) // 10, random.integers(0, 20, 300)
    rows = [f"{size[row]},{'ab'[size[row] % 2]},p{patient[row]}" for row in range(300)]
    (tmp_path / "t.csv").write_text("size,label,patient\n" + "\n".join(rows) + "\n")
    data = load(f"{tmp_path / 't.csv'}#group=patient")
    groups = (data.train.split_groups, data.test.split_groups)
    assert [len(part.unique()) for part in groups if part is not None] == [24, 6]
    assert any(
        "300 of the 300 rows equal rows of other groups; kept together with these, 300 would be one group"
        in note
        for note in data.notes
    )
    # Few equal rows join the groups that have them.
    few = dilution.from_numpy(
        features=np.where(np.arange(300) == 290, 5, np.arange(300))[:, None] * 1.0,
        labels=np.arange(300) % 2,
        groups=patient,
    )
    assert not any("of other groups" in note for note in few.notes)
    counts = few.train.groups if few.train.groups is not None else torch.empty(0)
    assert 20 in counts.unique(return_counts=True)[1].tolist()


def test_arrays_take_groups_and_say_what_is_wrong_with_them() -> None:
    features, labels = np.arange(40.0)[:, None], np.arange(40) % 2
    data = dilution.from_numpy(features=features, labels=labels, groups=np.arange(40) // 4)
    train, test = ({int(value) // 4 for value in split.images.flatten()} for split in (data.train, data.test))
    assert not train & test
    missing = [None if row == 3 else "ab"[row % 2] for row in range(40)]
    data = dilution.from_numpy(features=features, labels=missing, groups=np.arange(40) // 4)
    assert len(data.train) + len(data.test) == 39
    with pytest.raises(InputError, match=r"groups has shape \(39,\) for 40 examples"):
        dilution.from_numpy(features=features, labels=labels, groups=np.arange(39))
    with pytest.raises(InputError, match=r"groups are torch.float32"):
        Arrays(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]), groups=torch.zeros(2))


@pytest.mark.parametrize(("n_different", "kept_together"), [(2, False), (3, True)])
def test_examples_too_alike_to_be_divided_are_divided_with_a_word(
    n_different: int, kept_together: bool
) -> None:
    """Two drawings, ten copies of each, one class each: no split could keep copies together."""
    row = np.arange(40)
    features = (row % n_different)[:, None].astype(np.float64)
    data = dilution.from_numpy(features=features, labels=np.where(row % n_different == 0, "a", "b"))
    train, test = (set(split.images.flatten().tolist()) for split in (data.train, data.test))
    assert (not train & test) == kept_together
    assert any("copies lie on both sides" in note for note in data.notes) != kept_together
    groups = row % n_different
    if not kept_together:  # groups that a user names are never divided
        with pytest.raises(InputError, match="must not be divided"):
            dilution.from_numpy(features=row[:, None] * 1.0, labels=groups, groups=groups)


def test_copies_of_training_examples_in_a_test_split_of_the_user_are_counted(tmp_path: Path) -> None:
    features = np.arange(40.0)[:, None]
    data = dilution.from_numpy(
        features=features,
        labels=np.arange(40) % 2,
        test_features=features[30:] + np.arange(10)[:, None] % 2 * 0.5,
        test_labels=np.arange(10) % 2,
    )
    assert len(data.test) == 10
    (note,) = data.notes
    assert note.startswith("5 of the 10 test examples are copies of training examples")


def save_folder(folder: Path, photos: Pixels) -> None:
    """Write 40 images of two classes, the first 20 twice: compressed again, or made brighter."""
    for number, image in enumerate(photos[:40]):
        target = folder / "ab"[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(target / f"{number:02}.png")
        if number < 20:
            changed = brightened(image, 15) if number % 4 < 2 else compressed(image, 80)
            Image.fromarray(changed.transpose(1, 2, 0)).save(target / f"{99 - number}x.png")


def test_near_copies_in_a_folder_share_a_split(tmp_path: Path, photos: Pixels) -> None:
    save_folder(tmp_path / "mine", photos)
    data = load(tmp_path / "mine")
    side = data.train.shape[1]
    assert len(data.train) + len(data.test) == 60
    (note,) = data.notes
    assert int(note.split()[0]) >= 19  # of 20, one of which is mostly white
    assert "of the 60 images are near-copies of other images" in note
    both = find_copies(torch.cat([data.train.images, data.test.images])).groups
    assert not set(both[: len(data.train)]) & set(both[len(data.train) :])
    assert side == 32
    (note,) = load_unsplit(tmp_path / "mine").notes or ("",)
    assert note == ""  # diagnose, which folds them, finds the copies


def test_near_copies_that_leave_nothing_to_divide_are_counted_and_not_joined(photos: Pixels) -> None:
    images = torch.from_numpy(np.stack([brightened(photos[0], 2 * number) for number in range(10)]))
    images[9] = images[8]
    arrays = Arrays(images, torch.arange(10) % 2)
    assert (find_copies(images).groups == 0).all()
    grouped, notes = group_copies(arrays)
    assert torch.equal(grouped.groups, torch.from_numpy(exact_groups(images)))
    assert notes == (
        "1 of the 10 images is a copy of another image (equal pixels), the first is 9, equal to 8; copies "
        "share a side of every split",
        "10 of the 10 images are so alike that near-copies among them cannot be told: of these only those "
        "with equal pixels share a side of every split",
    )


def test_a_pack_keeps_equal_images_together_and_notes_them(tmp_path: Path, photos: Pixels) -> None:
    for number in range(30):
        target = tmp_path / "mine" / "ab"[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photos[number % 14].transpose(1, 2, 0)).save(target / f"{number:02}.png")
    packed = pack_folder(tmp_path / "mine", tmp_path / "p.pack", 32, workers=0)
    data = load(tmp_path / "p.pack")
    assert data.notes == packed.notes
    pixels = [split.take(torch.arange(len(split))) for split in (data.train, data.test)]
    assert torch.equal(data.train.split_groups, torch.from_numpy(exact_groups(pixels[0])))
    together = exact_groups(torch.cat(pixels))
    assert not np.isin(together[len(data.train) :], together[: len(data.train)]).any()
    assert any(note.startswith("16 of the 30 images are copies of other images") for note in data.notes)


def test_a_pack_of_split_folders_keeps_the_splits_and_notes_copies_between_them(
    tmp_path: Path, photos: Pixels
) -> None:
    for number in range(30):
        target = tmp_path / "mine" / ("val" if number < 6 else "train") / "ab"[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photos[number % 14].transpose(1, 2, 0)).save(target / f"{number:02}.png")
    packed = pack_folder(tmp_path / "mine", tmp_path / "p.pack", 32, workers=0)
    data = load(tmp_path / "p.pack")
    assert (len(data.train), len(data.test)) == (24, 6)
    assert data.notes == packed.notes == load(tmp_path / "mine").notes
    assert any(note.startswith("6 of the 6 test examples are copies of training") for note in data.notes)


def test_built_in_data_keep_their_published_splits() -> None:
    data = load("digits")
    assert data.train.groups is not None
    assert data.train.split_groups is None
    assert data.notes == ()


def test_runs_on_data_with_copies_have_keys_of_their_own_and_other_keys_stay(tmp_path: Path) -> None:
    paths = write_table(tmp_path, 60, 1, name="a.csv"), write_table(tmp_path, 30, 2, name="b.csv")
    alone, copied = (
        prepare([Run.of(dataset=str(path), n=40, alpha=1, model="mlp1")], None)[0].fingerprint
        for path in paths
    )
    assert GROUPED not in alone
    assert copied.endswith(f"+{GROUPED}")
    assert prepare([Run.of(dataset="digits", n=100, alpha=1, model="mlp1")], None)[0].fingerprint == ""


def test_copies_of_a_large_table_are_found() -> None:
    table = np.random.default_rng(0).integers(0, 1000, (200_000, 10)).astype(np.float32)
    table[100_000:] = table[:100_000]
    groups = exact_groups(torch.from_numpy(table)[:, :, None, None])
    np.testing.assert_array_equal(groups[100_000:], groups[:100_000])
