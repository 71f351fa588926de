"""What differs between the runs of a table, and which of them count."""

import pandas as pd

from dilution.study.run_spec import Run
from dilution.training.config import TrainConfig

_UNSAID = {"seed", "fingerprint", "matrix"}


def name_matrices(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with each transition matrix replaced by a name, ``"T1"``, ``"T2"`` … as they occur."""
    if "matrix" not in runs:
        return runs
    text = runs["matrix"].map(lambda matrix: None if matrix is None else str(matrix))
    numbers = {each: f"T{number}" for number, each in enumerate(text.dropna().unique(), start=1)}
    return runs.assign(matrix=text.map(numbers).astype(object).where(text.notna(), None))


def varying_settings(runs: pd.DataFrame) -> list[str]:
    """Return the settings, seeds aside, in which runs differ.

    Parameters
    ----------
    runs
        One row a run, matrices named; see :func:`name_matrices`. Columns may be missing.
    """
    settings = [name for name in Run.model_fields if name != "seed" and name in runs.columns]
    varying = [name for name in settings if runs[name].nunique(dropna=False) > 1]
    if "fingerprint" in varying:
        what = [name for name in ("dataset", "image_source", "model") if name in varying]
        if what and runs.groupby(what, dropna=False)["fingerprint"].nunique(dropna=False).max() == 1:
            varying.remove("fingerprint")  # it says again what their names say
    return varying


def common_settings(runs: pd.DataFrame) -> str:
    """Return the settings that all runs share, as text; those that are off or tell nothing are left out.

    Parameters
    ----------
    runs
        One row a run. Columns may be missing.
    """
    said = []
    for name in sorted(Run.model_fields, key=lambda name: name in TrainConfig.model_fields):
        if name in _UNSAID or name not in runs or runs[name].nunique(dropna=False) != 1:
            continue
        value = runs[name].iloc[0]
        if (isinstance(value, str) and value) or (not isinstance(value, str) and pd.notna(value) and value):
            said.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(said)


def best_lr(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Keep for each group the runs of the learning rate with the best clean validation accuracy.

    Parameters
    ----------
    table
        One row a run. Diverged runs count as accuracy 0; the test set is not looked at. Of equally good rates
        the smallest is kept.
    by
        Columns that name a group; seeds are averaged over.
    """
    judged = table.assign(judged=table["val_acc_clean"].fillna(0.0))
    mean = judged.groupby([*by, "lr"], dropna=False)["judged"].mean().reset_index()
    winners = mean.loc[mean.groupby(by, dropna=False)["judged"].idxmax(), [*by, "lr"]]
    return table.merge(winners, on=[*by, "lr"])
