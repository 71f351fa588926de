"""Tables as data sets: CSV and Parquet files, roles of columns, labels, and encoded features."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dilution.data import DataSet, check, fingerprint, load, load_unsplit
from dilution.data.class_names import normal_form
from dilution.errors import DataError, DilutionError, InputError

PLAIN = "size,colour,label\n" + "".join(
    f"{size},{'red' if size % 3 else 'blue'},{'ab'[size % 2]}\n" for size in range(20)
)


def write(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refuse(path: Path, message: str, options: str = "", error: type[DilutionError] = InputError) -> None:
    with pytest.raises(error, match=message) as caught:
        load(f"{path}{options}")
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def features(data: DataSet) -> np.ndarray:
    """Return the features of training and test rows, without the axes of an image."""
    return torch.cat([data.train.images, data.test.images])[:, :, 0, 0].numpy()


def test_numbers_are_kept_and_text_becomes_one_column_per_value(tmp_path: Path) -> None:
    data = load(write(tmp_path, PLAIN))
    assert data.name == "t"
    assert data.train.classes == ("a", "b")
    assert data.train.shape == (3, 1, 1)
    assert (len(data.train), len(data.test)) == (16, 4)
    for size, blue, red in features(data):
        assert (blue, red) == ((0, 1) if size % 3 else (1, 0))
    assert data.notes == ("column 'colour' becomes 2 columns of 0 and 1, one per value",)
    for arrays in (data.train, data.test):
        assert torch.equal(arrays.images[:, 0, 0, 0] % 2, arrays.labels.float())


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("byte_order_mark", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_separators_line_ends_and_a_byte_order_mark_are_understood(
    tmp_path: Path, separator: str, byte_order_mark: str, line_end: str
) -> None:
    text = byte_order_mark + PLAIN.replace(",", separator).replace("\n", line_end)
    data, same = load(write(tmp_path, text)), load(write(tmp_path, PLAIN, "same.csv"))
    assert torch.equal(data.train.images, same.train.images)
    assert torch.equal(data.test.labels, same.test.labels)


def test_the_suffix_of_a_table_may_be_in_upper_case(tmp_path: Path) -> None:
    tabs = write(tmp_path, PLAIN.replace(",", "\t"), "T.TSV")
    pd.read_csv(tabs, sep="\t").to_parquet(tmp_path / "t.parquet")
    assert torch.equal(load(tabs).train.images, load(tmp_path / "t.parquet").train.images)


def test_decimal_commas_are_read_with_a_note(tmp_path: Path) -> None:
    rows = "".join(f"{k},5;{'ab'[k % 2]}\n" for k in range(10))
    data = load(write(tmp_path, "size;label\n" + rows))
    assert sorted(features(data)[:, 0]) == [k + 0.5 for k in range(10)]
    assert data.notes == ("column 'size' has decimal commas, which are read as decimal points",)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_written_by_python_is_read_back_row_by_row(tmp_path: Path, data: st.DataObject) -> None:
    cell = st.text(
        st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=4
    )
    word = cell.map(lambda text: f"x{text}x")
    rows = data.draw(
        st.lists(st.tuples(st.integers(-9, 9), word, st.sampled_from("ab")), min_size=6, max_size=12)
    )
    rows += [(0, "y", "a"), (1, "y", "b")]
    separator = data.draw(st.sampled_from(",;\t"))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(["number", "word", "label"])
    writer.writerows(rows)
    unsplit = load_unsplit(write(tmp_path, text.getvalue()))
    arrays = unsplit.arrays
    assert arrays.images[:, 0, 0, 0].tolist() == [number for number, _, _ in rows]
    assert [arrays.classes[number] for number in arrays.labels] == [label for *_, label in rows]
    words = [normal_form(word) for _, word, _ in rows]
    levels = sorted(set(words))
    assert arrays.images[:, 1:, 0, 0].argmax(dim=1).tolist() == [levels.index(word) for word in words]
    assert unsplit.names == tuple(f"row {line}" for line in range(2, len(rows) + 2))


def test_the_label_may_be_any_column_and_columns_can_be_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN)
    data = load(f"{path}#colour,drop=label")
    assert data.train.classes == ("blue", "red")
    assert data.train.shape == (1, 1, 1)
    assert data.notes == ("column 'label' is dropped, as requested",)
    assert load(f"{path}#drop=colour").train.shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("#colr", "'colr' is not a column. Did you mean 'colour'"),
        ("#label,drop=siz", "'siz' is not a column. Did you mean 'size'"),
        ("#label,frop=size", "'frop' is not a setting of a table. Did you mean 'drop'"),
        ("#label,noisy=label", "'label' is both label and noisy label"),
        ("#label,drop=label", "'label' is a label and is to be dropped"),
        ("#label,drop=size,drop=colour", "no column of features"),
    ],
)
def test_columns_that_do_not_exist_or_contradict_are_refused(
    tmp_path: Path, options: str, message: str
) -> None:
    refuse(write(tmp_path, PLAIN), message, options)


def test_without_a_column_called_label_the_message_lists_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN.replace("label", "kind"))
    refuse(path, r"columns are size, colour, kind\..*t\.csv#kind\.$")
    many = ",".join(f"c{k}" for k in range(40))
    refuse(write(tmp_path, f"{many}\n{many}\n"), r"columns are c0, c1.*, c9 … c30, .*c39\..* behind a #\.$")


def test_a_number_sign_is_part_of_the_name_of_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "c#").mkdir()
    path = write(tmp_path / "c#", PLAIN, "t#1.csv")
    assert load(path).train.classes == ("a", "b")
    assert load(f"{path}#colour").train.classes == ("blue", "red")


def test_missing_numbers_become_the_median_with_an_indicator_column(tmp_path: Path) -> None:
    rows = [("" if number in (3, 4) else number * number, "ab"[number % 2]) for number in range(20)]
    text = "size,label\n" + "".join(f"{size},{label}\n" for size, label in rows)
    data = load(write(tmp_path, text))
    train = data.train.images[:, :, 0, 0].tolist()
    known = [size for size, is_missing in train if not is_missing]
    filled = [size for size, is_missing in train if is_missing]
    assert set(filled) == {float(np.median(known))}
    assert data.notes == (
        f"column 'size': 2 missing numbers are filled with the median {np.median(known):g}; a missing-value "
        "indicator column is added",
        "1 of the 20 rows is a copy of another row (equal features), the first is row 6, equal to row 5; "
        "copies share a side of every split",
    )


def test_missing_text_is_a_value_of_its_own(tmp_path: Path) -> None:
    words = ["x", "", " y ", "NA"]
    text = "word,size,label\n" + "".join(f"{words[k % 4]},{k},{'ab'[k % 2]}\n" for k in range(20))
    data = load(write(tmp_path, text))
    assert data.train.shape == (4, 1, 1)
    assert (features(data)[:, :3].sum(axis=1) == 1).all()
    assert features(data)[:, 2].sum() == 10
    assert "3 columns of 0 and 1, one per value, a missing one included" in data.notes[0]


def test_the_test_split_does_not_affect_the_encoding(tmp_path: Path) -> None:
    plain = load(write(tmp_path, PLAIN))
    lines = PLAIN.splitlines()
    test_lines = [int(size) + 1 for size in plain.test.images[:, 0, 0, 0]]
    for line in test_lines:
        size, _, label = lines[line].split(",")
        lines[line] = f"{float(size) * 1e6},green,{label}"
    lines[test_lines[0]] = f",,{lines[test_lines[0]][-1]}"
    data = load(write(tmp_path, "\n".join(lines), "changed.csv"))
    assert torch.equal(data.train.images, plain.train.images)
    assert (data.test.images[:, 1:] == 0).all()
    assert data.test.images[:, 0].min() == np.median(plain.train.images[:, 0])
    assert any(
        "4 cells of the test split have values that no training row has" in note for note in data.notes
    )


def test_whole_numbers_as_labels_keep_their_order_and_may_have_gaps(tmp_path: Path) -> None:
    rows = "".join(f"{k},{[10, 2, -1][k % 3]}\n" for k in range(12))
    assert load(write(tmp_path, "x,label\n" + rows)).train.classes == ("-1", "2", "10")
    floats = rows.replace("10\n", "10.0\n")
    assert load(write(tmp_path, "x,label\n" + floats)).train.classes == ("-1", "2", "10")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([True, False], ("False", "True")),
        (["no", "yes"], ("no", "yes")),
        ([3, 1], ("1", "3")),
        (pd.Categorical(["u", "v"]), ("u", "v")),
        (pd.array([5, 4], dtype="Int64"), ("4", "5")),
    ],
)
def test_a_parquet_file_keeps_its_types(tmp_path: Path, labels: Any, classes: tuple[str, ...]) -> None:
    frame = pd.DataFrame(
        {"x": range(10), "b": [True, None] * 5, "label": pd.Series(labels).repeat(5).to_list()}
    )
    frame["label"] = frame["label"].astype(pd.Series(labels).dtype)
    frame["c"] = pd.array([1, None] * 5, dtype="Int64")
    frame.to_parquet(tmp_path / "t.parquet")
    data = load(tmp_path / "t.parquet")
    assert data.train.classes == classes
    assert data.train.shape == (1 + 2 + 2, 1, 1)
    assert load_unsplit(tmp_path / "t.parquet").names == tuple(f"row {k}" for k in range(10))


def test_rows_without_a_label_are_dropped_with_a_note(tmp_path: Path) -> None:
    rows = PLAIN.splitlines()
    rows[3], rows[7] = rows[3][:-1], rows[7][:-1] + "  "
    data = load(path := write(tmp_path, "\n".join(rows)))
    assert len(data.train) + len(data.test) == 18
    assert data.notes[0] == "2 rows have no label and are dropped, the first is row 4"
    assert load_unsplit(path).names is not None
    assert {"row 4", "row 8"}.isdisjoint(load_unsplit(path).names or ())


def test_blank_lines_count_in_row_numbers_and_are_no_examples(tmp_path: Path) -> None:
    rows = PLAIN.splitlines()
    path = write(tmp_path, "\n".join(["", *rows[:3], "", "  ", *rows[3:], "", ""]))
    unsplit = load_unsplit(path)
    assert unsplit.names is not None
    assert unsplit.names[:3] == ("row 3", "row 4", "row 7")
    assert len(unsplit.arrays) == 20
    assert len(load(path).notes) == 1


def test_unsplit_rows_keep_their_order_and_all_determine_the_encoding(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN.replace("3,blue", ",blue"))
    arrays = load_unsplit(path).arrays
    sizes = [float(k) for k in range(20) if k != 3]
    sizes.insert(3, float(np.median(sizes)))
    assert arrays.images[:, 0, 0, 0].tolist() == sizes
    assert arrays.labels.tolist() == [0, 1] * 10


def test_observed_labels_are_found_by_name_or_by_option(tmp_path: Path) -> None:
    rows = "".join(f"{k},{'ab'[k % 2]},{'abc'[k % 3]}\n" for k in range(30))
    for header, options in (("x,label,noisy_label", ""), ("x,label,crowd", "#label,noisy=crowd")):
        path = write(tmp_path, f"{header}\n{rows}")
        data = load(f"{path}{options}")
        assert data.train.classes == ("a", "b", "c")
        for arrays in (data.train, data.test):
            assert arrays.observed is not None
            sizes = arrays.images[:, 0, 0, 0].long()
            assert torch.equal(arrays.observed, sizes % 3)
            assert torch.equal(arrays.labels, sizes % 2)
    assert load(f"{path}#label,drop=crowd").train.observed is None
    path = write(tmp_path, f"x,label,noisy_label\n{rows}")
    assert load(f"{path}#label,drop=noisy_label").train.observed is None


def test_an_index_without_a_name_is_dropped_with_a_note(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(10), "label": list("ab") * 5})
    frame.to_csv(tmp_path / "t.csv")
    data = load(tmp_path / "t.csv")
    assert data.train.shape == (1, 1, 1)
    assert data.notes == ("column 'Unnamed: 0' has no name, like an index, and is dropped",)


def test_an_empty_column_is_dropped_with_a_note(tmp_path: Path) -> None:
    data = load(write(tmp_path, "x,y,label\n" + "".join(f"{k},,{'ab'[k % 2]}\n" for k in range(10))))
    assert data.train.shape == (1, 1, 1)
    assert data.notes == ("column 'y' has no value in the training rows and is dropped",)


def test_large_and_close_numbers_stay_different(tmp_path: Path) -> None:
    rows = "".join(f"{1_700_000_000 + k},{'ab'[k % 2]}\n" for k in range(20))
    data = load(write(tmp_path, "seconds,label\n" + rows))
    assert len(np.unique(features(data)[:, 0])) == 20
    assert "1700000009" in data.notes[0] or "1700000010" in data.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n  \n", "is empty"),
        (b"\xfe\xfda\x01", "no UTF-8 text"),
        ("größe,label\n1,a\n".encode("latin-1"), "no UTF-8 text"),
        ("a,label\n1,x\n2,y,3\n", "row 3 of .* has 3 cells and the header 2"),
        ("a,label\n1,x\n\n2\n", "row 4 of .* has 1 cell and the header 2"),
        ('a,label\n"1,x\n2,y\n', "row 2 of .* has 1 cell and"),
        ("a,label\n" + '"' + "z" * 200_000 + '",x\n', "field larger than field limit"),
    ],
)
def test_invalid_text_is_a_data_error(tmp_path: Path, text: str | bytes, message: str) -> None:
    refuse(write(tmp_path, text), message, error=DataError)


def test_a_missing_or_damaged_file_is_a_data_error(tmp_path: Path) -> None:
    refuse(tmp_path / "none.csv", "cannot be read.*No such file", error=DataError)
    refuse(tmp_path / "none.parquet", "cannot be read.*No such file", error=DataError)
    refuse(write(tmp_path, PLAIN, "t.parquet"), "whole Parquet file", error=DataError)
    (tmp_path / "folder.csv").mkdir()
    refuse(tmp_path / "folder.csv", "cannot be read", error=DataError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,label\n", "a header and no row"),
        ("x,x,label\n1,2,a\n", "2 columns called 'x'; each name must occur once"),
        ("label\na\nb\na\nb\n", "no column of features"),
        ("x,label\n1,\n2,\n", "no row has a label in column 'label'"),
        ("x,label\n1,a\n2,a\n", "all 2 labels in column 'label' are 'a'"),
        ("x,label\n1,a\n2,b\n", "each of the 2 rows has a label of its own"),
        ("x,label\n1,0\n2,3.7\n3,0\n", "label in row 3 is 3.7; .*pandas.cut"),
        ("x,label\n1,0\n2,inf\n3,0\n", "label in row 3 is inf"),
        ("x,label\n1,a\ninf,a\n3,b\n", "'x' holds inf in row 3.*drop=x"),
        ("x,label\n1,a\n1e39,a\n3,b\n", "'x' holds 1e.39 in row 3"),
    ],
)
def test_content_that_breaks_a_rule_is_refused(tmp_path: Path, text: str, message: str) -> None:
    refuse(write(tmp_path, text), message)


def test_text_of_many_values_is_refused_as_an_identifier(tmp_path: Path) -> None:
    def table(word: str, values: int) -> str:
        rows = (f"{word}{k % values},{k}.5,{'ab'[k // 3 % 2]}\n" for k in range(200))
        return "word,size,label\n" + "".join(rows)  # no two rows are equal

    assert load(write(tmp_path, table("w", 50))).train.shape == (51, 1, 1)
    path = write(tmp_path, table("w", 150))
    refuse(path, r"text of 1\d\d different values.*identifier.*t\.csv#label,drop=word")
    numbers = table("", 150).replace("7,", "?,")
    refuse(write(tmp_path, numbers), "holds numbers, except for 20 cells, the first '[?]' in row 9")


def test_columns_that_are_neither_numbers_nor_text_are_refused(tmp_path: Path) -> None:
    times = pd.date_range("2020", periods=10, freq="h").time
    frame = pd.DataFrame({"when": times, "label": list("ab") * 5})
    frame.to_parquet(tmp_path / "t.parquet")
    refuse(tmp_path / "t.parquet", "'when' holds values of type time.*drop=when")
    pd.DataFrame({"x": range(4), "label": pd.date_range("2020", periods=4)}).to_parquet(
        tmp_path / "t.parquet"
    )
    refuse(tmp_path / "t.parquet", "label in row 0 is a Timestamp")


def test_a_changed_table_is_another_data_set(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN)
    first, before = load(path), fingerprint(f"{path}#label")
    assert load(path) is first
    assert load(f"{path}#colour") is not first
    assert [status.state for status in check(f"{path}#label")] == ["present"]
    write(tmp_path, PLAIN + "99,red,a\n")
    assert fingerprint(path) != before
    assert len(load_unsplit(path).arrays) == 21
