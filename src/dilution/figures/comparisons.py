"""Plots and comparisons that several figures share: accuracy lines, accuracy drops, tests over seeds."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dilution.figures.claims import Judgement, decide, difference, percent_interval
from dilution.report.style import line_with_interval, percent_axis
from dilution.study.pairs import by_seed
from dilution.study.statistics import (
    check_seeds,
    intervals,
    paired_p,
    rounding_deviation,
    with_diverged_at_chance,
)

_MAX_LISTED = 4  # failed comparisons that a verdict spells out


def accuracy_lines(
    axis: Axes, points: pd.DataFrame, x: str, series: str, labels: Mapping[Any, str], offset: float = 0.0
) -> None:
    """Draw mean accuracy against a setting, one line per series, on an axis from 0 to 100 %.

    Parameters
    ----------
    axis
        Panel to draw on.
    points
        As from :func:`dilution.study.statistics.intervals`.
    x, series
        Columns of the horizontal axis and of the series.
    labels
        Value of `series` → name in the legend, in order. Values without points are left out.
    offset
        Horizontal distance between neighbouring series, as a fraction of the largest x, so that their
        intervals do not overlap.
    """
    for index, (value, label) in enumerate(labels.items()):
        line = points[points[series] == value]
        if not line.empty:
            shift = (index - len(labels) / 2) * offset * float(points[x].max())
            line_with_interval(axis, line, x, label, index, shift)
    axis.set_ylim(0, 1.02)
    percent_axis(axis)


def accuracy_drops(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the drop of test accuracy from alpha = 0, for each group, alpha > 0 and seed.

    Diverged runs count as accuracy at chance. A seed without a run at alpha = 0 is left out.

    Parameters
    ----------
    table
        One row per run, one run for each group, alpha and seed.
    by
        Columns that define a group. Empty: all runs are one group.

    Returns
    -------
    DataFrame
        Columns `by`, ``alpha``, ``seed``, ``drop``, and ``n_test`` if the table has it.

    Raises
    ------
    InputError
        If a group has two runs of one alpha and seed.
    """
    check_seeds(table, [*by, "alpha"])
    table = with_diverged_at_chance(table)
    clean = table[table["alpha"] == 0][[*by, "seed", "test_acc_at_best_clean_val"]].rename(
        columns={"test_acc_at_best_clean_val": "clean"}
    )
    noisy = table[table["alpha"] > 0].merge(clean, on=[*by, "seed"])
    drops = noisy.assign(drop=noisy["clean"] - noisy["test_acc_at_best_clean_val"])
    return drops[[*by, "alpha", "seed", "drop", *drops.columns.intersection(["n_test"])]]


def significantly_less(
    table: pd.DataFrame, value: str, by: str, smaller: Any, larger: Any
) -> tuple[bool, float]:
    """Return whether one setting has a significantly smaller mean than another, and the paired p-value.

    The difference is significant if the 95 % intervals over seeds are disjoint, or if a one-sided paired t
    test over seeds has p < 0.05.

    Parameters
    ----------
    table
        One row per run, one run for each value of `by` and seed.
    value
        Column that is compared.
    by
        Column of the setting.
    smaller, larger
        Values of `by`: the setting whose mean should be smaller, and the one it is compared with.
    """
    bounds = intervals(table, by=[by], value=value).set_index(by)
    seeds = by_seed(table, by, value)
    rounding = math.sqrt(2) * rounding_deviation(table, value)  # of the difference of two values
    p = paired_p(seeds[smaller].tolist(), seeds[larger].tolist(), rounding=rounding or None)
    return bool(bounds.loc[smaller, "high"] < bounds.loc[larger, "low"] or p < 0.05), p


def judge_comparisons(n_passed: int, failed: Sequence[str]) -> Judgement:
    """Return the verdict of comparisons that must all hold; the first failed ones are listed.

    Parameters
    ----------
    n_passed
        Number of comparisons that hold.
    failed
        The other comparisons, as text.
    """
    numbers = f"{n_passed} of {n_passed + len(failed)} comparisons hold"
    if failed:
        rest = f"; and {len(failed) - _MAX_LISTED} more" if len(failed) > _MAX_LISTED else ""
        numbers += f"; not: {'; '.join(failed[:_MAX_LISTED])}{rest}"
    return decide(not failed, numbers)


def compare_neighbours(
    table: pd.DataFrame, by: str, order: list[Any], labels: Mapping[Any, str]
) -> tuple[int, list[str]]:
    """Count the neighbours in an order whose accuracy rises significantly; return the others as text.

    Parameters
    ----------
    table
        One row per run, one run for each value of `by` and seed.
    by
        Column of the ordered setting.
    order
        Its values, the one with the lowest expected accuracy first.
    labels
        Names of the values.
    """
    mean = by_seed(table, by).mean()
    n_passed, failed = 0, []
    for lower, upper in itertools.pairwise(order):
        significant, p = significantly_less(table, "test_acc_at_best_clean_val", by, lower, upper)
        if significant:
            n_passed += 1
        else:
            rise = mean[upper] - mean[lower]
            side = "above" if rise >= 0 else "below"
            failed.append(
                f"{labels[upper]} is {difference(abs(rise))} {side} {labels[lower]} (p = {p:.2g} for a rise)"
            )
    return n_passed, failed


def list_means(points: pd.DataFrame, by: str, labels: Mapping[Any, str]) -> str:
    """Return means with their intervals as text, one for each value of `by`."""
    means = [
        f"{labels[row[by]]} {percent_interval(row['mean'], row['low'], row['high'])}"
        for _, row in points.iterrows()
    ]
    return "; ".join(means)
