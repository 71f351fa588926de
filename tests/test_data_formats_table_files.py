"""Tables as they are found: encodings, separators, quotes, line ends, damage, and names of columns."""

import io
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dilution.data import DataSet, UnsplitData, load, load_unsplit
from dilution.errors import DataError, DilutionError, InputError

ROWS = [(number, number * number % 7, "ab"[number % 2]) for number in range(40)]
PLAIN = "x,y,label\n" + "".join(f"{x},{y},{label}\n" for x, y, label in ROWS)


def write(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(name: str | Path, error: type[DilutionError]) -> str:
    with pytest.raises(error) as caught:
        load_unsplit(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def rows_of(data: UnsplitData) -> list[tuple[float, ...]]:
    return [tuple(row) for row in data.arrays.images[:, :, 0, 0].tolist()]


def assert_plain(data: UnsplitData, *notes: str) -> None:
    assert rows_of(data) == [(x, y) for x, y, _ in ROWS]
    assert [data.arrays.classes[number] for number in data.arrays.labels] == [label for *_, label in ROWS]
    assert data.notes == notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("has_separator_line", [False, True])
def test_separators_line_ends_and_marked_encodings_are_understood(
    tmp_path: Path, encoding: str, separator: str, line_end: str, has_separator_line: bool
) -> None:
    text = f"sep={separator}\n" * has_separator_line + PLAIN.replace(",", separator)
    path = write(tmp_path, text.replace("\n", line_end).encode(encoding))
    assert_plain(load_unsplit(path))
    assert load_unsplit(path).names == tuple(f"row {line}" for line in range(2, 42))


def test_mixed_line_ends_and_trailing_blank_lines_are_understood(tmp_path: Path) -> None:
    text = PLAIN.replace("\n", "\r\n", 7).replace("9,4,b\n", "9,4,b\r") + "\r\n  \n"
    assert_plain(load_unsplit(write(tmp_path, text)))


def test_utf_16_without_a_mark_is_refused_until_it_is_named(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(tmp_path, PLAIN.encode(encoding))
        assert f"encoding={encoding}" in refusal(path, DataError)
        assert_plain(
            load_unsplit(f"{path}#encoding={encoding}"), f"the text is read as {encoding}, as requested"
        )


def test_latin_1_is_refused_with_a_remedy_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, PLAIN.replace("y", "größe").replace("0,0,a", "0,0,ä").encode("latin-1"))
    message = refusal("t.csv#label", DataError)
    assert "no UTF-8 text: line 1 has the byte 0xf6" in message
    assert "'x,größe,label'" in message
    remedy = message.rpartition(": ")[2].rstrip(".")
    assert load_unsplit(remedy).arrays.classes == ("a", "b", "ä")
    assert load_unsplit(remedy).notes == (
        "the text is read as cp1252, as requested",
        "class 'ä' has 1 example, in row 2",
    )


def test_bytes_that_are_no_western_text_have_no_encoding_suggested(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, b"x,label\n\x81,a\n"), DataError)
    assert "line 2 has the byte 0x81" in message
    assert "cp1252" not in message


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("n_utf8", "verb"), [(60, "mixes"), (30, "mixes"), (1, "may mix")])
@pytest.mark.parametrize("other", ["cp1252", "mac-roman"])
def test_a_file_of_two_encodings_has_no_encoding_suggested(
    tmp_path: Path, other: str, n_utf8: int, verb: str, order: int
) -> None:
    row = "{x},größer\n{x},a\n"
    parts = [
        b"".join(row.format(x=x).encode(encoding) for x in range(count))
        for encoding, count in (("utf-8", n_utf8), (other, 60))
    ]
    path = write(tmp_path, b"x,label\n" + b"".join(parts[::order]))
    message = refusal(path, DataError)
    first = 2 if order == 1 else 122
    subject = "1 line with letters beyond ASCII is" if n_utf8 == 1 else f"{n_utf8} lines with letters"
    assert f"{verb} encodings: {subject}" in message
    assert f"UTF-8, the first is line {first}, and 60 lines are not, the first is line" in message
    assert "encoding=" not in message
    if other == "cp1252" and verb == "mixes":
        assert (
            f"{n_utf8} lines with letters beyond ASCII may be UTF-8 and are read as cp1252, the first is "
            f"line {first}"
        ) in load_unsplit(f"{path}#label,encoding=cp1252").notes


STRAY = [[str(x), "pipe", "ab"[x % 2]] for x in range(120)]


def with_cells(rows: list[list[str]], cells: dict[tuple[int, int], str], separator: str = ",") -> str:
    """Return a CSV text of three columns with some cells, by row and column, in place of others."""
    changed = [[cells.get((row, k), cell) for k, cell in enumerate(line)] for row, line in enumerate(rows)]
    return "\n".join(separator.join(line) for line in [["x", "c", "label"], *changed]) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("closing", ['"1', '1"'])
@pytest.mark.parametrize("above", ["", "Survey of 2024 in the north\n"])
def test_stray_quotes_that_swallow_rows_are_refused(
    tmp_path: Path, separator: str, line_end: str, column: int, closing: str, above: str
) -> None:
    text = above + with_cells(STRAY, {(6, column): '"1', (59, column): closing}, separator)
    path = write(tmp_path, text.replace("\n", line_end))
    assert re.search(r"row \d+ of .* makes one row of 54 lines", refusal(path, DataError))


def test_stray_quotes_in_neighbouring_rows_are_refused_or_noted(tmp_path: Path) -> None:
    path = write(tmp_path, with_cells(STRAY, {(6, 1): '"abc', (7, 1): '"abc'}))
    assert "row 8 of" in refusal(path, DataError)
    data = load_unsplit(write(tmp_path, with_cells(STRAY, {(6, 1): '"abc', (7, 1): 'abc"'})))
    assert len(data.arrays) == 119
    assert (
        "1 row has a quoted cell with line breaks, and in each line the separators of a row, the first is "
        "row 8, of 2 lines; if its lines are rows, a double quote is there by mistake"
    ) in data.notes


@pytest.mark.parametrize(
    "cell",
    [
        '"two\nlines"',
        '"a, b, c\nd, e, f\ng, h, i"',
        '"he said ""hi, all""\nand left, late,\n\nat last"',
        '"a\r\nb\nc"',
    ],
)
def test_text_of_several_lines_is_no_row(tmp_path: Path, cell: str) -> None:
    data = load_unsplit(write(tmp_path, with_cells(STRAY, {(6, 1): cell, (7, 1): cell, (60, 1): cell})))
    assert len(data.arrays) == 120
    assert not any("quoted cell" in note for note in data.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("gap", ["", "true"])
def test_spellings_of_truth_values_that_are_merged_are_said(tmp_path: Path, encoding: str, gap: str) -> None:
    cells = ["TRUE", "FALSE", "true", gap]
    text = "f,g,label\n" + "".join(f"{cells[k % 4]},{cells[k % 2]},{'ab'[k % 2]}\n" for k in range(40))
    data = load_unsplit(write(tmp_path, text.encode(encoding)))
    note = "column 'f' has truth values in several spellings, such as 'TRUE' and 'true', which count as one"
    assert note in data.notes
    assert not any("spellings" in note for note in load_unsplit(f"{tmp_path / 't.csv'}#drop=f").notes[2:])
    plain = load_unsplit(write(tmp_path, text.replace("true", "TRUE").encode(encoding)))
    assert not any("spellings" in note for note in plain.notes)
    assert bool((plain.arrays.images == data.arrays.images).all())


def test_text_in_a_table_of_two_columns_may_have_a_comma_in_each_line(tmp_path: Path) -> None:
    rows = "".join(f'"Dear all, thanks\nI came, saw\nYours B",{"ab"[k % 2]}\n' for k in range(40))
    data = load_unsplit(write(tmp_path, f"text,label\n{rows}"))
    assert len(data.arrays) == 40
    assert any("40 rows have a quoted cell with line breaks" in note for note in data.notes)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (PLAIN.encode(), "encoding=utf-9", "'utf-9' is not an encoding. Did you mean 'utf-8'"),
        (PLAIN.encode(), "encoding=base64", "'base64' is not an encoding"),
        (
            PLAIN.encode("utf-8-sig"),
            "encoding=cp1252",
            "byte order mark of utf-8-sig. Leave out encoding=cp1252",
        ),
        (b"sep=^\nx^label\n1^a\n", "label", "first line is 'sep=\\^'; a separator must be one of comma"),
    ],
)
def test_wrong_options_of_a_csv_file_are_refused(
    tmp_path: Path, content: bytes, options: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(f"{write(tmp_path, content)}#{options}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("5,4", "5\0,4"), "NUL character in line 7"),
        (PLAIN.replace("5,4", '5,"4'), "row 7 .* has 2 cells and the header 3.*is a double quote not closed"),
        (PLAIN[:-2] + '"b\n', "double quote that is not closed"),
        (PLAIN + "Total: 40\n", "row 42 .* has 1 cell and the header 3.*if it is a footer, delete it"),
        ("x,label\n1,5,a\n2,6,b\n", "begin the header with a separator"),
        (PLAIN.replace("5,4", "5,4,1"), "row 7 .* has 4 cells and the header 3"),
    ],
)
def test_damage_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, text))


def test_a_nul_character_in_utf_16_is_refused(tmp_path: Path) -> None:
    text = PLAIN.replace("5,4", "5\0,4").encode("utf-16")
    assert "NUL character in line 7" in refusal(write(tmp_path, text), DataError)


def test_quotes_may_follow_blanks(tmp_path: Path) -> None:
    rows = "".join(f'{x}, "{y}", "{label}"\n' for x, y, label in ROWS)
    assert_plain(load_unsplit(write(tmp_path, f'x, "y", "label"\n{rows}')))
    late = "x,y,w,label\n" + "".join(
        f"{x},{y}, {'u' if x < 30 else chr(34) + 'u, v' + chr(34)},{label}\n" for x, y, label in ROWS
    )
    data = load_unsplit(write(tmp_path, late))
    assert len(data.arrays) == 40
    assert data.notes == ("column 'w' becomes 2 columns of 0 and 1, one per value",)


def test_a_semicolon_file_with_commas_in_its_names_is_told(tmp_path: Path) -> None:
    text = "size, mm;weight, kg;label\n" + "".join(f"{x};{y};{label}\n" for x, y, label in ROWS)
    assert_plain(load_unsplit(write(tmp_path, text)))


def test_two_separators_that_fit_are_said_and_can_be_chosen(tmp_path: Path) -> None:
    rows = "".join(f"{x % 3};{y},{label}\n" for x, y, label in ROWS)
    path = write(tmp_path, f"x;y,label\n{rows}")
    assert load_unsplit(f"{path}#y,label,separator=semicolon").arrays.shape == (1, 1, 1)
    notes = load_unsplit(path).notes
    assert notes[0] == (
        "cells are separated by the comma, though the semicolon fits as well; for that, add "
        "separator=semicolon behind the #"
    )


def test_line_breaks_and_quotes_in_cells_are_part_of_them(tmp_path: Path) -> None:
    rows = "".join(f'"u\n""v""",{x},{label}\n' if x % 2 else f"w,{x},{label}\n" for x, _, label in ROWS)
    data = load_unsplit(write(tmp_path, f'"a\nb",x,label\n{rows}'))
    assert len(data.arrays) == 40
    assert data.names == tuple(f"row {line}" for line in range(2, 42))
    assert data.notes == ("column 'a\\nb' becomes 2 columns of 0 and 1, one per value",)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    "name",
    [*("Comments, if any", 'the "why"', "=SUM(A1)", "it's", "a\nb", "price $USD", " x"), "a#b", "drop=x"],
)
def test_the_remedy_for_a_column_works_when_it_is_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, name: str
) -> None:
    frame = pd.DataFrame({"size": range(200), name: [f"text {number}" for number in range(200)]})
    frame["free text, more"] = frame[name]
    frame["label"] = list("ab") * 100
    folder = tmp_path / "my tables"
    folder.mkdir()
    path = folder / f"t.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    monkeypatch.chdir(tmp_path)
    message = refusal(path, InputError)
    assert " (2) column 'free text, more' holds text of" in message
    remedy = message.rpartition("or drop them: ")[2].removesuffix(".")
    for pasted in (remedy, shlex.split(remedy)[0]):
        assert isinstance(load(pasted), DataSet)
        assert load(pasted).train.shape == (1, 1, 1)
        notes = [note for note in load(pasted).notes if "without the blanks" not in note]
        assert notes[0].startswith("2 columns are dropped, as requested, the first is ")


def test_a_remedy_keeps_the_options_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{n},t{n},u{n},{'ab'[n % 2]},{'ab'[n % 2]}\n" for n in range(90))
    path = write(tmp_path, f"x,é,u,kind,crowd\n{rows}".encode("cp1252"))
    message = refusal(f"{path}#kind,noisy=crowd,drop=u,encoding=cp1252", InputError)
    remedy = message.rpartition(": ")[2].removesuffix(".")
    assert load(remedy).train.observed is not None
    assert load(remedy).train.shape == (1, 1, 1)


@pytest.mark.trains  # it takes seconds
def test_two_thousand_columns_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 2_000)).round(1)
    # Names are long, since a header has more than the 64 KiB in which the name of an image is looked for.
    frame = pd.DataFrame(values, columns=[f"gene_{number:040d}" for number in range(2_000)])
    frame.assign(label=["tumor", "normal"] * 2).to_csv(tmp_path / "t.csv", index=False)
    data = load_unsplit(tmp_path / "t.csv")
    assert torch.equal(data.arrays.images[:, :, 0, 0], torch.from_numpy(values.astype(np.float32)))
    assert data.notes == ()


def test_repeated_names_are_refused_with_their_places(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "x,y, x,y,label\n1,2,3,4,a\n"), InputError)
    assert "2 columns called 'x'; each name must occur once. Rename them: columns 1 and 3" in message
    assert "have this name without the blanks around it" in message
    assert "the first of 2 repeated names" in message


def test_a_header_that_is_an_example_is_noted(tmp_path: Path) -> None:
    rows = "5.1,3.5,setosa\n" + "".join(f"{x},{y},setosa\n{y},{x},virginica\n" for x, y, _ in ROWS)
    (note,) = load_unsplit(f"{write(tmp_path, rows)}#setosa").notes
    assert note.startswith("the first row names the columns, one of them '5.1'; if that row is an example")
    for names in ("0,1", "400.5,401.5,402,403,404"):  # names that pandas gives, wavelengths
        width = names.count(",") + 1
        rows = "".join(f"{','.join([str(x)] * width)},{label}\n" for x, _, label in ROWS)
        assert load_unsplit(write(tmp_path, f"{names},label\n{rows}")).notes == ()


def test_columns_without_names_are_one_note(tmp_path: Path) -> None:
    rows = "".join(f"{x},{x},{label},\n" for x, _, label in ROWS)
    data = load_unsplit(write(tmp_path, f",x,label,\n{rows}"))
    assert data.notes == (
        "2 columns have no name, like an index, and are dropped, the first is 'Unnamed: 0'",
    )


@pytest.mark.parametrize(
    ("name", "first"),
    [("id", 0), ("PassengerId", 892), ("sample_id", 7), ("Index", 1), ("patient", 1), ("#", 5)],
)
def test_a_column_named_and_numbered_like_an_index_is_dropped_with_a_note(
    tmp_path: Path, name: str, first: int
) -> None:
    rows = "".join(f"{x + first},{y},{label}\n" for x, y, label in ROWS)
    data = load_unsplit(write(tmp_path, f"{name},y,label\n{rows}"))
    assert data.arrays.shape == (1, 1, 1)
    assert data.notes == (
        f"column '{name}' has a name and numbers like an index, another one in each row, and is dropped; to "
        "use it, give it another name",
    )


def test_a_column_named_like_an_index_whose_numbers_repeat_is_a_feature(tmp_path: Path) -> None:
    rows = "".join(f"{x},{y},{label}\n" for x, y, label in ROWS)
    data = load_unsplit(write(tmp_path, f"grid,user_id,label\n{rows}"))
    assert data.arrays.shape == (2, 1, 1)
    assert data.notes == ()


def test_the_index_of_a_parquet_file_is_no_feature_and_may_be_the_label(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(20), "label": list("ab") * 10, "unit": list("uv") * 10})
    for name, index, notes in (
        ("named", frame.rename_axis("patient"), ("index 'patient' is left out; ",)),
        (
            "filtered",
            frame[frame["x"] > 3],
            ("the index has no name and is left out; rows are counted from 0",),
        ),
        ("plain", frame, ()),
        ("label", frame.set_index("label"), ()),
        ("levels", frame.set_index(["x", "label"]), ("index 'x' is left out; ",)),
    ):
        path = tmp_path / f"{name}.parquet"
        index.drop(columns="unit").assign(z=1).to_parquet(path)
        data = load_unsplit(path)
        assert data.arrays.classes == ("a", "b")
        assert len(data.notes) == len(notes)
        assert all(note.startswith(start) for note, start in zip(data.notes, notes, strict=True))


def test_options_of_csv_files_are_refused_for_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1, 2], "label": ["a", "b"]}).to_parquet(tmp_path / "t.parquet")
    assert "only CSV files have" in refusal(f"{tmp_path / 't.parquet'}#encoding=utf-8", InputError)


def test_damaged_parquet_files_are_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    pd.DataFrame({"x": range(50), "label": list("ab") * 25}).to_parquet(content)
    whole = content.getvalue()
    for damaged in (
        whole[:-20],
        whole[: len(whole) // 2],
        whole[:4] + b"\0" * 200 + whole[204:],
        b"PAR1PAR1",
    ):
        assert "whole Parquet file" in refusal(write(tmp_path, damaged, "t.parquet"), DataError)


def test_a_second_header_is_refused_since_its_names_would_be_values_and_a_class(tmp_path: Path) -> None:
    """As in files that were joined: scikit-learn/scikit-learn#12621."""
    path = write(tmp_path, PLAIN + PLAIN)
    assert f"row {len(ROWS) + 2} of {path} repeats the header" in refusal(path, DataError)
    assert_plain(load_unsplit(write(tmp_path, "\n\n" + PLAIN)))


@pytest.mark.parametrize("rows", [slice(None), slice(0, 1), slice(5, 6)], ids=["all", "first", "sixth"])
def test_rows_that_end_with_a_separator_are_refused_with_two_remedies(tmp_path: Path, rows: slice) -> None:
    """pandas takes the first column for an index there: pandas-dev/pandas#14124, natcap/invest#146."""
    header, *lines = PLAIN.splitlines()
    ended = [f"{line}," if number in range(len(lines))[rows] else line for number, line in enumerate(lines)]
    message = refusal(write(tmp_path, "\n".join([header, *ended]) + "\n"), DataError)
    assert "end the header with one too, or delete those of the rows" in message
    if rows == slice(None):
        data = load_unsplit(write(tmp_path, "\n".join([f"{header},", *ended]) + "\n"))
        assert rows_of(data) == [(x, y) for x, y, _ in ROWS]
        assert any("Unnamed" in note or "without a name" in note for note in data.notes)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"PK\x03\x04rest", "Excel or ZIP"), (b"\x1f\x8brest", "gzip"), (b"PAR1rest", "Parquet")],
)
def test_files_of_other_formats_are_named(tmp_path: Path, content: bytes, kind: str) -> None:
    assert f"is {'an' if kind[0] == 'E' else 'a'} {kind}" in refusal(write(tmp_path, content), DataError)


def test_a_column_that_is_used_for_its_name_is_noted(tmp_path: Path) -> None:
    text = "x,label,noisy_label\n" + "".join(f"{x},{label},{label}\n" for x, _, label in ROWS)
    assert load_unsplit(write(tmp_path, text)).notes == (
        "column 'noisy_label' has the observed labels, by its name",
    )
