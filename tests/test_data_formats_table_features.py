"""Numbers and text in tables as they are found: odd cells, marks in numbers, markers, footers; one note per "
"kind."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dilution.data import load, load_unsplit
from dilution.diagnosis import diagnose
from dilution.errors import InputError


def write(folder: Path, columns: dict[str, list[str]], separator: str = ",", name: str = "t.csv") -> Path:
    """Write a table of text with a column of labels, in quotes where that is needed."""
    n = len(next(iter(columns.values())))
    frame = pd.DataFrame({"label": list("ab") * (n // 2)} | columns if "label" not in columns else columns)
    path = folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep=separator)
    return path


def column(path: Path | str, number: int = 0) -> list[float]:
    values: list[float] = load_unsplit(path).arrays.images[:, number, 0, 0].tolist()
    return values


NUMBERS = [str(number) for number in range(100, 140)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("odd", ["?", "-", "Total", "#DIV/0!", "unknown", ".", "1 apple"])
def test_one_odd_cell_in_a_column_of_numbers_is_missing_with_a_note(
    tmp_path: Path, suffix: str, odd: str
) -> None:
    path = write(tmp_path, {"age": [*NUMBERS[:7], odd, *NUMBERS[8:]]}, name=f"t.{suffix}")
    data = load_unsplit(path)
    assert data.arrays.shape == (2, 1, 1)
    known = [float(number) for number in NUMBERS[:7] + NUMBERS[8:]]
    assert column(path) == [*known[:7], float(np.median(known)), *known[7:]]
    assert column(path, 1) == [float(number == 7) for number in range(40)]
    row = "row 9" if suffix == "csv" else "row 7"
    assert data.notes[-2:] == (
        f"column 'age' of numbers: 1 cell holds other text and counts as missing, the first is '{odd}' in "
        f"{row}",
        f"column 'age': 1 missing number is filled with the median {np.median(known):g}; a missing-value "
        "indicator column is added",
    )
    assert len(data.notes) == (2 if suffix == "csv" else 3)


@given(st.integers(20, 120), st.floats(0, 0.3), st.integers(0, 99))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_column_is_numeric_from_95_percent_of_numbers_on(
    tmp_path: Path, half: int, share: float, seed: int
) -> None:
    n, random = 2 * half, np.random.default_rng(seed)
    odd = random.permutation(n) < int(share * n)
    cells = [f"?{k % 3}" if is_odd else str(k % 40) for k, is_odd in enumerate(odd)]
    data = load_unsplit(write(tmp_path, {"x": cells}))
    is_numeric = odd.sum() <= 0.05 * n
    assert (data.arrays.shape[0] <= 2) == is_numeric
    count = f"{odd.sum():,} cell"
    if odd.any():
        assert any(count in note and f"row {np.argmax(odd) + 2}" in note for note in data.notes)


def test_the_training_rows_decide_whether_a_column_is_numeric(tmp_path: Path) -> None:
    cells = [str(number) for number in range(200)]
    others = [str(number * 7) for number in range(200)]  # so that no two rows are equal
    plain = load(write(tmp_path, {"x": cells, "y": others}))
    test_rows = [int(value) for value in plain.test.images[:, 0, 0, 0]]
    for row in test_rows:
        cells[row] = f"word {row}"
    data = load(write(tmp_path, {"x": cells, "y": others}, name="changed.csv"))
    assert data.train.shape == (2, 1, 1)
    assert np.array_equal(data.train.images, plain.train.images)
    assert f"{len(test_rows)} cells hold other text and count as missing" in data.notes[0]


def test_columns_of_one_kind_share_a_note(tmp_path: Path) -> None:
    columns = {f"x{k}": [*NUMBERS[:-1], "?"] for k in range(50)}
    columns |= {f"w{k}": ["u", "v", "w", ""] * 10 for k in range(250)}
    columns |= {f"e{k}": [""] * 40 for k in range(20)}
    notes = load_unsplit(write(tmp_path, columns)).notes
    assert notes == (
        "20 columns have no value in the training rows and are dropped, the first is 'e0'",
        "50 columns of numbers: 50 cells hold other text and count as missing, the first is '?' in row 41 "
        "of column 'x0'",
        "50 columns: 50 missing numbers are filled with the median of the column, 119 in 'x0'; 50 "
        "missing-value indicator columns are added",
        "250 columns of text become 1,000 columns of 0 and 1, one per value, a missing one included, the "
        "first is 'w0'",
    )


def test_a_footer_without_a_label_is_dropped_and_changes_no_column(tmp_path: Path) -> None:
    path = write(tmp_path, {"x": NUMBERS})
    plain = column(path)
    path.write_text(path.read_text() + ",Total\n")
    assert column(path) == plain
    assert load_unsplit(path).notes == ("1 row has no label and is dropped, the first is row 42",)


@pytest.mark.parametrize("word", ["Summe", "Total", "sum", "Gesamt", "Mean"])
def test_a_footer_in_the_column_of_labels_is_refused(tmp_path: Path, word: str) -> None:
    path = write(tmp_path, {"x": NUMBERS, "y": NUMBERS})
    path.write_text(path.read_text() + f"{word},4780,\n")
    message = (
        f"row 42, the last one, has the cell '{word}' like a footer, and its label '{word}' occurs in no"
    )
    with pytest.raises(InputError, match=message):
        load_unsplit(path)
    path.write_text(path.read_text() + f"a,4780,\n{word},1,2\n")
    assert word in load_unsplit(path).arrays.classes  # a class of two examples


def test_a_class_with_one_example_is_noted_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, {"x": NUMBERS})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "Verdict,5", *lines[3:]]) + "\n")
    assert load_unsplit(path).notes == ("class 'Verdict' has 1 example, in row 4",)
    assert load(path).notes == (
        "class 'Verdict' has 1 example, in row 4",
        "the test split has no example of class 'Verdict': test accuracy does not measure it",
    )
    path.write_text("\n".join([lines[0], "Verdict,5", "Q3,6", *lines[1:]]) + "\n")
    note = "2 classes have 1 example each, the first is 'Verdict' in row 2"
    assert load_unsplit(path).notes == (note,)
    assert load(path).notes[0] == note
    with pytest.raises(InputError, match=r"class 'Q3' has 1 example \(row 3\), and 1 more class has one"):
        diagnose(path)


def test_a_footer_with_a_label_of_its_own_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"x": NUMBERS, "label": ["0", "1"] * 20})
    path.write_text(path.read_text() + "Total,40\n")
    with pytest.raises(InputError, match="row 42, the last one, has the cell 'Total' like a footer"):
        load_unsplit(path)


@pytest.mark.parametrize(
    ("cells", "separator", "numbers", "note"),
    [
        (["0,5", "12", "-3,25", "4,0"], ";", [0.5, 12, -3.25, 4], "decimal commas"),
        (["0,5", "12", "-3,25", "4,0"], ",", [0.5, 12, -3.25, 4], "decimal commas"),
        (["0,5", "1.234,5", "2.000", "7"], ";", [0.5, 1234.5, 2000, 7], "'1.234,5' in row 3 is 1234.5"),
        (["1,234", "1,234,567", "12", "0.5"], ",", [1234, 1234567, 12, 0.5], "'1,234' in row 2 is 1234"),
        (["1,234", "1,234,567", "12", "5"], "\t", [1234, 1234567, 12, 5], "'1,234' in row 2 is 1234"),
        (["1,234.5", "7", "12", "5"], ";", [1234.5, 7, 12, 5], "'1,234.5' in row 2 is 1234.5"),
        (["1.234.567", "7", "12", "5"], ",", [1234567, 7, 12, 5], "'1.234.567' in row 2 is 1234567"),
        (["1 234", "7", "12", "5"], ",", [1234, 7, 12, 5], "'1 234' in row 2 is 1234"),
        (["1\u202f234,5", "7", "12", "5"], ";", [1234.5, 7, 12, 5], "is 1234.5"),
        (["1'234.5", "7", "12", "5"], ";", [1234.5, 7, 12, 5], "is 1234.5"),
        (["1,234", "12", "7", "5"], ",", [1234, 12, 7, 5], "'1,234' in row 2 is read as 1234; decimal=comma"),
        (
            ["1,234", "2,345", "3,456", "4,567"],
            ";",
            [1.234, 2.345, 3.456, 4.567],
            "read as 1.234; decimal=point",
        ),
    ],
)
def test_marks_in_numbers_are_read_with_a_note(
    tmp_path: Path, cells: list[str], separator: str, numbers: list[float], note: str
) -> None:
    path = write(tmp_path, {"x": cells * 5}, separator)
    assert column(path) == [float(np.float32(number)) for number in numbers * 5]
    assert any(note in line for line in load_unsplit(path).notes)


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["1,234", "12", "7", "999"], ";"),
        (["1,234", "12", "7", "999"], "\t"),
        (["1.234", "12", "7", "999"], ";"),
    ],
)
def test_a_mark_that_would_change_the_answer_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[str], separator: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"x": cells * 5}, separator)
    with pytest.raises(InputError, match="if the decimal mark is a point") as caught:
        load_unsplit("t.csv")
    point, comma = str(caught.value).rpartition("Name it: ")[2].removesuffix(".").split(" or ")
    assert {column(point)[0], column(comma)[0]} == {1234, float(np.float32(1.234))}


def test_other_columns_decide_what_a_mark_is(tmp_path: Path) -> None:
    cells = ["1,234", "12", "7", "999"] * 5
    path = write(tmp_path, {"x": cells, "y": ["0,5", "1,25"] * 10}, "\t")
    assert column(path)[0] == float(np.float32(1.234))
    path = write(tmp_path, {"x": cells, "y": ["0.5", "1.25"] * 10}, "\t")
    assert column(path)[0] == 1234
    path = write(tmp_path, {"x": ["1.234", "12", "7", ""] * 5, "y": ["0,5", "1,25"] * 10}, ";")
    assert column(path)[0] == 1234
    assert any("'1.234' in row 2 is 1234" in note for note in load_unsplit(path).notes)


def test_a_fixed_number_of_decimals_is_no_question(tmp_path: Path) -> None:
    path = write(tmp_path, {"x": [f"{number:.3f}" for number in np.linspace(1.1, 99.9, 40)]}, ";")
    assert column(path)[0] == float(np.float32(1.1))
    assert load_unsplit(path).notes == ()


def test_markers_of_missing_text_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, {"w": ["u", "NA", "", "None"] * 10})
    assert load_unsplit(path).notes == (
        "column 'w' becomes 2 columns of 0 and 1, one per value, a missing one included",
        "column 'w' of text: 20 cells count as missing, the first is 'NA' in row 3",
    )


def test_values_that_differ_in_blanks_are_merged_with_a_note(tmp_path: Path) -> None:
    path = write(tmp_path, {"w": ["u", "v", " u", "v"] * 10})
    assert load_unsplit(path).arrays.shape == (2, 1, 1)
    assert load_unsplit(path).notes[-1] == (
        "column 'w' of text: values that differ in blanks around them count as one, such as 'u' and ' u'"
    )


def test_text_with_mostly_numbers_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, {"w": ["1", "2", "none yet", "3"] * 10})
    assert load_unsplit(path).notes == (
        "column 'w' counts as text, since 10 cells hold no number, the first is 'none yet' in row 4",
        "column 'w' becomes 4 columns of 0 and 1, one per value",
    )


def test_numbers_that_are_text_in_parquet_are_numbers_with_a_note(tmp_path: Path) -> None:
    path = write(tmp_path, {"x": NUMBERS, "y": ["0,5", "7"] * 20}, name="t.parquet")
    assert column(path) == [float(number) for number in NUMBERS]
    assert column(path, 1) == [0.5, 7] * 20
    assert load_unsplit(path).notes == (
        "column 'y' has decimal commas, which are read as decimal points",
        "column 'x' is text in the file, and its numbers are read as numbers",
    )


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_and_parquet_give_the_same_features(tmp_path: Path, data: st.DataObject) -> None:
    texts = st.sampled_from(["1", "2.5", "-3", "0,5", "1,234.5", "word", "ä", "x y", "1e3", "007", "yes"])
    n = 2 * data.draw(st.integers(3, 25))
    columns = {
        name: data.draw(st.lists(texts, min_size=n, max_size=n))
        for name in data.draw(st.sampled_from(["x", "xy"]))
    }
    csv = load_unsplit(write(tmp_path, columns))
    parquet = load_unsplit(write(tmp_path, columns, name="t.parquet"))
    assert np.array_equal(csv.arrays.images, parquet.arrays.images)
