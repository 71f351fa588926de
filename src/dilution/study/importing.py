"""Import of exported tables: results of a store that was lost, or of another machine."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.errors import DataError, InputError, short_repr, unknown
from dilution.study.measures import (
    INTEGER_MEASURES,
    MAX_INTEGER,
    MEASURES,
    TEXT_MEASURES,
    broken_rule,
)
from dilution.study.recorded_run import TRAINED_BY, RecordedRun, stored_run
from dilution.study.row_faults import fault_of_versions, is_time
from dilution.study.run_spec import Run
from dilution.study.schema import STATES
from dilution.study.statistics import ACCURACIES
from dilution.study.store import Store
from dilution.study.study_names import check_study_name
from dilution.utils.csv_cells import restore_text
from dilution.utils.finite_numbers import is_finite_number
from dilution.utils.migration import new_columns, new_settings, old_key, warn
from dilution.utils.parquet_file import read_frame
from dilution.utils.regular_file import check_regular
from dilution.utils.strict_json import parse_json

_FINISHED = ("done", "diverged")

_TEXT_COLUMNS = {
    *(
        "key",
        "state",
        TRAINED_BY,
        "matrix",
        "optimizer",
        "schedule",
        "host",
        "versions",
        "started",
        "finished",
    ),
    *(name for name, field in Run.model_fields.items() if field.annotation is str),
    *TEXT_MEASURES,
}
"""Columns of a CSV file that stay text, even if it looks like a number."""

_REQUIRED_COLUMNS = (
    *("key", "state", "dataset", "n", "model", "test_acc_at_best_clean_val"),
    *("host", "versions", "started", "finished"),
)
"""Columns that a table must have. Older versions had fewer settings and measures than today."""

_REMEDY = "Nothing was added; correct the file, or export the runs again with the command export."


def _csv(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False).astype(object)
    for name in table.columns:
        table[name] = table[name].map(restore_text if name in _TEXT_COLUMNS else _number)
    return table.where(table != "", None)


def _number(text: str) -> Any:
    """Return the number or truth value of a cell, exactly; other text as it is."""
    if text in ("True", "False"):
        return text == "True"
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text


def _json_lines(path: Path) -> pd.DataFrame:
    records = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("not every line is an object of JSON")
    return pd.DataFrame(records, dtype=object)


def _parquet(path: Path) -> pd.DataFrame:
    return read_frame(path, "Name a file that the command export wrote.", cell_bytes=_OBJECT_BYTES)


_OBJECT_BYTES = 64  # of a cell that is an object of Python

_FORMATS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}


def import_table(
    path: str | Path,
    store: Store,
    log: Callable[[str], None] = lambda _: None,
    *,
    study: str | None = None,
) -> int:
    """Add the finished runs of an exported table to a store and return how many were new.

    A table has neither the histories of the trainings nor the transition matrices, so these are not
    restored. Runs that are finished in the store stay as they are. Every row is checked before the
    first is added; either all are added or none.

    Parameters
    ----------
    path
        A file that ``dilution export`` wrote, the runs of a figure (``fig1-runs.csv``) or those of a
        benchmark (``runs.csv``). If it has several rows of one run, the first is used.
    store
        The store.
    log
        Function that is called with one line per kind of rows that were not added.
    study
        Name of a study that these runs become runs of, behind those that it has. None: of no study.

    Raises
    ------
    InputError
        If the suffix of the file is none of .csv, .parquet, .jsonl, or the settings of a run do not
        give its key: the file was changed, or written by a version that trained in another way; if the name
        of the study breaks its rule, or is that of a figure and another training loop trained a run.
    DataError
        If the file cannot be read, is not a table of runs, or a value in it breaks its rule.
    """
    finished: dict[str, _FinishedRun] = {}
    unfinished, repeated = [], []
    for row in _rows(Path(path)):
        if row.state() not in _FINISHED:
            unfinished.append(row.state())
            continue
        run = row.finished_run()
        if finished.setdefault(run.run.key, run) is not run:
            repeated.append(run.run.key)
    runs = [run.run for run in finished.values()]
    if study is not None:
        own = all(isinstance(run, Run) for run in runs)
        check_study_name(study, may_be_figure=own)
    with store.writer(atomic=True):
        if study is None or not runs:
            store.add_runs(runs)
        else:
            store.append(study, runs)
        states = store.states(finished)
        new = {key: run for key, run in finished.items() if states[key] not in _FINISHED}
        for key, run in new.items():
            store.start([key], host=run.host, versions=run.versions, at=run.started)
            store.finish({key: run.outcome}, at=run.finished)
    known = [key for key in finished if key not in new]
    for rows, text in (
        (unfinished, "not finished and not added, the first is {first}"),
        (repeated, "repeated; the first row of a run is used, such as run {first}"),
        (known, "finished in the store already, which keeps them, such as run {first}"),
    ):
        if rows:
            count = f"{len(rows):,} {'row is' if len(rows) == 1 else 'rows are'}"
            log(f"note: {count} {text.format(first=rows[0])}")
    return len(new)


@dataclass(frozen=True)
class _FinishedRun:
    """A finished run, as the store needs it."""

    run: Run | RecordedRun
    host: str
    versions: dict[str, str]
    started: str
    finished: str
    outcome: dict[str, Any]


@dataclass(frozen=True)
class _Row:
    """One row of a table of runs. Its methods return checked values.

    Parameters
    ----------
    path
        The file.
    number
        Number of the row, from 1.
    cells
        Value per column.
    is_old
        Whether the key may be that of version 0.1.

    Raises
    ------
    DataError
        If a value breaks its rule.
    """

    path: Path
    number: int
    cells: dict[Any, Any]
    is_old: bool = False

    def state(self) -> str:
        """Return the state of the run."""
        state = self._value("state")
        if not isinstance(state, str) or state not in STATES:
            raise self._wrong("state", f"one of {', '.join(STATES)}")
        return state

    def finished_run(self) -> _FinishedRun:
        """Return the run of a row whose state is a finished one."""
        return _FinishedRun(
            run=self._run(),
            host=self._text("host"),
            versions=self._versions(),
            started=self._time("started"),
            finished=self._time("finished"),
            outcome={"state": self.state(), "result": {"image_note": ""} | self._measures()},
        )

    def _run(self) -> Run | RecordedRun:
        """Return the run; its settings must give its key."""
        settings = {name: self._value(name) for name in (TRAINED_BY, *Run.model_fields)}
        settings = {name: value for name, value in settings.items() if value is not None}
        for name in settings.keys() & Run.model_fields.keys():
            annotation = Run.model_fields[name].annotation
            if annotation in (int, int | None):
                settings[name] = self._integer(name)
            elif annotation in (float, float | None) and not is_finite_number(settings[name]):
                raise self._wrong(name, "a number")
        if isinstance(settings.get("matrix"), str):
            settings["matrix"] = self._matrix(settings["matrix"])
        if not settings.get(TRAINED_BY):
            settings.pop(TRAINED_BY, None)
        try:
            run = stored_run(settings)
        except InputError as error:
            raise DataError(f"{self._place()}: {error} {_REMEDY}") from None
        key = self._value("key")
        is_old = isinstance(run, Run) and self.is_old and old_key(run.model_dump(mode="json")) == key
        if run.key != key and not is_old:
            raise InputError(
                f"{self._place()}: the settings give the key {run.key}. The file was changed, or written by "
                "a version of dilution that trained in another way. Nothing was added; run the study again."
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
        versions = {name: value for name, _, value in parts}
        if (fault := fault_of_versions(versions)) is not None:
            raise DataError(f"{self._place()}: {fault}. {_REMEDY}")
        return versions

    def _time(self, name: str) -> str:
        """Return a time as the scheduler writes it: UTC, to the millisecond."""
        try:
            time = datetime.fromisoformat(self._text(name))
            if time.tzinfo is None:
                raise ValueError("no time zone")
            text = time.astimezone(UTC).isoformat(timespec="milliseconds")
            if not is_time(text):
                raise ValueError("a year that no table can hold")
            return text
        except (ValueError, OverflowError):
            rule = "a time with its zone, such as 2026-11-23T08:23:14.627+00:00"
            raise self._wrong(name, rule) from None

    def _measures(self) -> dict[str, Any]:
        """Return the measures that the table has."""
        measures: dict[str, Any] = {}
        for name in MEASURES:
            value = self._value(name)
            if value is None:
                continue
            if (rule := broken_rule(name, value)) is not None:
                raise self._wrong(name, rule)
            measures[name] = int(value) if name in INTEGER_MEASURES else value  # with gaps it is a float
        is_own = not self._value(TRAINED_BY)
        if is_own and self.state() == "done" and "test_acc_at_best_clean_val" not in measures:
            raise self._wrong("test_acc_at_best_clean_val", "a number in [0, 1] where the state is done")
        return measures

    def _integer(self, name: str) -> int:
        """Return an integer; in a column with gaps it is a float."""
        value = self._value(name)
        if not is_finite_number(value) or value != int(value) or not 0 <= value <= MAX_INTEGER:
            raise self._wrong(name, "an integer, 0 or more")
        return int(value)

    def _text(self, name: str) -> str:
        value = self._value(name)
        if not isinstance(value, str | None):
            raise self._wrong(name, "text")
        return value or ""

    def _value(self, name: str) -> Any:
        """Return a cell as JSON can hold it; None if it is empty or there is no such column."""
        value = self.cells.get(name)
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return None
        return value.item() if isinstance(value, np.generic) else value

    def _place(self) -> str:
        return f"{self.path}, row {self.number} (run {self._value('key')})"

    def _wrong(self, name: str, rule: str) -> DataError:
        value = self._value(name)
        text = "empty" if value is None else short_repr(value)
        return DataError(f"{self._place()}: {name} is {text}; it must be {rule}. {_REMEDY}")


_NOISE_OF_BENCHMARK = "noise_setting"
"""Column of benchmarks before their ``noise`` was the setting of a run: it was the name of the noise."""


def _from_benchmark(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of such a benchmark as they are exported today, diverged ones without an accuracy."""
    table = table.drop(columns="noise").rename(columns={_NOISE_OF_BENCHMARK: "noise"})
    accuracies = [name for name in ACCURACIES if name in table]
    table.loc[table["state"] == "diverged", accuracies] = None
    return table


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the rows of a table of runs, after a check of its columns."""
    if path.suffix not in _FORMATS:
        raise unknown("format to import from", path.suffix or path.name, _FORMATS)
    check_regular(path)
    try:
        table = _FORMATS[path.suffix](path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Name a file that the command export wrote."
        ) from None
    if renamed := new_columns(table.columns):
        warn(f"the table {path}", renamed)
        table = table.rename(columns=renamed)
    if {_NOISE_OF_BENCHMARK, "noise", "state"} <= set(table.columns):
        table = _from_benchmark(table)
    if not {"key", "state", "dataset"} <= set(table.columns):
        raise DataError(f"{path} is not a table of runs. Name a file that the command export wrote.")
    missing = [name for name in _REQUIRED_COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}; a table of runs has at least "
            f"{', '.join(_REQUIRED_COLUMNS)}. {_REMEDY}"
        )
    for number, cells in enumerate(table.to_dict(orient="records"), start=1):
        yield _Row(path, number, new_settings(cells) if renamed else cells, bool(renamed))
