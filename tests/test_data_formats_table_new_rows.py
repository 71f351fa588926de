"""New rows of a table become the features that they would have been in the data of the encoding."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fitted_models import mixed_table, write_csv
from hypothesis import given, settings
from hypothesis import strategies as st

from dilution.data import load, load_unsplit
from dilution.data.formats.frame_table import FrameTable
from dilution.data.formats.table_encoding import TableEncoding
from dilution.data.formats.table_files import open_table
from dilution.data.formats.table_new_rows import NewRows, read_new_rows
from dilution.errors import DataError, InputError


def encode(encoding: TableEncoding, data: Path | pd.DataFrame, decimal: str | None = None) -> NewRows:
    table = FrameTable(data) if isinstance(data, pd.DataFrame) else open_table(data, "")
    return read_new_rows(
        encoding, table, decimal=decimal, name_with_decimal=lambda mark: f"new.csv#decimal={mark}"
    )


def features(encoding: TableEncoding, data: Path | pd.DataFrame, decimal: str | None = None) -> np.ndarray:
    return encode(encoding, data, decimal).features[:, :, 0, 0]


def fitted(path: Path) -> tuple[TableEncoding, np.ndarray]:
    arrays = load_unsplit(path).arrays
    assert isinstance(arrays.encoding, TableEncoding)
    return arrays.encoding, arrays.images.numpy()[:, :, 0, 0]


def column(folder: Path, cells: list[str], name: str = "table.csv", separator: str = ";") -> Path:
    """Write a table with one column of cells, and labels."""
    lines = [f"x{separator}label", *(f"{cell}{separator}{'ab'[k % 2]}" for k, cell in enumerate(cells))]
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return folder / name


def kinds_of_cells(draw: random.Random, n: int) -> list[str]:
    """Return the cells of a column of one of the kinds that are read."""
    pattern = draw.choice(
        ["{:.0f}", "{:.4f}", "{:,.1f}", "{:.1f}%", "€{:.2f}", "({:.0f})", "w{:.0f}", "{:.0f}e3", "true"]
    )
    scale = draw.choice([3, 100, 1e6, 1e17])
    cells = [pattern.format(draw.uniform(0, scale)) for _ in range(n)]
    if pattern.startswith("w"):
        cells = [f"w{draw.randrange(5)}" for _ in range(n)]
    if pattern == "true":
        cells = [draw.choice(["true", "false"]) for _ in range(n)]
    if draw.random() < 0.4:
        cells[draw.randrange(n)] = draw.choice(["", "NA", "?"])
    return cells


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rows_of_the_data_become_the_same_bits_in_any_order_and_number(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    draw, folder = random.Random(seed), tmp_path_factory.mktemp("tables")
    columns = {f"c{k}": kinds_of_cells(draw, 24) for k in range(draw.randint(1, 4))}
    frame = pd.DataFrame({**columns, "label": [draw.choice("ab") for _ in range(22)] + ["a", "b"]})
    try:
        encoding, expected = fitted(write_csv(folder, frame))
    except InputError:
        return
    assert np.array_equal(features(encoding, folder / "table.csv"), expected)
    restored = TableEncoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert restored == encoding
    rows = draw.sample(range(24), draw.randint(2, 24))
    rows += [int(row) for row in range(24) if (frame.iloc[row] == "?").any()]  # not the only cell of its kind
    some = frame.iloc[rows].drop(columns="label")[draw.sample(list(columns), len(columns))]
    some.insert(0, "another", "1")
    try:
        new = features(restored, write_csv(folder, some, "new.csv"))
    except InputError:  # a column of few cells, most of them "?"
        return
    np.testing.assert_allclose(new, expected[rows], rtol=1e-6)


def test_both_splits_and_parts_of_a_table_know_their_encoding(tmp_path: Path) -> None:
    data = load(write_csv(tmp_path, mixed_table()))
    for arrays in (data.train, data.test, data.train.subset(torch.arange(3))):
        assert isinstance(arrays.encoding, TableEncoding)
        assert arrays.encoding.n_features == arrays.shape[0]


def test_csv_parquet_and_frame_become_the_same_features(tmp_path: Path) -> None:
    frame = mixed_table()
    encoding, expected = fitted(write_csv(tmp_path, frame))
    frame.to_parquet(tmp_path / "table.parquet")
    frame["town"] = frame["town"].astype("category")
    for data in (tmp_path / "table.parquet", frame, frame[sorted(frame)]):
        assert np.array_equal(features(encoding, data), expected)


def test_missing_and_new_values_are_filled_and_counted(tmp_path: Path) -> None:
    encoding, expected = fitted(write_csv(tmp_path, mixed_table()))
    frame = mixed_table().drop(columns=["label", "id"])
    frame.loc[[0, 1], "size"] = np.nan
    frame.loc[[4], "town"] = "Kiel"
    frame.loc[[5], "town"] = None
    frame["weight"] = 1.0
    new = encode(encoding, write_csv(tmp_path, frame, "new.csv"))
    values = new.features[:, :, 0, 0]
    names = [column.name for column in encoding.columns]
    assert names == ["size", "age", "town", "member"]
    assert (values[:2, 0] == np.float32(np.median(mixed_table()["size"]))).all()
    assert (values[[4, 5], 3:6] == 0).all()
    unchanged = np.setdiff1d(np.arange(40), [0, 1, 4, 5])
    assert np.array_equal(values[unchanged], expected[unchanged])
    assert [note for note in new.notes if note.startswith("column 'town'")] == [
        "column 'town': 2 cells have values that the model was not fitted to, the first is 'Kiel' in row 6; "
        "they are 0 in all of its columns"
    ]
    assert "column 'weight' is ignored, since the model was not fitted to it" in new.notes
    assert any(
        "3 missing numbers filled" in note or "columns: 3 missing numbers" in note for note in new.notes
    )


def test_one_message_names_all_columns_that_are_missing_or_of_another_kind(tmp_path: Path) -> None:
    encoding, _ = fitted(write_csv(tmp_path, mixed_table()))
    frame = mixed_table().drop(columns="town").assign(size="word", member=[[1]] * 40)
    with pytest.raises(InputError) as error:
        encode(encoding, frame)
    for part in (
        "the column town is missing",
        "column 'size' held numbers in the data that the model was fitted to, and holds none in 40 of 40",
        "column 'member' holds lists",
    ):
        assert part in str(error.value)


def test_truth_values_in_a_column_of_numbers_are_refused(tmp_path: Path) -> None:
    encoding, _ = fitted(write_csv(tmp_path, mixed_table()))
    with pytest.raises(InputError, match="column 'age' holds truth values, and held numbers"):
        encode(encoding, mixed_table().assign(age=True))


def test_truth_values_may_be_spelled_in_any_way(tmp_path: Path) -> None:
    cells = ["true", "false"] * 6
    encoding, expected = fitted(column(tmp_path, cells))
    for spelled in (["TRUE", "FALSE"] * 6, ["True", "False"] * 6):
        assert np.array_equal(features(encoding, column(tmp_path, spelled, "new.csv")), expected)


@pytest.mark.parametrize(
    ("cells", "new", "expected"),
    [
        (["1,5", "2,25"], ["1,5", "3"], [1.5, 3]),  # a decimal comma
        (["1,5", "2,25"], ["1.234", "2.000,5"], [1234, 2000.5]),  # its thousands
        (["1,5", "2,25"], ["1.234", "2.000"], [1234, 2000]),  # pandas reads these as fractions
        (["1.5", "2.25"], ["1,5", "2,25"], [1.5, 2.25]),  # no other reading
        (["50%", "7%"], ["1", "3%"], [1, 0.03]),
        (["50", "7"], ["1 %", "300 %"], [0.01, 3]),
        (["$5", "$6"], ["($7)", "8"], [-7, 8]),
        (["5", "6", "NA"], ["NA", "8"], [5.5, 8]),
        (["5", "6"], ["n/a", "8"], [5.5, 8]),
        ([str(2**60), str(2**60 + 2)], [str(2**60 + 1), str(2**60)], None),
    ],
)
def test_numbers_are_read_as_in_the_data_of_the_encoding(
    tmp_path: Path, cells: list[str], new: list[str], expected: list[float] | None
) -> None:
    encoding, _ = fitted(column(tmp_path, cells * 4))
    values = features(encoding, column(tmp_path, new, "new.csv"))
    if expected is None:
        expected = [1 - encoding.columns[0].offset + 2**60, -encoding.columns[0].offset + 2**60]
    assert values[:, 0].tolist() == [np.float32(value) for value in expected]


@pytest.mark.parametrize(
    ("cells", "new", "words"),
    [
        (
            ["1,5", "2,25"],
            ["1.5", "2.25"],
            r"if the decimal mark is a point there, name new.csv#decimal=point",
        ),
        (["1,234.5", "2.25"], ["1,5", "2,25"], "if the decimal mark is a comma there, name"),
        (["5", "6"], ["1,234", "2,345"], "may be a point or a comma: name new.csv#decimal=point or"),
        (["$5", "$6"], ["€5", "€6"], r"holds '€5' in row 2, and the model was fitted to amounts in \$"),
        (["5", "6"], ["a"], "holds none in 1 of 1 cells, the first is 'a' in row 2"),
        (["5", "6"], ["1e39", "2"], "numbers must be finite"),
    ],
)
def test_numbers_that_cannot_be_read_so_are_refused(
    tmp_path: Path, cells: list[str], new: list[str], words: str
) -> None:
    encoding, _ = fitted(column(tmp_path, cells * 4))
    with pytest.raises(InputError, match=words):
        encode(encoding, column(tmp_path, new, "new.csv"))


def test_a_decimal_mark_that_is_named_decides(tmp_path: Path) -> None:
    encoding, _ = fitted(column(tmp_path, ["1,5", "2,25"] * 4))
    new = column(tmp_path, ["1.5", "2.25"], "new.csv")
    assert features(encoding, new, "point")[:, 0].tolist() == [1.5, 2.25]


def test_a_table_without_rows_has_no_features(tmp_path: Path) -> None:
    encoding, expected = fitted(write_csv(tmp_path, mixed_table()))
    assert features(encoding, write_csv(tmp_path, mixed_table().head(0), "new.csv")).shape == (
        0,
        expected.shape[1],
    )


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"columns": []},
        {"columns": [{"kind": "number", "name": "x", "fill": float("inf")}]},
        {"columns": [{"kind": "number", "name": "x", "fill": 0.0, "decimal": "dot"}]},
        {"columns": [{"kind": "text", "name": "x", "levels": ["a"], "run": "this"}]},
        {"columns": [{"kind": "text", "name": "x", "levels": []}]},
    ],
)
def test_content_that_is_no_encoding_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(DataError, match="the encoding of a table has a fault at"):
        TableEncoding.from_dict(content)
