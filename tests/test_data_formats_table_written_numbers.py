"""Numbers as people write them, numbers of many digits, values that look alike: nothing changes unsaid."""

import os
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dilution.data import load, load_unsplit
from dilution.data.duplicates import find_copies
from dilution.data.exact_copies import exact_groups
from dilution.data.formats.csv_leading_zeros import may_have_leading_zeros
from dilution.data.formats.table_files import open_table
from dilution.errors import DilutionError, InputError


def write(path: Path, cells: list[str], header: str = "x", separator: str = ",", above: str = "") -> Path:
    """Write a table of one column, in quotes, and a column of labels."""
    rows = [f'"{cell}"{separator}{"ab"[number % 2]}' for number, cell in enumerate(cells)]
    path.write_text(above + "\n".join([f"{header}{separator}label", *rows]) + "\n", encoding="utf-8")
    return path


def column(path: Path | str, number: int = 0) -> list[float]:
    values: list[float] = load_unsplit(path).arrays.images[:, number, 0, 0].tolist()
    return values


def notes_on(path: Path | str) -> str:
    return "\n".join(load_unsplit(path).notes)


LONG = 9007199254740993  # 2⁵³ + 1, which float64 does not hold


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("first", [2**24, LONG, 10**21, -(10**21)])
def test_whole_numbers_of_many_digits_stay_different(
    tmp_path: Path, suffix: str, gap: bool, first: int
) -> None:
    numbers = [str(first + number) for number in range(20)] + [""] * gap + ["5"] * (2 - gap)
    path = tmp_path / f"t.{suffix}"
    write(tmp_path / "t.csv", numbers)
    if suffix == "parquet":
        frame = pd.read_csv(tmp_path / "t.csv", dtype={"x": "str"})
        if abs(first) < 2**63:
            frame["x"] = pd.array(
                [int(cell) if isinstance(cell, str) else None for cell in frame["x"]], "Int64"
            )
        frame.to_parquet(path)
    data = load_unsplit(path)
    n_copies = find_copies(data.arrays.images).n_copies
    assert n_copies == (0 if gap else 1)
    assert any("float32" in note for note in data.notes)
    assert not any("copies" in note or "copy" in note for note in load(path).notes[:-1])


@given(st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_copies_only_if_their_numbers_are_equal_as_read(tmp_path: Path, data: st.DataObject) -> None:
    whole = st.integers(-(2**70), 2**70) | st.integers(2**53, 2**53 + 3) | st.integers(2**24, 2**24 + 3)
    fraction = st.floats(0.1, 0.1 + 1e-8) | st.floats(-1e30, 1e30, allow_subnormal=False)
    n = 2 * data.draw(st.integers(4, 8))
    columns = {
        name: data.draw(st.lists(kind, min_size=n, max_size=n))
        for name, kind in (("x", data.draw(st.sampled_from([whole, fraction]))), ("y", whole))
    }
    assume(all(abs(number) > 1e-30 or number == 0 for cells in columns.values() for number in cells))
    frame = pd.DataFrame({name: list(map(repr, cells)) for name, cells in columns.items()})
    frame["label"] = list("ab") * (n // 2)
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    groups = exact_groups(load_unsplit(path).arrays.images)
    rows = list(zip(*columns.values(), strict=True))
    assert groups.tolist() == [list(dict.fromkeys(rows)).index(row) for row in rows]


def test_whole_numbers_that_become_equal_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{10**15 * number + number % 2},{number},{'ab'[number % 2]}\n" for number in range(2, 12))
    path.write_text(f"x,y,label\n{rows}{2 * 10**15 + 1},99,a\n")
    (note,) = load_unsplit(path).notes
    assert note == (
        "column 'x' has whole numbers with more digits than float32 holds: 1 of them becomes equal to "
        "another one, such as 2000000000000000 and 2000000000000001; an identifier is no feature: drop it"
    )


def test_an_index_of_long_numbers_is_told_by_all_its_digits(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,y,label\n" + "".join(f"{LONG + k},{k % 7},{'ab'[k % 2]}\n" for k in range(20)))
    assert any(
        note.startswith("column 'id' has a name and numbers like an index")
        for note in load_unsplit(path).notes
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_leading_zeros_are_said(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "t.csv", ["007", "7", "08", "-012"] * 4)
    if suffix == "parquet":
        pd.read_csv(path, dtype="str").to_parquet(path := tmp_path / "t.parquet")
    assert column(path)[:4] == [7, 7, 8, -12]
    row = "row 2" if suffix == "csv" else "row 0"
    assert (
        f"column 'x' has numbers with leading zeros in 12 cells, which are left out: '007' in {row} is 7"
        in load_unsplit(path).notes
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_leading_zeros_are_noticed_in_any_dialect(tmp_path: Path, encoding: str, separator: str) -> None:
    path = tmp_path / "t.csv"
    options = f"#label,encoding={encoding}" if encoding == "cp1252" else ""
    for cell, is_noted in (("0", False), ("10", False), ("0705", True)):
        frame = pd.DataFrame({"x": [cell, "5", "7", "8"] * 4, "label": list("ab") * 8})
        frame.to_csv(path, index=False, sep=separator, encoding=encoding)
        assert ("leading zeros" in notes_on(f"{path}{options}")) == is_noted


@given(st.integers(0, 3 * 2**18), st.sampled_from([b"0705", b"-01", b'"00"', b" 01.5"]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_leading_zeros_are_noticed_at_any_place(tmp_path: Path, place: int, cell: bytes) -> None:
    path = tmp_path / "t.csv"
    row = b"10.05,0.5,0,-0.1,a,2020-01-05\n"
    count, rest = divmod(place, len(row))
    above = b"x" * rest + b"\n" + row * count
    path.write_bytes(above + row)
    assert not may_have_leading_zeros(path, "utf-8", ",")
    path.write_bytes(above + cell + b",1\n" + row)
    assert may_have_leading_zeros(path, "utf-8", ",")
    path.write_bytes(above + b"5," + cell)
    assert may_have_leading_zeros(path, "utf-8", ",")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("cells", "numbers", "note"),
    [
        (["−5", "3"], [-5, 3], "in 8 cells, which are read with them: '−5' in row"),
        (["(5)", "3.5"], [-5, 3.5], "'(5)' in row"),
        (["(1,234.5)", "3.5"], [-1234.5, 3.5], "'(1,234.5)' in row"),
        (["5%", "7.5 %"], [0.05, 0.075], "in 16 cells, which are read with them: '5%' in row"),
        (["5%", "0.5"], [0.05, 0.5], "'5%' in row"),
        (["$3.50", "$1,204"], [3.5, 1204], "'$3.50' in row"),
        (["3,50 €", "−1,25 €"], [3.5, -1.25], "'3,50 €' in row"),
        (["-$5", "$−3"], [-5, -3], "'-$5' in row"),
        (["1815.04-", "5-"], [-1815.04, -5], "in 16 cells, which are read with them: '1815.04-' in row"),
        (["1.815,04-", "7,25"], [-1815.04, 7.25], "'1.815,04-' in row"),
        (["12−", "7"], [-12, 7], "'12−' in row"),
        (["3,50 €", "1,25 €-"], [3.5, -1.25], "in 16 cells"),
        (["1 000", "20"], [1000, 20], "separators of thousands in 8 cells"),
        (["1\u202f000,5", "20"], [1000.5, 20], "separators of thousands in 8 cells"),
    ],
)
def test_signs_beside_numbers_are_read_with_a_note(
    tmp_path: Path, suffix: str, cells: list[str], numbers: list[float], note: str
) -> None:
    path = write(tmp_path / "t.csv", cells * 8)
    if suffix == "parquet":
        pd.read_csv(path, dtype="str").to_parquet(path := tmp_path / "t.parquet")
    assert column(path)[:2] == [float(np.float32(number)) for number in numbers]
    assert note in notes_on(path)


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["5 kg", "7 kg"], "16 cells hold a number with a unit, the first is '5 kg' in row 2"),
        (["$3", "€4"], "16 cells hold numbers that are written in several ways, the first is '$3' in row 2"),
        (["1,234.5", "1.234,5"], "16 cells hold numbers that are written in several ways"),
    ],
)
def test_numbers_that_stay_text_are_said(tmp_path: Path, cells: list[str], note: str) -> None:
    assert f"column 'x' counts as text, since {note}" in notes_on(write(tmp_path / "t.csv", cells * 8))


@pytest.mark.parametrize("bound", ["<0.5", "< 0.5", ">90", "≤0.5", "<=0.5"])
def test_bounds_of_numbers_are_called_so(tmp_path: Path, bound: str) -> None:
    cells = [bound if number % 5 == 0 else f"{number}.25" for number in range(80)]
    few = write(tmp_path / "t.csv", [bound, *["1.5", "2.5"] * 2] * 4)
    assert f"4 cells hold a bound of a number, the first is '{bound}' in row 2" in notes_on(few)
    with pytest.raises(InputError, match=f"in 16 cells, bounds of numbers .*, the first '{bound}' in row 2"):
        load_unsplit(write(tmp_path / "u.csv", cells))


def test_a_remedy_for_odd_cells_does_not_say_that_all_are_missing(tmp_path: Path) -> None:
    cells = [f"o{number}" if number % 5 == 0 else f"{number}.25" for number in range(80)]
    with pytest.raises(InputError, match="Write them as numbers, and empty those that are missing"):
        load_unsplit(write(tmp_path / "t.csv", cells))


@pytest.mark.parametrize("cells", [["2", "2-", "3"], ["1+", "2-", "3"], ["2-", "3-", "1-"]])
def test_grades_are_no_negative_numbers(tmp_path: Path, cells: list[str]) -> None:
    assert "becomes 3 columns of 0 and 1" in notes_on(write(tmp_path / "t.csv", cells * 8))


def test_too_many_numbers_with_units_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [f"{number} kg" for number in range(80)])
    with pytest.raises(
        InputError, match="'x' holds numbers with a unit in 80 cells, the first '0 kg' in row 2"
    ):
        load_unsplit(path)


@pytest.mark.parametrize(
    "cells", [["A1", "B2"], ["(a)", "(b)"], ["18-25", "26-35"], ["3a", "4b"], ["#1", "#2"]]
)
def test_text_with_digits_is_text_without_a_word(tmp_path: Path, cells: list[str]) -> None:
    assert load_unsplit(write(tmp_path / "t.csv", cells * 8)).notes == (
        "column 'x' becomes 2 columns of 0 and 1, one per value",
    )


@pytest.mark.parametrize("separator", [",", "\t"])
def test_points_that_may_separate_thousands_are_said(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "t.csv", ["3.100", "3001", "12"] * 4, separator=separator)
    assert column(path)[:3] == [float(np.float32(3.1)), 3001, 12]
    (note,) = load_unsplit(path).notes
    assert "'3.100' in row 2 is read as 3.1; decimal=comma behind the # makes it 3100" in note
    assert column(f"{path}#label,decimal=comma")[:3] == [3100, 3001, 12]
    assert load_unsplit(f"{path}#label,decimal=point").notes == ()


@pytest.mark.parametrize("place", [0, 5, 11, 300, 799])
@pytest.mark.parametrize("has_gap", [False, True])
def test_points_of_thousands_are_noticed_at_any_place(tmp_path: Path, place: int, *, has_gap: bool) -> None:
    cells = [str(300 + number % 600) for number in range(800)]
    cells[place] = "1.017"
    if has_gap:
        cells[place // 2 - 1] = ""
    texts = "".join(f"{cell};{k},5;{'ab'[k % 2]}\n" for k, cell in enumerate(cells))
    path = tmp_path / "t.csv"
    path.write_text("umsatz;x;label\n" + texts)
    assert load_unsplit(path).arrays.images[place, 0] == 1017
    assert any(f"'1.017' in row {place + 2} is 1017" in note for note in load_unsplit(path).notes)
    path.write_text(path.read_text().replace(",5;", ";").replace(";", ","))
    assert any(f"'1.017' in row {place + 2} is read as 1.017" in note for note in load_unsplit(path).notes)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("cells", "decimal"),
    [(["0,5", "1,25"], "point"), (["0.5", "1.25"], "comma"), (["€0.5", "€1.25"], "comma")],
)
def test_a_decimal_mark_of_the_user_is_never_overridden(
    tmp_path: Path, suffix: str, cells: list[str], decimal: str
) -> None:
    path = write(tmp_path / "t.csv", cells * 8)
    if suffix == "parquet":
        pd.read_csv(path, dtype="str").to_parquet(path := tmp_path / "t.parquet")
    data = load_unsplit(f"{path}#label,decimal={decimal}")
    assert data.arrays.shape == (2, 1, 1)
    assert set(data.arrays.images.unique().tolist()) == {0, 1}
    assert "16 cells hold a number with another decimal mark than the requested one" in data.notes[0]


def test_many_numbers_with_the_other_decimal_mark_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [f"{number + 0.5}" for number in range(80)])
    with pytest.raises(InputError, match=r"holds '0\.5' in row 2, .* decimal=comma is requested"):
        load_unsplit(f"{path}#label,decimal=comma")


def test_forms_of_unicode_are_one_value_and_look_alikes_are_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ["é", "e\u0301", "É", "о", "o"] * 4)
    data = load_unsplit(path)
    assert data.arrays.shape == (4, 1, 1)
    assert data.notes[1:] == (
        "column 'x' of text: values that differ in forms of Unicode count as one, such as 'é' and 'e\\u0301'",
        "column 'x' of text: 4 values look alike or are one number, and are kept apart, such as 'É' and 'é'",
    )


ABOVE = [
    "# made by X\n",
    "Survey 2024\n",
    "Survey 2024,\n",
    "# a, b, c\n",
    "Survey\n\nof 2024, in May\n",
]


@pytest.mark.parametrize("above", ABOVE)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_lines_above_the_header_are_left_out_with_a_note(tmp_path: Path, above: str, line_end: str) -> None:
    path = tmp_path / "t.csv"
    body = "x,y,z,label\n" + "".join(f"{k},1,2,{'ab'[k % 2]}\n" for k in range(10))
    path.write_bytes((above + body).replace("\n", line_end).encode())
    data = load_unsplit(path)
    assert data.arrays.images[:, 0, 0, 0].tolist() == list(range(10))
    assert data.names is not None
    assert data.names[0] == f"row {above.count(chr(10)) + 2}"
    n_above = sum(bool(line) for line in above.splitlines())
    subject = "1 row above the header is" if n_above == 1 else f"{n_above} rows above the header are"
    assert data.notes[0] == f"{subject} left out, the first is {above.splitlines()[0]!r}"


@pytest.mark.parametrize("header", ["#,label", ",label", "label,x", "# x,label", "x y,label"])
def test_a_header_is_no_title(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n" + ("1,a\n2,b\n" if header.endswith("label") else "a,1\nb,2\n") * 8)
    assert open_table(path, "").columns == tuple(name or "Unnamed: 0" for name in header.split(","))


def test_a_header_of_another_separator_is_no_title(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("c 0;label\n" + "4,2;a\n4,0;b\n" * 8)
    assert column(path)[:2] == [float(np.float32(4.2)), 4]
    assert load_unsplit(path).notes == ("column 'c 0' has decimal commas, which are read as decimal points",)


def test_the_remedy_for_lines_above_the_header_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "x,y,z,label\n" + "1,2,3,a\n4,5,6,b\n" * 8
    Path("my table.csv").write_text("made by X, in 2024, final\n" + rows)
    with pytest.raises(DilutionError) as caught:
        load_unsplit("my table.csv")
    command = str(caught.value).partition("`")[2].partition("`")[0]
    assert command.startswith("tail -n +2 ")
    subprocess.run(command, shell=True, check=True, env=os.environ)
    assert load_unsplit(shlex.split(command)[-1]).arrays.shape == (3, 1, 1)


@pytest.mark.parametrize(
    ("cells", "kind"), [([[1, 2], [3, 4]], "lists"), ([{"a": 1}, {"a": 2}], "dictionaries")]
)
def test_columns_of_lists_are_refused_with_a_remedy_that_works(
    tmp_path: Path, cells: list[object], kind: str
) -> None:
    frame = pd.DataFrame({"x": cells * 4, "label": list("ab") * 4})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=f"'x' holds {kind}, the first in row 0.*drop=x") as caught:
        load_unsplit(tmp_path / "t.parquet")
    assert "dates" not in str(caught.value)
    remedy = str(caught.value).partition("With pandas, ")[2].partition(" makes")[0]
    eval(remedy, {"frame": frame, "pd": pd}).to_parquet(tmp_path / "u.parquet")
    assert load_unsplit(tmp_path / "u.parquet").arrays.images[0, 0] == 1


def test_names_of_columns_lose_their_blanks_with_a_note(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ["1", "2"] * 8, header=" x ")
    assert load_unsplit(path).notes == (
        "1 name of a column is used without the blanks around it, the first is ' x '",
    )


def test_an_index_named_like_a_column_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(8), "label": list("ab") * 4}, index=pd.Index(range(8), name="label"))
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="the index and a column are called 'label'") as caught:
        load_unsplit(tmp_path / "t.parquet")
    remedy = str(caught.value).partition("With pandas, ")[2].partition(" leaves")[0]
    eval(remedy, {"frame": frame}).to_parquet(tmp_path / "u.parquet")
    assert len(load_unsplit(tmp_path / "u.parquet").arrays) == 8


def test_a_constant_text_is_one_column(tmp_path: Path) -> None:
    assert (
        notes_on(write(tmp_path / "t.csv", ["u"] * 8))
        == "column 'x' becomes 1 column of 0 and 1, one per value"
    )
