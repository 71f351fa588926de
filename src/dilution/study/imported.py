"""Results back from a table that was exported: a store that was lost, or runs of another machine."""

import ast
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dilution.errors import DataError, InputError, unknown
from dilution.study.spec import Run
from dilution.study.store import Store
from dilution.study.table import MEASURES

_FINISHED = ("done", "diverged")


_TEXTS = {"key", "state", "dataset", "fingerprint", "images", "network", "matrix", "host", "versions"}
"""Columns of a CSV file that stay text, even where it looks like a number."""


def _csv(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False).astype(object)
    for name in table.columns.difference(list(_TEXTS)):
        table[name] = table[name].map(_number)
    return table.where(table != "", None)


def _number(text: str) -> Any:
    """Return the number or truth value that was written, to the last bit; other text as it is."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _json_lines(path: Path) -> pd.DataFrame:
    return pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])


FORMATS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _csv,
    ".parquet": pd.read_parquet,
    ".jsonl": _json_lines,
}


def import_table(path: str | Path, store: Store) -> int:
    """Enter the finished runs of an exported table into a store and return how many were new.

    What a table does not hold is not restored: the evaluations along a training, and the matrix of the
    noise that was delivered. Runs that the store has finished are left as they are.

    Parameters
    ----------
    path
        A file that ``dilution export`` wrote, or the runs of a figure (``fig1-runs.csv``).
    store
        Where they go.

    Raises
    ------
    InputError
        If the ending of the file is none of .csv, .parquet, .jsonl, or a run's settings do not give its key:
        then the file was changed, or written by a version that trained otherwise. Nothing is entered.
    DataError
        If the file cannot be read or is no table of runs.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise unknown("format to import from", path.suffix or path.name, FORMATS)
    try:
        table = FORMATS[path.suffix](path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Name a file that `dilution export` wrote."
        ) from None
    if not {"key", "state", "dataset"} <= set(table.columns):
        raise DataError(f"{path} is no table of runs. Name a file that `dilution export` wrote.")
    finished = table[table["state"].isin(_FINISHED)]
    found = [(_run(row, path), row) for row in finished.to_dict(orient="records")]
    with store.writer():
        store.add_runs([run for run, _ in found])
        states = store.states(run.key for run, _ in found)
        new = [(run, row) for run, row in found if states[run.key] not in _FINISHED]
        for run, row in new:
            versions = dict(part.split(" ", 1) for part in str(row["versions"]).split(", "))
            store.start([run.key], host=str(row["host"]), versions=versions, at=str(row["started"]))
            store.finish({run.key: _outcome(row)}, at=str(row["finished"]))
    return len(new)


def _run(row: dict[Any, Any], path: Path) -> Run:
    """Return the run of a row, whose settings must give its key."""
    settings = {name: _plain(row[name]) for name in Run.model_fields if name in row}
    settings = {name: value for name, value in settings.items() if value is not None}
    if isinstance(settings.get("matrix"), str):
        settings["matrix"] = ast.literal_eval(settings["matrix"])
    for name in ("n", "validation", "batch", "evaluations", "seed", "steps"):
        if name in settings:  # a column with gaps holds whole numbers as floats
            settings[name] = int(settings[name])
    run = Run.of(**settings)
    if run.key != row["key"]:
        raise InputError(
            f"{path}: the settings of run {row['key']} give the key {run.key}. The file was changed, or "
            "written by a version of dilution that trained otherwise; run the study again."
        )
    return run


def _outcome(row: dict[Any, Any]) -> dict[str, Any]:
    measures = {name: _plain(row[name]) for name in MEASURES if name in row}
    found = {name: value for name, value in measures.items() if value is not None}
    return {"state": row["state"], "result": {"image_note": ""} | found}


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; None where a table has a gap."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.item() if hasattr(value, "item") else value
