"""Features that are the label in other words are said, with the columns to leave out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.data import from_numpy, load, load_unsplit
from dilution.data.label_copies import LabelCopies, find_label_copies

N = 600
RANDOM = np.random.default_rng(3)
X, LABELS = RANDOM.normal(size=(N, 2)), RANDOM.integers(3, size=N)
NAMES = np.array(["low", "middle", "high"])


def write(folder: Path, **columns: object) -> Path:
    path = folder / "t.csv"
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns, "label": NAMES[LABELS]}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("of", [load, load_unsplit])
@pytest.mark.parametrize(
    "values",
    [NAMES[LABELS], np.array(["OK", "so so", "bad"])[LABELS], LABELS * 10, LABELS * 2 + np.arange(N) % 2],
    ids=["same names", "other text", "codes", "two codes per class"],
)
def test_a_column_that_determines_the_label_is_said(
    values: np.ndarray, of: Callable[[str], object], tmp_path: Path
) -> None:
    data = of(str(path := write(tmp_path, copy=values)))
    (note,) = [note for note in data.notes if "made from the label" in note]  # type: ignore[attr-defined]
    assert note.startswith("column 'copy' alone determines the label")
    remedy = note.partition("leave it out with ")[2]
    assert remedy == f"{path}#label,drop=copy"
    assert not any("made from the label" in other for other in load(remedy).notes)


def test_columns_that_are_the_label_in_one_hot_form_are_said_together(tmp_path: Path) -> None:
    one_hot = {f"c{number}": (number == LABELS).astype(int) for number in range(3)}
    (note,) = [note for note in load(write(tmp_path, **one_hot)).notes if "made from the label" in note]
    assert note.startswith("each of the columns 'c0', 'c1', 'c2' equals one class, and together they are")
    assert note.endswith("#label,drop=c0,drop=c1,drop=c2")
    one = {"c0": one_hot["c0"]}  # as milk is of mammals: a feature of one class is no copy of the label
    assert not any("made from the label" in note for note in load(write(tmp_path, **one)).notes)


def test_a_second_column_of_labels_is_said_though_it_differs(tmp_path: Path) -> None:
    other = np.where(RANDOM.random(N) < 0.2, "low", NAMES[LABELS])
    notes = load(write(tmp_path, given_label=other)).notes
    assert any(note.startswith("column 'given_label' has names of classes") for note in notes)
    assert not any("made from the label" in note for note in load(write(tmp_path, size=other)).notes)


def test_a_copy_of_the_observed_labels_is_said(tmp_path: Path) -> None:
    observed = np.where(RANDOM.random(N) < 0.2, "low", NAMES[LABELS])
    notes = load(write(tmp_path, noisy_label=observed, code=observed)).notes
    assert any(note.startswith("column 'code' alone determines the label") for note in notes)


@pytest.mark.parametrize("as_frame", [False, True])
def test_a_feature_of_arrays_that_is_the_label_is_said(as_frame: bool) -> None:
    features = np.column_stack([X, LABELS])
    frame = pd.DataFrame(features, columns=["a", "b", "c"])
    data = from_numpy(features=frame if as_frame else features, labels=LABELS)
    (note,) = [note for note in data.notes if "made from the label" in note]
    remedy = note.partition("leave it out with ")[2]
    without = eval(remedy, {"features": frame if as_frame else features, "numpy": np})
    assert not any(
        "made from the label" in note for note in from_numpy(features=without, labels=LABELS).notes
    )


def test_numbers_of_rows_and_cells_that_are_no_values_are_no_copies() -> None:
    rows = np.arange(N)
    frame = pd.DataFrame({"row": rows, "lists": [[1]] * N, "missing": [pd.NA, None, np.nan] * (N // 3)})
    assert find_label_copies(frame, np.sort(LABELS), tuple(NAMES)) == LabelCopies()


@given(
    labels=st.lists(st.integers(0, 2), min_size=60, max_size=120),
    values=st.lists(st.integers(0, 3), min_size=120, max_size=120),
)
def test_a_feature_is_a_copy_exactly_if_each_value_has_one_class(
    labels: list[int], values: list[int]
) -> None:
    column, numbers = values[: len(labels)], np.array(labels)
    classes = pd.DataFrame({"v": column, "y": labels}).groupby("v")["y"].nunique()
    expected = bool((classes == 1).all()) and numbers.min() < numbers.max()
    copies = find_label_copies(pd.DataFrame({"x": column, "copy": numbers + 5}), numbers)
    assert ("x" in copies.alone) == expected
    assert ("copy" in copies.alone) == (numbers.min() < numbers.max())
