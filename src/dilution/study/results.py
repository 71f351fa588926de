"""The table of results: a DataFrame, one row a run; docs/architecture.md explains its columns."""

from collections.abc import Collection, Sequence

import pandas as pd

from dilution.study.run_spec import LATER, Run
from dilution.study.schema import MEASURES
from dilution.study.store import Store

COLUMNS = ("key", "state", *Run.model_fields, *MEASURES, "error", "host", "versions", "started", "finished")
"""Columns of the table of results; docs/architecture.md explains them."""


def table(store: Store, study: str | None = None, runs: Sequence[Run] | None = None) -> pd.DataFrame:
    """Return the runs of a store, one row each, settings and results side by side.

    Parameters
    ----------
    store
        The store.
    study
        Only the runs of this study, in its order.
    runs
        Only these runs.
    """
    wanted = None if runs is None else {run.key for run in runs}
    rows = []
    for row in store.rows(study):
        if wanted is not None and row["key"] not in wanted:
            continue
        rows.append(
            {"key": row["key"], "state": row["state"]}
            | LATER
            | row["spec"]
            | {name: row["result"].get(name) for name in MEASURES}
            | {"error": row["error"], "host": row["host"]}
            | {"versions": ", ".join(f"{k} {v}" for k, v in row["versions"].items())}
            | {"started": row["started"], "finished": row["finished"]}
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numeric = [name for name in MEASURES if name not in ("image_note", "device")]
    numeric += ["alpha", "eta", "delta", "epochs", "steps"]
    frame[numeric] = frame[numeric].apply(pd.to_numeric)
    return frame


def histories(store: Store, study: str | None = None, keys: Collection[str] | None = None) -> pd.DataFrame:
    """Return every evaluation of every run: its ``key``, ``step`` and what was measured there.

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
