"""Paired comparisons: differences between settings, run by run of the same seed."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy

from dilution.study.statistics import check_seeds, rounding_deviation, with_diverged_at_chance
from dilution.utils.estimate import Estimate


def by_seed(table: pd.DataFrame, by: str, value: str = "test_acc_at_best_clean_val") -> pd.DataFrame:
    """Return a value with one row per seed and one column per setting: the runs of a row are a pair.

    Diverged runs count as accuracy at chance. A seed that a setting lacks is NaN there.

    Parameters
    ----------
    table
        One row per run, one run for each value of `by` and seed.
    by
        Column of the setting.
    value
        Column that is compared.

    Raises
    ------
    InputError
        If a setting has two runs of one seed.
    """
    check_seeds(table, [by], remedy=lambda *_: "keep the rows of one value")
    filled = with_diverged_at_chance(table)
    values = filled.assign(**{value: pd.to_numeric(filled[value]).astype("float64")})
    return values.pivot(index="seed", columns=by, values=value)


def contrast(
    values: pd.DataFrame, weights: Mapping[Any, float], *, rounding: float = 0.0, level: float = 0.95
) -> Estimate:
    """Return the mean over seeds of a weighted sum of settings, with its Student t interval.

    ``{"a": 1, "b": -1}`` gives the paired difference a − b. Seeds that lack one of the settings are
    left out.

    Parameters
    ----------
    values
        As from :func:`by_seed`.
    weights
        Setting → weight.
    rounding
        Standard deviation of the rounding of one value, as from
        :func:`dilution.study.statistics.rounding_deviation`: equal differences do not make an
        interval of width 0.
    level
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Estimate
        With one seed the bounds are NaN; with none, the value is NaN too.
    """
    sums = sum(weight * values[name] for name, weight in weights.items())
    return mean_interval(
        sums, rounding=rounding * math.sqrt(sum(weight**2 for weight in weights.values())), level=level
    )


def mean_interval(values: pd.Series, *, rounding: float = 0.0, level: float = 0.95) -> Estimate:
    """Return the mean of values, one per seed, with its Student t interval; missing ones are left out.

    Parameters
    ----------
    values
        One value per seed.
    rounding
        Least standard deviation of a value.
    level
        Coverage of the interval, in (0, 1).
    """
    known = np.asarray(values.dropna(), dtype=np.float64)
    if len(known) < 2:
        return Estimate(float(known[0]) if len(known) else math.nan, math.nan, math.nan)
    deviation = max(float(known.std(ddof=1)), rounding)
    half = float(scipy.special.stdtrit(len(known) - 1, 0.5 + level / 2)) * deviation / math.sqrt(len(known))
    mean = float(known.mean())
    return Estimate(mean, mean - half, mean + half)


def paired_difference(
    table: pd.DataFrame,
    by: str,
    first: Hashable,
    second: Hashable,
    value: str = "test_acc_at_best_clean_val",
    level: float = 0.95,
) -> Estimate:
    """Return the mean paired difference of two settings, first − second, with its Student t interval.

    Parameters
    ----------
    table
        One row per run, one run for each value of `by` and seed.
    by
        Column of the setting.
    first, second
        Values of `by`.
    value
        Column that is compared.
    level
        Coverage of the interval, in (0, 1).

    Raises
    ------
    InputError
        If a setting has two runs of one seed.
    """
    weights = {first: 1.0, second: -1.0}
    return contrast(
        by_seed(table, by, value), weights, rounding=rounding_deviation(table, value), level=level
    )
