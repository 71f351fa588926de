"""Statistics of tables of results: intervals over seeds, paired tests, diverged runs, best learning rates."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from dilution.errors import InputError, short_repr, unknown
from dilution.study.recorded_run import TRAINED_BY
from dilution.study.run_spec import Run
from dilution.training.config import TrainConfig
from dilution.training.memorisation import EXAMPLES as MEMORISATION_EXAMPLES
from dilution.utils.finite_numbers import is_finite_number

ACCURACIES = (
    *("test_acc_last", "test_acc_at_best_clean_val", "test_acc_top5", "test_acc_at_best_noisy_val"),
    *("test_acc_at_best_noisy_acc", "test_acc_max", "val_acc_clean"),
)
"""Measures that a diverged run lacks, and at which it counts as chance."""

_EXAMPLES_OF = dict.fromkeys((*ACCURACIES, "test_acc_at_half_steps", "drop", "gap"), "n_test") | {
    "val_acc_clean": "n_val",
    "val_acc_noisy": "n_val",
}
"""Measure that is a share of examples → column of their number."""

_DIFFERENCES = ("drop", "gap")  # of two test accuracies: columns that figures compute
_OF_MEMORISATION = ("memorised", "recovered", "memorised_last", "recovered_last")

FILE_SETTINGS = (
    *("dataset", "image_source", "model", "loss", "strategy", "optimizer", "schedule", "early_stopping"),
    *("noise", "labels"),
)
"""Settings that may name a file or a module of the user, whose content is in the fingerprint of a run."""

_HEADLINES = ("test_acc_at_best_clean_val", "test_acc_last", "test_acc_at_best_noisy_val")
"""Test accuracies by which a study is shown, the first that all its runs have."""

_NOT_DESCRIBED = {"seed", "fingerprint", "matrix"}


def check_table(table: object) -> None:
    """Refuse what is no table of runs, such as the path of one.

    Raises
    ------
    InputError
        If it is none.
    """
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"the table is {short_repr(table)}; it must be a data frame with one row per run, as "
            "dilution.run returns it, or pandas.read_csv reads it from a file that dilution export wrote."
        )


def intervals(
    table: pd.DataFrame, by: Sequence[str], value: str = "test_acc_at_best_clean_val", level: float = 0.95
) -> pd.DataFrame:
    """Return mean and Student t interval over the seeds of each group of runs, one row per group.

    The interval is mean ± t · s / √k for k seeds with standard deviation s and k − 1 degrees of
    freedom. An accuracy is a multiple of 1/n_test, so if the table has the column ``n_test``, s is
    at least the standard deviation of that rounding, 1/(n_test √12): equal accuracies do not make
    an interval of width 0. The interval is *not* clipped to [0, 1]. An upper bound above 1 shows
    that there are too few seeds, or that accuracy is too near 1, for this interval.

    Diverged runs count as accuracy at chance; see :func:`with_diverged_at_chance`.

    Parameters
    ----------
    table
        Runs that differ in their seed alone within a group, one row per run.
    by
        Columns that identify a group. A missing value (NaN, None) is a group of its own, sorted last.
    value
        Column to average. Rows without it, such as failed runs, are left out.
    level
        Coverage of the interval, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        Columns `by`, then ``mean``, ``low``, ``high`` (in the unit of `value`) and ``seeds``, the
        number of values; sorted by `by`. With one seed there is no interval: ``low`` and ``high``
        are NaN. With none, ``mean`` is NaN too. If the table has diverged runs, a column
        ``diverged`` counts those of each group.

    Raises
    ------
    InputError
        If a column does not exist, that of `value` has texts, `by` is empty, `level` is outside (0, 1), or a
        group has two runs of one seed.
    """
    check_table(table)
    if not is_finite_number(level) or not 0 < level < 1:
        raise InputError(f"level is {short_repr(level)}; it must lie between 0 and 1, such as 0.95.")
    if not by:
        raise InputError("by is empty; name at least one column that identifies a group.")
    for column in (*by, value):
        if column not in table.columns:
            raise unknown("column of this table", column, map(str, table.columns))

    check_seeds(table, by)
    table = with_diverged_at_chance(table)
    try:
        numbers = table.assign(**{value: pd.to_numeric(table[value]).astype("float64")})
    except (ValueError, TypeError):
        raise InputError(
            f"{value!r} is a column of texts; a mean needs numbers, such as those of 'test_acc_last'."
        ) from None
    groups = numbers.groupby(list(by), dropna=False, sort=True, observed=True)
    points = groups[value].agg(["mean", "std", "count"]).reset_index()

    seeds = points["count"].to_numpy(dtype=np.int64)
    has_interval = seeds > 1
    deviation = points["std"].to_numpy(dtype=np.float64).clip(min=rounding_deviation(table, value))
    half_width = np.full(len(points), np.nan)
    quantile = scipy.special.stdtrit(seeds[has_interval] - 1, 0.5 + level / 2)
    half_width[has_interval] = quantile * deviation[has_interval] / np.sqrt(seeds[has_interval])
    points["low"] = points["mean"] - half_width
    points["high"] = points["mean"] + half_width
    points["seeds"] = seeds
    columns = [*by, "mean", "low", "high", "seeds"]
    if "state" in table and (diverged := table["state"] == "diverged").any():
        counts = numbers.assign(_diverged=diverged).groupby(list(by), dropna=False, sort=True, observed=True)
        points["diverged"] = counts["_diverged"].sum().to_numpy()
        columns.append("diverged")
    return points[columns]


def common_accuracy(table: pd.DataFrame) -> str:
    """Return the name of the test accuracy by which runs are shown together.

    That is the one at the best clean validation, unless runs of another training loop lack it and more runs
    have another one, such as that after the last step.

    Parameters
    ----------
    table
        One row per run.
    """
    done = table[table["state"] == "done"]
    columns = [name for name in _HEADLINES if name in table]
    return max(columns or _HEADLINES[:1], key=lambda name: done[name].count() if columns else 0)


def rounding_deviation(table: pd.DataFrame, value: str = "test_acc_at_best_clean_val") -> float:
    """Return the standard deviation of the rounding of a measure.

    A share of N examples is a multiple of 1/N, so it is 1/(N √12): N is ``n_test`` for accuracies of the test
    split, ``n_val`` for those of validation examples, and that of memorisation. A ``drop`` or ``gap`` is the
    difference of two test accuracies.

    Parameters
    ----------
    table
        One row per run.
    value
        Column of the measure.

    Returns
    -------
    float
        0 if N is unknown, or the measure is no such share.
    """
    if value in _OF_MEMORISATION:
        examples = float(MEMORISATION_EXAMPLES)
    else:
        column = _EXAMPLES_OF.get(value)
        if column is None or column not in table or table[column].isna().all():
            return 0.0
        examples = float(table[column].max())
    return (math.sqrt(2) if value in _DIFFERENCES else 1.0) / examples / math.sqrt(12)


def check_seeds(
    table: pd.DataFrame,
    by: Sequence[str],
    *,
    remedy: Callable[["pd.Series[Any]", list[str]], str] | None = None,
) -> None:
    """Refuse groups that have two runs of one seed: they are not two independent measurements.

    Parameters
    ----------
    table
        One row per run. Without a column ``seed`` nothing is checked.
    by
        Columns that identify a group.
    remedy
        From a run of such a group, and the settings in which its runs differ: how to tell them apart.
        Default: by naming them in `by`.

    Raises
    ------
    InputError
        If a group has two runs of one seed.
    """
    if "seed" not in table:
        return
    repeated = table.duplicated([*by, "seed"], keep=False)
    if not repeated.any():
        return
    first = table[repeated].iloc[0]
    same = table.loc[
        (table[[*by, "seed"]].astype(object).fillna("") == first[[*by, "seed"]].fillna("")).all(axis=1)
    ]
    group = ", ".join(f"{name} {first[name]}" for name in by) or "the table"
    differing = [name for name in varying_settings(name_matrices(same)) if name not in by]
    if differing:
        apart = remedy(first, differing) if remedy else "name that in by too, or keep the rows of one value"
        mended = f"They differ in {', '.join(differing)}: {apart}."
    else:
        mended = "They are the same run: remove the second row, for example with table.drop_duplicates()."
    raise InputError(
        f"the group {group} has {len(same)} runs of seed {first['seed']}; a seed counts once per group. "
        f"{mended}"
    )


def with_diverged_at_chance(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with accuracy at chance for diverged runs: the share of the commonest test class.

    A diverged run has no accuracy. Leaving it out would compare the settings by the runs that
    survived; its weights are not finite, so naming one class is what is left of it.

    Parameters
    ----------
    table
        One row per run. Without a column ``state`` or ``majority_share`` it is returned as it is.
        Diverged runs whose ``majority_share`` is missing have no accuracy.
    """
    if not {"state", "majority_share"} <= set(table.columns):
        return table
    diverged = table["state"] == "diverged"
    if not diverged.any():
        return table
    chance = pd.to_numeric(table.loc[diverged, "majority_share"])
    filled = {}
    for name in ACCURACIES:
        if name in table:
            filled[name] = pd.to_numeric(table[name]).astype("float64")
            filled[name][diverged] = chance  # not what a recorded run states from before it diverged
    return table.assign(**filled)


def paired_p(x: Sequence[float], y: Sequence[float], *, rounding: float | None = None) -> float:
    """Return the one-sided p-value of a paired t test that mean(x) < mean(y).

    Pairs are matched by position, so sort both by seed first. A pair with a missing value is left
    out.

    Parameters
    ----------
    x, y
        Equally many values, such as the accuracies of two models with the same seeds.
    rounding
        Least standard deviation of a difference, as for :func:`two_sided_p`. Default: unknown.

    Returns
    -------
    float
        Small if x is reliably below y; 0.5 if all differences are 0. NaN with fewer than two pairs, and
        if all differences are equal and not 0 while their rounding is unknown: nothing says how they
        scatter.

    Raises
    ------
    InputError
        If `x` and `y` differ in length.
    """
    t, n = _paired_t(x, y, rounding or 0.0)
    if rounding is None and math.isinf(t):
        return math.nan
    return float(scipy.special.stdtr(n - 1, t)) if n > 1 else math.nan


def two_sided_p(x: Sequence[float], y: Sequence[float], *, rounding: float | None = 0.0) -> float:
    """Return the two-sided p-value of a paired t test that mean(x) = mean(y).

    It agrees with the interval of :func:`dilution.study.pairs.mean_interval`: p is below 0.05 if the 95 %
    interval with the same rounding leaves out 0.

    Parameters
    ----------
    x, y
        As for :func:`paired_p`.
    rounding
        Least standard deviation of a difference: for two accuracies √2 times :func:`rounding_deviation`. With
        0 the values are exact, so that equal differences have p = 0, or 1 if they are 0; with None their
        rounding is unknown.

    Returns
    -------
    float
        NaN with fewer than two pairs, and as for :func:`paired_p` where the rounding is unknown.

    Raises
    ------
    InputError
        If `x` and `y` differ in length.
    """
    t, n = _paired_t(x, y, rounding or 0.0)
    if rounding is None and math.isinf(t):
        return math.nan
    return float(2 * scipy.special.stdtr(n - 1, -abs(t))) if n > 1 else math.nan


def _paired_t(x: Sequence[float], y: Sequence[float], rounding: float) -> tuple[float, int]:
    """Return the t statistic of the differences x − y, infinite if they have no scatter, and their number."""
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if left.shape != right.shape:
        raise InputError(
            f"x has {left.size} values and y has {right.size}; a paired test needs one value of each per "
            "seed."
        )
    complete = ~(np.isnan(left) | np.isnan(right))
    left, right = left[complete], right[complete]
    if left.size < 2:
        return math.nan, left.size
    difference = left - right
    of_floats = 1e-12 * max(float(np.abs(left).max()), float(np.abs(right).max()))
    mean = float(difference.mean())
    if abs(mean) <= of_floats:
        return 0.0, left.size
    deviation = float(difference.std(ddof=1)) if np.ptp(difference) > of_floats else 0.0
    deviation = max(deviation, rounding)
    return mean / (deviation / math.sqrt(left.size)) if deviation else math.copysign(
        math.inf, mean
    ), left.size


def name_matrices(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with names ``"T1"``, ``"T2"`` … in place of their transition matrices."""
    if "matrix" not in runs:
        return runs
    text = runs["matrix"].map(lambda matrix: None if matrix is None else str(matrix))
    names = {matrix: f"T{number}" for number, matrix in enumerate(text.dropna().unique(), start=1)}
    return runs.assign(matrix=text.map(names).astype(object).where(text.notna(), None))


def varying_settings(runs: pd.DataFrame, *, with_seed: bool = False) -> list[str]:
    """Return the settings in which runs differ.

    Parameters
    ----------
    runs
        One row per run, with named matrices; see :func:`name_matrices`. Columns may be missing.
    with_seed
        Whether the seed counts as a setting.

    Returns
    -------
    list of str
        Names of settings; ``trained_by`` is one of them. A setting that no recorded run of a training loop
        states, and that is equal in all other runs, does not vary. Where a training loop states it in some
        runs alone, unknown is a value of its own.
    """
    settings = [
        name for name in (TRAINED_BY, *Run.model_fields) if name in runs and (with_seed or name != "seed")
    ]
    varying = [name for name in settings if runs.loc[_is_stated(runs, name), name].nunique(dropna=False) > 1]
    if "fingerprint" in varying:
        files = [name for name in FILE_SETTINGS if name in varying]
        if files and runs.groupby(files, dropna=False)["fingerprint"].nunique(dropna=False).max() == 1:
            varying.remove("fingerprint")  # the names of the files say the same
    return varying


def _is_stated(runs: pd.DataFrame, name: str) -> "pd.Series[bool]":
    """Return which runs are of Dilution, or of a training loop that states a setting in any of its runs."""
    if TRAINED_BY not in runs or (runs[TRAINED_BY] == "").all():
        return pd.Series(True, runs.index)
    is_stated: pd.Series[bool] = runs[name].notna().groupby(runs[TRAINED_BY]).transform("any")
    return is_stated | (runs[TRAINED_BY] == "")


def settings_of_points(runs: pd.DataFrame) -> list[str]:
    """Return the settings in which runs differ, without the number of validation examples if n gives it.

    Parameters
    ----------
    runs
        As for :func:`varying_settings`.
    """
    varying = varying_settings(runs)
    if {"n", "n_val"} <= set(varying):
        stated = runs[_is_stated(runs, "n_val")]
        if stated.groupby("n")["n_val"].nunique(dropna=False).max() == 1:
            varying.remove("n_val")
    return varying


def common_settings(runs: pd.DataFrame) -> str:
    """Return the settings that all runs have in common as text, without those that are off.

    Parameters
    ----------
    runs
        One row per run. Columns may be missing.
    """
    settings = []
    for name in sorted(Run.model_fields, key=lambda name: name in TrainConfig.model_fields):
        if name in _NOT_DESCRIBED or name not in runs or runs[name].nunique(dropna=False) != 1:
            continue
        value = runs[name].iloc[0]
        if (isinstance(value, str) and value) or (not isinstance(value, str) and pd.notna(value) and value):
            settings.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(settings)


def best_lr(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the runs of the learning rate with the best clean validation accuracy of each group.

    Parameters
    ----------
    table
        One row per run. Diverged runs count as accuracy at chance, and have it in the result; see
        :func:`with_diverged_at_chance`. Runs without accuracy, such as failed ones, count as 0. The
        test split is not used. Of equally good learning rates the smallest is kept.
    by
        Columns that identify a group; its seeds are averaged.

    Raises
    ------
    InputError
        If a group has two runs of one seed and learning rate.
    """
    check_seeds(table, [*by, "lr"])
    table = with_diverged_at_chance(table)
    scored = table.assign(score=table["val_acc_clean"].fillna(0.0))
    means = scored.groupby([*by, "lr"], dropna=False)["score"].mean().reset_index()
    best = means.loc[means.groupby(by, dropna=False)["score"].idxmax(), [*by, "lr"]]
    return table.merge(best, on=[*by, "lr"])
