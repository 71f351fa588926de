"""Results back from a table that was exported: a store that was lost, or runs of another machine."""

import ast
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.errors import DataError, InputError, unknown
from dilution.study.run_spec import Run
from dilution.study.schema import MEASURES, STATES
from dilution.study.store import Store
from dilution.utils.migration import new_columns, new_settings, old_key, warn

_FINISHED = ("done", "diverged")

_SHARES = {"noise_rate_expected", "noise_rate_empirical", "val_acc_clean", "majority_share"}
_SHARES |= {
    "test_acc_last",
    "test_acc_at_best_clean_val",
    "test_acc_top5",
    "test_acc_at_best_noisy_val",
    "test_acc_max",
}
_COUNTS = {
    "step_at_best_clean_val",
    "step_at_best_noisy_val",
    "steps_done",
    "n_available",
    "n_test",
    "group_size",
    "diverged_at",
}
_NOTES = {"device", "image_note"}

_TEXTS = {"key", "state", "dataset", "fingerprint", "image_source", "model", "matrix"}
_TEXTS |= {"host", "versions", "started", "finished"} | _NOTES
"""Columns of a CSV file that stay text, even where it looks like a number."""

_NEEDED = (
    "key",
    "state",
    "dataset",
    "n",
    "model",
    "test_acc_at_best_clean_val",
    "host",
    "versions",
    "started",
    "finished",
)
"""Columns that a table must have. Older versions knew fewer settings and measures than there are now."""

_LARGEST = 2**53  # beyond it not every format holds every whole number
_REMEDY = "Nothing was entered; mend the file, or export the runs again with `dilution export`."


def _csv(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False).astype(object)
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
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("not every line is an object of JSON")
    return pd.DataFrame(records, dtype=object)


FORMATS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _csv,
    ".parquet": pd.read_parquet,
    ".jsonl": _json_lines,
}


def import_table(path: str | Path, store: Store) -> int:
    """Enter the finished runs of an exported table into a store and return how many were new.

    What a table does not hold is not restored: the evaluations along a training, and the matrix of the
    noise that was delivered. Runs that the store has finished are left as they are. Every row is checked
    before the first is entered, and they are entered all or none.

    Parameters
    ----------
    path
        A file that ``dilution export`` wrote, or the runs of a figure (``fig1-runs.csv``). Of a run that it
        holds twice, the first row counts.
    store
        Where they go.

    Raises
    ------
    InputError
        If the ending of the file is none of .csv, .parquet, .jsonl, or a run's settings do not give its key:
        then the file was changed, or written by a version that trained otherwise.
    DataError
        If the file cannot be read, is no table of runs, or a value in it breaks its rule.
    """
    found: dict[str, _Ended] = {}
    for row in _rows(Path(path)):
        if row.state() in _FINISHED:
            ended = row.ended()
            found.setdefault(ended.run.key, ended)
    with store.writer(whole=True):
        store.add_runs([ended.run for ended in found.values()])
        states = store.states(found)
        new = {key: ended for key, ended in found.items() if states[key] not in _FINISHED}
        for key, ended in new.items():
            store.start([key], host=ended.host, versions=ended.versions, at=ended.started)
            store.finish({key: ended.outcome}, at=ended.finished)
    return len(new)


@dataclass(frozen=True)
class _Ended:
    """A run that has ended, as the store takes it."""

    run: Run
    host: str
    versions: dict[str, str]
    started: str
    finished: str
    outcome: dict[str, Any]


@dataclass(frozen=True)
class _Row:
    """One row of a table of runs; `number` counts from 1, and `old` tells whether its key is one of version 0.1. What it returns has been checked.

    Raises
    ------
    DataError
        If a value breaks its rule.
    """

    path: Path
    number: int
    cells: dict[Any, Any]
    old: bool = False

    def state(self) -> str:
        """Return the state of the run."""
        state = self._value("state")
        if not isinstance(state, str) or state not in STATES:
            raise self._wrong("state", f"one of {', '.join(STATES)}")
        return state

    def ended(self) -> _Ended:
        """Return a run that has ended."""
        return _Ended(
            run=self._run(),
            host=self._text("host"),
            versions=self._versions(),
            started=self._time("started"),
            finished=self._time("finished"),
            outcome={"state": self.state(), "result": {"image_note": ""} | self._measures()},
        )

    def _run(self) -> Run:
        """Return the run, whose settings must give its key."""
        settings = {name: self._value(name) for name in Run.model_fields}
        settings = {name: value for name, value in settings.items() if value is not None}
        for name in settings:
            kind = Run.model_fields[name].annotation
            if kind in (int, int | None):
                settings[name] = self._whole(name)
            elif kind in (float, float | None) and not _is_number(settings[name]):
                raise self._wrong(name, "a number")
        if isinstance(settings.get("matrix"), str):
            settings["matrix"] = self._matrix(settings["matrix"])
        try:
            run = Run.of(**settings)
        except InputError as error:
            raise DataError(f"{self._place()}: {error} {_REMEDY}") from None
        key = self._value("key")
        if run.key != key and not (self.old and old_key(run.model_dump(mode="json")) == key):
            raise InputError(
                f"{self._place()}: the settings give the key {run.key}. The file was changed, or written by "
                "a version of dilution that trained otherwise. Nothing was entered; run the study again."
            )
        return run

    def _matrix(self, text: str) -> Any:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise self._wrong("matrix", "a matrix, such as ((0.9, 0.1), (0.2, 0.8)), or empty") from None

    def _versions(self) -> dict[str, str]:
        parts = [part.partition(" ") for part in self._text("versions").split(", ")]
        if not all(name and value for name, _, value in parts):
            raise self._wrong("versions", "names with versions, such as 'torch 2.13.0, numpy 2.4.6'")
        return {name: value for name, _, value in parts}

    def _time(self, name: str) -> str:
        """Return a time as the engine writes it: UTC, to the millisecond."""
        try:
            time = datetime.fromisoformat(self._text(name))
            if time.tzinfo is None:
                raise ValueError("no time zone")
            return time.astimezone(UTC).isoformat(timespec="milliseconds")
        except (ValueError, OverflowError):
            rule = "a time with its zone, such as 2026-11-23T08:23:14.627+00:00"
            raise self._wrong(name, rule) from None

    def _measures(self) -> dict[str, Any]:
        """Return the measures; those that the table does not know are left out."""
        found: dict[str, Any] = {}
        for name in MEASURES:
            value = self._value(name)
            if value is None:
                continue
            if name in _NOTES:
                found[name] = self._text(name)
            elif name in _COUNTS:
                found[name] = self._whole(name)
            elif name in _SHARES and not (_is_number(value) and 0 <= value <= 1):
                raise self._wrong(name, "a number in [0, 1]")
            elif not _is_number(value) or value < 0:
                raise self._wrong(name, "a number, 0 or more")
            else:
                found[name] = value
        if self.state() == "done" and "test_acc_at_best_clean_val" not in found:
            raise self._wrong("test_acc_at_best_clean_val", "a number in [0, 1] where the state is done")
        return found

    def _whole(self, name: str) -> int:
        """Return a whole number; a column with gaps holds it as a float."""
        value = self._value(name)
        if not _is_number(value) or value != int(value) or not 0 <= value <= _LARGEST:
            raise self._wrong(name, "a whole number, 0 or more")
        return int(value)

    def _text(self, name: str) -> str:
        value = self._value(name)
        if not isinstance(value, str | None):
            raise self._wrong(name, "text")
        return value or ""

    def _value(self, name: str) -> Any:
        """Return a cell as JSON can hold it; None where it is empty or there is no such column."""
        value = self.cells.get(name)
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return None
        return value.item() if isinstance(value, np.generic) else value

    def _place(self) -> str:
        return f"{self.path}, row {self.number} (run {self._value('key')})"

    def _wrong(self, name: str, rule: str) -> DataError:
        value = self._value(name)
        said = repr(value)
        said = "empty" if value is None else said if len(said) <= 60 else f"{said[:60]}…"
        return DataError(f"{self._place()}: {name} is {said}; it must be {rule}. {_REMEDY}")


def _rows(path: Path) -> Iterator[_Row]:
    """Read a table of runs and check that it has the columns of one."""
    if path.suffix not in FORMATS:
        raise unknown("format to import from", path.suffix or path.name, FORMATS)
    try:
        table = FORMATS[path.suffix](path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Name a file that `dilution export` wrote."
        ) from None
    if renamed := new_columns(table.columns):
        warn(f"the table {path}", renamed)
        table = table.rename(columns=renamed)
    if not {"key", "state", "dataset"} <= set(table.columns):
        raise DataError(f"{path} is no table of runs. Name a file that `dilution export` wrote.")
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}; a table of runs has {', '.join(_NEEDED)} and "
            f"more. {_REMEDY}"
        )
    for number, cells in enumerate(table.to_dict(orient="records"), start=1):
        yield _Row(path, number, new_settings(cells) if renamed else cells, bool(renamed))


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max
