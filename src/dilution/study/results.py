"""Tables of results: one row per run, and one row per evaluation."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from dilution.study.data_notes import data_notes
from dilution.study.gradient_notes import gradient_notes
from dilution.study.measures import MEASURES, TEXT_MEASURES, broken_rule
from dilution.study.other_code import describe_other_code
from dilution.study.recorded_run import TRAINED_BY
from dilution.study.run_spec import ADDED_SETTINGS, Run
from dilution.study.store import Store
from dilution.utils.printable import one_line

COLUMNS = (
    *("key", "state", TRAINED_BY, *Run.model_fields, *MEASURES),
    *("error", "host", "versions", "started", "finished"),
)
"""Columns of the table of results; docs/architecture.md explains them."""


def table(store: Store, study: str | None = None, runs: Sequence[Run] | None = None) -> pd.DataFrame:
    """Return the runs of a store with their settings and results, one row per run.

    Parameters
    ----------
    store
        The store.
    study
        Only the runs of this study, in its order.
    runs
        Only these runs.

    Returns
    -------
    pandas.DataFrame
        The columns are :data:`COLUMNS`. ``attrs["notes"]`` lists the notes on the data of the runs.
    """
    keys = None if runs is None else {run.key for run in runs}
    stored = [row for row in store.rows(study) if keys is None or row["key"] in keys]
    rows = [_flatten(row) for row in stored]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numeric = [name for name in MEASURES if name not in TEXT_MEASURES]
    numeric += ["alpha", "eta", "delta", "epochs", "steps", "test_part"]
    frame[numeric] = frame[numeric].apply(pd.to_numeric)
    frame.attrs["notes"] = [*data_notes(store, rows), *gradient_notes(stored), *recorded_notes(frame)]
    return frame


def _flatten(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the store without nested mappings; what a recorded run does not state is None."""
    is_recorded = TRAINED_BY in row["spec"]
    return {
        TRAINED_BY: "",
        **(dict.fromkeys(Run.model_fields) if is_recorded else ADDED_SETTINGS),
        **row["spec"],
        **{name: row["result"].get(name) for name in MEASURES},
        **({} if is_recorded else _of_noisy_accuracy(row)),
        **{name: row[name] for name in ("key", "state", "error", "host", "started", "finished")},
        "versions": ", ".join(f"{name} {version}" for name, version in row["versions"].items()),
    }


def _of_noisy_accuracy(row: dict[str, Any]) -> dict[str, Any]:
    """Return the measures by accuracy on noisy validation labels of a run that was trained before they were.

    Its history has them, where it has one: an imported run has none, and with `test_part` it has those of a
    part of the test split.
    """
    evaluations = [line for line in row["history"] or () if _is_whole(line)]
    if row["state"] != "done" or not evaluations:
        return {}
    best = max(evaluations, key=lambda line: line["val_acc_noisy"])
    measures = {"val_acc_noisy": best["val_acc_noisy"]}
    if not row["spec"].get("test_part"):
        measures |= {"test_acc_at_best_noisy_acc": best["test_acc"], "step_at_best_noisy_acc": best["step"]}
    return {name: value for name, value in measures.items() if name not in row["result"]}


def _is_whole(line: dict[str, Any]) -> bool:
    """Return whether an evaluation has an accuracy on noisy labels, a test accuracy and a step."""
    return all(
        line.get(name) is not None and broken_rule(measure, line[name]) is None
        for name, measure in (
            ("val_acc_noisy", "val_acc_noisy"),
            ("test_acc", "test_acc_at_best_noisy_acc"),
            ("step", "step_at_best_noisy_acc"),
        )
    )


def recorded_notes(runs: pd.DataFrame) -> list[str]:
    """Return one line per training loop outside of this package whose runs are in a table.

    Parameters
    ----------
    runs
        One row per run, as from :func:`table`.
    """
    counts = Counter(runs.get(TRAINED_BY, ()))
    total = counts.total()
    return [
        f"{count} of {total} runs {'was' if count == 1 else 'were'} trained by {one_line(name)!r} and "
        "recorded, not trained by Dilution"
        for name, count in counts.items()
        if name
    ]


def other_code_notes(runs: pd.DataFrame) -> list[str]:
    """Return one line per version of the code that trained finished runs and is not running now.

    Parameters
    ----------
    runs
        One row per run, as from :func:`table`.
    """
    finished = runs[runs["state"].isin(("done", "diverged"))]
    if TRAINED_BY in finished:
        finished = finished[finished[TRAINED_BY] == ""]
    versions = [
        dict(part.split(" ", 1) for part in text.split(", ") if " " in part) for text in finished["versions"]
    ]
    return describe_other_code(names.get("dilution") for names in versions)


def histories(store: Store, study: str | None = None, keys: Collection[str] | None = None) -> pd.DataFrame:
    """Return every evaluation of every run: its ``key``, ``step`` and measures.

    Parameters
    ----------
    store
        The store.
    study
        Only the runs of this study, in its order.
    keys
        Only these runs.
    """
    parts = [
        pd.DataFrame(row["history"]).assign(key=row["key"])
        for row in store.rows(study)
        if row["history"] and (keys is None or row["key"] in keys)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["key", "step"])
