"""What most figures draw: accuracy against a setting, one line for each value of another."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dilution.figures.claims import Judgement, decided, difference, percent_interval
from dilution.report.style import line_with_interval, percent_axis
from dilution.study.statistics import intervals, paired_p

_LISTED = 4  # broken comparisons that a verdict spells out


def accuracy_lines(
    axis: Axes, points: pd.DataFrame, x: str, series: str, labels: Mapping[Any, str], apart: float = 0.0
) -> None:
    """Draw mean accuracies against a setting, one line a series, on an axis from 0 to 100 %.

    Parameters
    ----------
    axis
        Panel to draw on.
    points
        As from :func:`dilution.study.statistics.intervals`.
    x, series
        Columns of the horizontal axis and of what tells the lines apart.
    labels
        Value of `series` → name in the legend, in order. Values without points are left out.
    apart
        Lines are drawn this share of the largest x apart, so that their intervals do not hide one another.
    """
    for index, (value, label) in enumerate(labels.items()):
        line = points[points[series] == value]
        if not line.empty:
            shift = (index - len(labels) / 2) * apart * float(points[x].max())
            line_with_interval(axis, line, x, label, index, shift)
    axis.set_ylim(0, 1.02)
    percent_axis(axis)


def falls(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return for each group, alpha > 0 and seed the fall of test accuracy from alpha = 0 at that seed.

    Parameters
    ----------
    table
        One row a run, one run for each group, alpha and seed. Without groups (`by` empty) all are one.
    by
        Columns that name a group.

    Returns
    -------
    DataFrame
        Columns `by`, ``alpha``, ``seed``, ``fall``.
    """
    clean = table[table["alpha"] == 0][[*by, "seed", "test_acc_at_best_clean_val"]].rename(
        columns={"test_acc_at_best_clean_val": "clean"}
    )
    noisy = table[table["alpha"] > 0].merge(clean, on=[*by, "seed"])
    return noisy.assign(fall=noisy["clean"] - noisy["test_acc_at_best_clean_val"])[
        [*by, "alpha", "seed", "fall"]
    ]


def surely_less(table: pd.DataFrame, value: str, by: str, less: Any, more: Any) -> tuple[bool, float]:
    """Return whether one setting lies below another by more than chance, and the p-value of the paired test.

    It does where the 95 % intervals over seeds are disjoint, or a paired test over seeds has p < 0.05.

    Parameters
    ----------
    table
        One row a run, one run for each value of `by` and seed.
    value
        Column that is compared.
    by
        Column that tells the settings apart.
    less, more
        Its value where `value` should be smaller, and where it should be larger.
    """
    spread = intervals(table, by=[by], value=value).set_index(by)
    seeds = table.pivot(index="seed", columns=by, values=value)
    p = paired_p(seeds[less].tolist(), seeds[more].tolist())
    return bool(spread.loc[less, "high"] < spread.loc[more, "low"] or p < 0.05), p


def compared(held: int, broken: Sequence[str]) -> Judgement:
    """Return the verdict of comparisons that must all hold, with the first of those that do not.

    Parameters
    ----------
    held
        How many hold.
    broken
        The others, in words.
    """
    numbers = f"{held} of {held + len(broken)} comparisons hold"
    if broken:
        more = f"; and {len(broken) - _LISTED} more" if len(broken) > _LISTED else ""
        numbers += f"; not: {'; '.join(broken[:_LISTED])}{more}"
    return decided(not broken, numbers)


def rises(table: pd.DataFrame, by: str, order: list[Any], labels: Mapping[Any, str]) -> tuple[int, list[str]]:
    """Compare neighbours of an order: how many rise in accuracy, and in words the pairs that do not.

    What rises is said by :func:`surely_less`.

    Parameters
    ----------
    table
        One row a run, one run for each value of `by` and seed.
    by
        Column that holds what is ordered.
    order
        Its values, the one that should be least accurate first.
    labels
        What the values are called.
    """
    mean = table.groupby(by)["test_acc_at_best_clean_val"].mean()
    held, broken = 0, []
    for less, more in itertools.pairwise(order):
        holds, p = surely_less(table, "test_acc_at_best_clean_val", by, less, more)
        if holds:
            held += 1
        else:
            apart = mean[more] - mean[less]
            side = "above" if apart >= 0 else "below"
            broken.append(
                f"{labels[more]} is {difference(abs(apart))} {side} {labels[less]} (p = {p:.2g} for a rise)"
            )
    return held, broken


def listed(points: pd.DataFrame, by: str, labels: Mapping[Any, str]) -> str:
    """Write means with their intervals, one for each value of `by`."""
    rows = [
        f"{labels[row[by]]} {percent_interval(row['mean'], row['low'], row['high'])}"
        for _, row in points.iterrows()
    ]
    return "; ".join(rows)
