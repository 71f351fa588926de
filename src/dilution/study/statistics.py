"""Means over seeds with Student t intervals, and the paired comparison of two settings."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit  # scipy.stats takes half a second more to import

from dilution.errors import InputError, unknown


def intervals(
    table: pd.DataFrame, by: Sequence[str], value: str = "test_acc_at_best_clean_val", level: float = 0.95
) -> pd.DataFrame:
    """Summarise runs that differ in their seed alone: one row for each group.

    The interval is Student's: mean ± t · s / √k for k seeds with standard deviation s and k − 1
    degrees of freedom. An accuracy moves in steps of 1/n_test, so where the table says ``n_test``, s is
    taken to be at least the deviation of that rounding, 1/(n_test √12): equal accuracies are no
    certainty. The interval is *not* clipped to [0, 1]: an upper bound above 1 says that there are
    too few seeds or that accuracy is too near its ceiling for this interval, and cutting it off
    would hide that.

    Parameters
    ----------
    table
        One row a run.
    by
        Columns that name a group. A missing key (NaN, None) is a group of its own, sorted last.
    value
        Column to average. Rows in which it is missing, such as failed runs, are left out.
    level
        Coverage of the interval, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        Columns `by`, then ``mean``, ``low``, ``high`` (in the unit of `value`) and ``seeds``, the
        number of values behind them; sorted by `by`. With one seed no interval can be given:
        ``low`` and ``high`` are NaN. With none, ``mean`` is NaN too.

    Raises
    ------
    InputError
        If a column does not exist, `by` is empty, or `level` is outside (0, 1).
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; it must lie between 0 and 1, such as 0.95.")
    if not by:
        raise InputError("by is empty; name at least one column that tells the groups apart.")
    for column in (*by, value):
        if column not in table.columns:
            raise unknown("column of this table", column, map(str, table.columns))

    numbers = table.assign(**{value: pd.to_numeric(table[value]).astype("float64")})
    groups = numbers.groupby(list(by), dropna=False, sort=True, observed=True)[value]
    points = groups.agg(["mean", "std", "count"]).reset_index()

    seeds = points["count"].to_numpy(dtype=np.int64)
    several = seeds > 1
    step = 1 / float(table["n_test"].max()) if "n_test" in table and table["n_test"].notna().any() else 0.0
    deviation = points["std"].to_numpy(dtype=np.float64).clip(min=step / math.sqrt(12))
    half = np.full(len(points), np.nan)
    quantile = stdtrit(seeds[several] - 1, 0.5 + level / 2)
    half[several] = quantile * deviation[several] / np.sqrt(seeds[several])
    points["low"] = points["mean"] - half
    points["high"] = points["mean"] + half
    points["seeds"] = seeds
    return points[[*by, "mean", "low", "high", "seeds"]]


def paired_p(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the one-sided p-value of a paired t test that mean(x) < mean(y).

    Pairs are matched by position, so sort both by seed first. A pair with a missing half is left
    out.

    Parameters
    ----------
    x, y
        Equally many values, such as the accuracies of two networks under the same seeds.

    Returns
    -------
    float
        Small when x is reliably below y. NaN with fewer than two pairs, and when every pair differs by
        the same amount, to rounding: then there is no variance to test against.

    Raises
    ------
    InputError
        If `x` and `y` differ in length.
    """
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if left.shape != right.shape:
        raise InputError(
            f"x has {left.size} values and y has {right.size}; a paired test needs one value "
            "of each for every seed."
        )
    complete = ~(np.isnan(left) | np.isnan(right))
    left, right = left[complete], right[complete]
    if left.size < 2:
        return float("nan")
    difference = left - right
    rounding = 1e-12 * max(float(np.abs(left).max()), float(np.abs(right).max()))
    if np.ptp(difference) <= rounding:
        return float("nan")
    t = difference.mean() / (difference.std(ddof=1) / math.sqrt(difference.size))
    return float(stdtr(difference.size - 1, t))
