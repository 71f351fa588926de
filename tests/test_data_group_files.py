"""Groups that are given apart from the examples, and the rule for their names."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dilution.data import Arrays, UnsplitData, from_numpy
from dilution.data.group_files import match_groups
from dilution.data.groups import read_groups
from dilution.errors import DataError, InputError

N = 6
EXAMPLES = UnsplitData(
    Arrays(torch.arange(1.0 * N)[:, None, None, None], torch.arange(N) % 2),
    tuple(f"row {number + 2}" for number in range(N)),
)


def write(path: Path, *rows: str, header: str = "id,patient") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def test_an_example_has_one_group(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    with pytest.raises(InputError, match=r"'row 3' has two groups, 'a' \(row 2\) and 'b' \(row 4\)"):
        match_groups(write(path, "row 3,a", "row 4,a", "row 3,b"), EXAMPLES)
    groups, notes = match_groups(write(path, "row 3,a", "row 4,a", "row 3, a"), EXAMPLES)
    assert groups.tolist() == [0, 1, 1, 2, 3, 4]
    assert (
        "1 example occurs again in the file of groups with the same group, the first is 'row 3' in row 4"
        in (notes)
    )
    assert any("4 examples have no group" in note for note in notes)


def test_a_file_of_groups_may_be_written_as_tables_are(tmp_path: Path) -> None:
    rows = [f"row {number + 2};p{number // 2}" for number in range(N)]
    path = write(tmp_path / "g.csv", *rows, header="\ufeffid;patient")
    assert match_groups(path, EXAMPLES)[0].tolist() == [0, 0, 1, 1, 2, 2]
    path.write_bytes("id,patient\nrow 2,Andr\xe9\nrow 3,Andr\xe9\n".encode("cp1252"))
    with pytest.raises(DataError, match="encoding=cp1252"):
        match_groups(path, EXAMPLES)
    assert match_groups(f"{path}#encoding=cp1252", EXAMPLES)[0].tolist() == [0, 0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="row 2 has a patient and no id"):
        match_groups(write(path, ",a"), EXAMPLES)
    with pytest.raises(InputError, match=r"g\.csv: row 3 names the group of 'row 99', which is no example"):
        match_groups(write(path, "row 2,a", "row 99,a"), EXAMPLES)


def same(*names: object) -> bool:
    return len(set(read_groups(list(names), "x")[0].tolist())) == 1


@pytest.mark.parametrize(
    ("names", "are_one", "word"),
    [
        (("p1", " p1 "), True, "2 spellings of groups are 1 group"),
        (("caf\u00e9", "cafe\u0301"), True, "2 spellings of groups are 1 group"),
        (("1", "1.0"), True, "'1.0' is read as '1'"),
        (("p1", "P1"), False, "2 groups have names that look alike"),
        (("cat", "\u0441at"), False, "2 groups have names that look alike"),
        (("007", "7"), False, "2 groups have names that look alike or are one number"),
        (("1", 1.0), True, ""),
        ((True, "1"), False, ""),
        (("NA", "None"), False, ""),
    ],
)
def test_names_of_groups_have_the_rule_of_labels(names: tuple[object, ...], are_one: bool, word: str) -> None:
    assert same(*names) == are_one
    notes = read_groups(list(names), "x")[1][1:]
    assert any(word in note for note in notes) if word else not notes


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "a"],
        ["a", "", "a "],
        np.ma.array([1, 2, 1], mask=[False, True, False]),
        pd.Series([1, None, 1], dtype="Int64"),
        pd.Series(["a", None, "a"], dtype="category"),
        pd.Series(pd.to_datetime(["2020-01-01", None, "2020-01-01"])),
        np.array([1.0, np.nan, 1.0]),
    ],
)
def test_missing_groups_are_groups_of_their_own_in_any_container(values: object) -> None:
    groups, notes = read_groups(values, "x")  # type: ignore[arg-type]
    assert groups.tolist() == [0, 1, 0]
    assert any("1 example has no group in x" in note for note in notes)


@pytest.mark.parametrize("value", [1j, b"a", ["a"], {"a": 1}])
def test_values_that_name_no_group_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="names of groups are text, numbers, truth values or dates"):
        read_groups(["b", value], "x")  # type: ignore[list-item]


def test_groups_that_floats_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(InputError, match=r"different groups may have become one\. Pass integers or text"):
        read_groups(np.array([2.0**60, 2.0**60 + 1]), "the argument group")


def test_pandas_groups_in_another_order_are_refused() -> None:
    features = pd.DataFrame({"x": range(20)})
    groups = pd.Series(np.arange(20) // 2).sample(frac=1, random_state=0)
    with pytest.raises(
        InputError, match=r"features and groups are of pandas.*Pass groups\.loc\[features\.index\]"
    ):
        from_numpy(features=features, labels=np.arange(20) % 2, groups=groups)
    data = from_numpy(features=features, labels=np.arange(20) % 2, groups=groups.loc[features.index])
    assert "20 examples are of 10 groups" in data.notes[0]
