"""Remedies in messages on tables."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from remedies import (
    COLUMNS,
    LABELS,
    ROWS,
    case,
    case_of_command,
    case_of_data,
    commands,
    expressions,
    hint,
    named,
    refusal,
    rows,
    table,
)

from dilution.data import from_numpy, load

for column, options_of_table in {
    "none is called label": "",
    "an identifier": "#id",
    "of one class": "#one",
    "empty": "#empty",
}.items():
    case_of_data(
        f"the label column is {column}",
        lambda end=options_of_table: table(rows(**COLUMNS), "my data/t.csv") + end,
    )
case_of_data("a column of text has too many values", lambda: table(rows(**COLUMNS)) + '#"species of it"')
case_of_data(
    "a column is misspelt",
    lambda: table(rows(x=COLUMNS["width"], species=COLUMNS["species of it"])) + "#specis",
    lambda message: [f"t.csv#{hint(message)}"],
)


def write_many_problems() -> None:
    frame = pd.DataFrame({"x": range(400), "label": list("ab") * 200})
    frame["day"] = [f"{1 + row % 28}/{1 + row % 12}/{2000 + row % 20}" for row in range(400)]
    for number in range(12):
        frame[f"free text, {number}"] = [f"text {row}" for row in range(400)]
    Path("my data").mkdir(exist_ok=True)
    frame.to_csv("my data/t.csv", index=False)


for ending, words in {
    "": '"my data/t.csv"',
    ", with an option": '"my data/t.csv" --label label',
    ", the label is misspelt": '"my data/t.csv" --label labl',
    ", and the label behind the #": '"my data/t.csv#lable"',
}.items():
    case_of_command(
        f"many columns cannot be features{ending}",
        f"dilution plan {words} --target 0.9 --eta 0.2",
        lambda _, message: re.findall(r"^The whole command: (.+)$", message, re.M),
        write_many_problems,
    )
case_of_data(
    "a decimal mark must be known",
    lambda: table(
        "label;x\n" + "".join(f"{'ab'[k % 2]};{1 + k % 9},{100 + k}\n{'ab'[k % 2]};{k}\n" for k in range(60))
    ),
)
case_of_data(
    "a table may be Windows-1252",
    lambda: table("label,x\n" + "café,1\nthé,2\ncafé,3\nthé,4\n" * 20, "my data/t.csv", "cp1252"),
)
case_of_data(
    "a table has a byte order mark of another encoding",
    lambda: table("\ufefflabel,x\n" + "a,1\nb,2\na,3\nb,4\n" * 20) + "#label,encoding=cp1252",
    lambda message: ["t.csv#label,encoding=cp1252".replace("," + named(r"Leave out (\S+)\.", message), "")],
)
case_of_data(
    "a table is UTF-16 without a byte order mark",
    lambda: table("label,x\n" + "a,1\nb,2\na,3\nb,4\n" * 20, encoding="utf-16-le"),
    lambda message: ["t.csv#" + named(r"Add (encoding=[a-z0-9-]+) behind", message)],
)


def write_table_with_nul() -> str:
    return refusal(load, table("label,x\n" + "a,1\nb,2\0\na,3\nb,4\n" * 20, "my data/t.csv"))


def run_in_shell(message: str) -> None:
    (command,) = commands(message)
    subprocess.run(command, shell=True, check=True)
    assert len(load(shlex.split(command)[-1]).train)


case("a table has a NUL character", write_table_with_nul, run_in_shell)


def noted(write: Callable[[], str]) -> Callable[[], str]:
    return lambda: "\n".join(load(write()).notes)


def follow_note(message: str) -> None:
    (option,) = re.findall(r"(\w+=\w+) behind the #", message)
    assert len(load(f"t.csv#label,{option}").train)


case(
    "a separator of cells is guessed",
    noted(lambda: table("label,x;label\n" + "a,1;a\nb,2;b\na,3;a\nb,4;b\n" * 20)),
    follow_note,
)
case(
    "a decimal mark is guessed",
    noted(
        lambda: table("label,x\n" + "".join(f'{"ab"[k % 2]},"{1 + k % 9},{100 + k}"\n' for k in range(60)))
    ),
    follow_note,
)


def title_above_header() -> str:
    return refusal(
        load,
        table(
            "Survey of 2024,north\n"
            + rows(x=COLUMNS["width"], y=COLUMNS["weight"], label=COLUMNS["species of it"]),
            "my t.csv",
        ),
    )


def cut_in_shell(message: str) -> None:
    (command,) = commands(message)
    subprocess.run(command, shell=True, check=True)
    assert len(load(shlex.split(command)[-1]).train)


case("a title stands above the header", title_above_header, cut_in_shell)
case_of_data(
    "a decimal mark is requested that no cell has",
    lambda: (
        table("label,x\n" + "".join(f'{"ab"[k % 2]},"{k},{10 + k}"\n' for k in range(120)))
        + "#label,decimal=point"
    ),
    lambda message: [
        "t.csv#label,decimal=point".replace(
            "," + named(r"(decimal=\w+) is requested\. Leave that out", message), ""
        )
    ],
)


def parquet_case(name: str, frame: pd.DataFrame, values: dict[str, list[object]] | None = None) -> None:
    """Add a case: a Parquet file is refused, and can be read after the call of pandas in the message.

    Parameters
    ----------
    name
        Name of the case.
    frame
        The table.
    values
        Columns that the call must make, in the order of the rows.
    """

    def provoke() -> str:
        frame.to_parquet("t.parquet")
        return refusal(load, "t.parquet#label")

    def apply(message: str) -> None:
        call = next(call for call in expressions(message) if "frame" in call)
        changed = eval(call, {"pd": pd, "frame": frame.copy()})
        if isinstance(changed, pd.Series):  # of a column
            changed = frame.assign(**{str(changed.name): changed})
        assert changed["x"].tolist() == frame["x"].tolist()
        assert changed["label"].tolist() == frame["label"].tolist()
        for column, expected in (values or {}).items():
            assert changed[column].tolist() == expected
        changed.to_parquet("t.parquet")
        assert len(load("t.parquet#label").train)

    case(name, provoke, apply)


_TWO_CLASSES = pd.DataFrame({"label": ["a", "b"] * 30, "x": ROWS.ravel()[:60]})
_PAIRS = {"pair_0": list(range(60)), "pair_1": list(range(1, 61))}
_OF_PAIRS = _TWO_CLASSES.assign(pair=[[k, k + 1] for k in range(60)])
_ORDERS = {
    "in order": range(60),
    "shuffled": np.random.default_rng(0).permutation(60),
    "joined from two": [*range(30), *range(30)],
}
for order, index in _ORDERS.items():
    parquet_case(f"cells are lists, and rows are {order}", _OF_PAIRS.set_index(pd.Index(index)), _PAIRS)
parquet_case(
    "cells are dictionaries",
    _TWO_CLASSES.assign(pair=[{"a": k} for k in range(60)]).set_index(pd.Index(_ORDERS["shuffled"])),
    {"pair_a": list(range(60))},
)
parquet_case("some cells are lists", _OF_PAIRS.assign(pair=_OF_PAIRS["pair"].where(_OF_PAIRS["x"] > 0)))
parquet_case("cells are bytes", _TWO_CLASSES.assign(colour=[b"red", b"blue", b"red"] * 20))
parquet_case("an index is called as a column is", _TWO_CLASSES.set_index(_TWO_CLASSES["label"]))


def features_of_lists(message: str) -> None:
    (call,) = expressions(message)
    frame = pd.DataFrame({"pair": [[k, k + 1] for k in range(40)]}, index=range(40, 0, -1))
    features = eval(call, {"pd": pd, "frame": frame, "column": "pair"})
    assert frame.join(features)[[0, 1]].to_numpy().tolist() == [[k, k + 1] for k in range(40)]
    assert len(from_numpy(features=features, labels=LABELS).train)


case(
    "features are lists",
    lambda: refusal(
        from_numpy, features=pd.DataFrame({"pair": [[k, k + 1] for k in range(40)]}), labels=LABELS
    ),
    features_of_lists,
)
