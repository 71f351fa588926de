"""The losses that figures compare with cross entropy, by name, and a plot with one row for each of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dilution.benchmarking.methods import METHODS, REFERENCE
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, MARKERS, QUIET
from dilution.study.statistics import best_lr

VARIANT = "variant"
"""Column of a table: what a run minimises, the text of its loss, or ``"mixup"``."""

CROSS_ENTROPY, MIXUP = REFERENCE, "mixup"
_MIXUP_WEIGHT = 0.2  # of all runs so far; benchmarks take 8, as published for wrong labels

_POOLED = (
    *(CROSS_ENTROPY, "label_smoothing", "bootstrap_soft", "bootstrap_hard", "mae", "gce", "sce", "phuber"),
    *("forward", "backward", MIXUP),
)

POOLED_VARIANTS: dict[str, str] = {name: METHODS[name].title for name in _POOLED}
"""Variants that pooled targets allow, with their names on plots."""

VARIANTS = POOLED_VARIANTS | {"elr": METHODS["elr"].title}
"""All variants, with their names on plots, in the order of a plot."""


def variant_grids(
    base: Mapping[str, Any], axes: Mapping[str, list[Any]], variants: Sequence[str]
) -> list[tuple[dict[str, Any], dict[str, list[Any]]]]:
    """Return grids of runs that differ in the variant, and in nothing else beside the axes.

    Parameters
    ----------
    base
        Settings that all runs share.
    axes
        The values of each further setting that varies.
    variants
        Keys of :data:`VARIANTS`.
    """
    losses: list[Any] = [name for name in variants if name != MIXUP]
    grids = [(dict(base), {"loss": losses, **axes})]
    return [*grids, ({**base, "mixup": _MIXUP_WEIGHT}, dict(axes))] if MIXUP in variants else grids


def with_variant(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of runs with the column :data:`VARIANT`."""
    return table.assign(**{VARIANT: table["loss"].where(table["mixup"] == 0, MIXUP)})


def at_best_lr(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the runs with their variant, at the learning rate that clean validation labels choose for it.

    Parameters
    ----------
    table
        One row per run.
    by
        Columns that identify a point of a variant.
    """
    return best_lr(with_variant(table), by=[VARIANT, *by])


def rows_with_interval(axis: Axes, points: pd.DataFrame, order: Sequence[str], label: str = "") -> None:
    """Draw one row per variant: a marker at its mean with its interval, and a band behind cross entropy's.

    Parameters
    ----------
    axis
        Panel to draw on.
    points
        One row per variant: :data:`VARIANT`, ``mean``, ``low``, ``high``. Bounds may be infinite or NaN, and
        a mean may be NaN: then nothing is drawn for it.
    order
        The variants from top to bottom.
    label
        Name of the points in tooltips.
    """
    largest = float(points["mean"].max())
    for row, name in enumerate(order):
        part = points[(points[VARIANT] == name) & points["mean"].notna()]
        if part.empty:
            continue
        mean, low, high = (float(part[column].iloc[0]) for column in ("mean", "low", "high"))
        index = 0 if name == CROSS_ENTROPY else 1
        if name == CROSS_ENTROPY:
            axis.axvline(mean, color=QUIET, lw=0.9, ls=":", zorder=0)
            axis.axvspan(max(low, 0.0), min(high, 100 * largest), color=COLOURS[0], alpha=0.1, lw=0, zorder=0)
        axis.errorbar(
            [mean],
            [row],
            xerr=[[mean - max(low, 0.0)], [min(high, 100 * largest) - mean]],
            color=COLOURS[index],
            marker=MARKERS[index],
            linestyle="none",
            elinewidth=1.1,
            capsize=2.5,
        )
        shown = part.assign(**{VARIANT: VARIANTS[name]})
        mark_points(axis, shown, [mean], [row], label, COLOURS[index])
    axis.set_yticks(range(len(order)), [VARIANTS[name] for name in order])
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
