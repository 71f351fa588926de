"""How many clean examples reach an accuracy, from a grid of runs."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVELS = (0.8, 0.9)
"""The accuracies asked for."""


def logit(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(p / (1 − p)), with p kept 0.1 % away from 0 and 1."""
    p = np.clip(share, 1e-3, 1 - 1e-3)
    found: NDArray[np.float64] = np.log(p / (1 - p))
    return found


def grid_crossing(n: Sequence[float], accuracy: Sequence[float], level: float) -> float:
    """Return the smallest n from which on accuracy stays at or above a level.

    Between two n the logit of accuracy is taken to be linear in log n.

    Parameters
    ----------
    n
        Clean examples, ascending.
    accuracy
        Test accuracy at each, in [0, 1].
    level
        The accuracy asked for.

    Returns
    -------
    float
        NaN where the last accuracy is below the level or the first is not: the crossing lies outside.
    """
    above = np.asarray(accuracy) >= level
    if not above[-1] or above[0]:
        return math.nan
    last = int(np.flatnonzero(~above)[-1])  # the last n that is still below
    z = logit(np.asarray(accuracy[last : last + 2]))
    share = float((logit(np.asarray([level]))[0] - z[0]) / (z[1] - z[0]))
    return float(n[last] * (n[last + 1] / n[last]) ** share)


def grid_thresholds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the crossing of each level at each alpha, with an interval over seeds.

    Parameters
    ----------
    table
        One row a run: ``alpha``, ``n``, ``seed``, ``test_acc_at_best_clean_val``, several n for each alpha.

    Returns
    -------
    DataFrame
        Columns ``level``, ``alpha``, ``mean``, ``low``, ``high`` (clean examples; the mean and its Student t
        interval are taken of log n) and ``seeds``. A level that any seed does not cross within the grid
        is left out at that alpha.
    """
    rows = []
    for alpha, part in table.groupby("alpha"):
        curves = part.pivot_table(index="n", columns="seed", values="test_acc_at_best_clean_val").sort_index()
        for level in LEVELS:
            found = np.asarray(
                [grid_crossing(curves.index, curves[seed].to_numpy(), level) for seed in curves]
            )
            if np.isfinite(found).all():
                rows.append((level, alpha, *_log_interval(found), len(found)))
    return pd.DataFrame(rows, columns=["level", "alpha", "mean", "low", "high", "seeds"])


def _log_interval(n: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the geometric mean and its 95 % Student t interval, NaN for a single value."""
    x = np.log(n)
    mean, half = float(x.mean()), math.nan
    if len(x) > 1:
        half = float(stdtrit(len(x) - 1, 0.975) * x.std(ddof=1) / math.sqrt(len(x)))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)
