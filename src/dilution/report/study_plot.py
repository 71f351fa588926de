"""The plot of a user's own study: accuracy against a numeric setting, or one row per combination of names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dilution.report.lines import MAX_LABEL, divide, setting_names, without_n_val
from dilution.report.marks import mark_points
from dilution.report.parameter_axis import parameter_axis
from dilution.report.style import (
    ALPHA_LABEL,
    COLOURS,
    legend_outside,
    line_with_interval,
    log_axis,
    new_figure,
    percent_axis,
    style,
    within_shares,
)

_MAX_ROWS = 40  # settings of a plot by name
_WIDE = 8  # ratio of the largest value of an axis to the smallest from which it is logarithmic
_LEGEND_LINE = 0.2  # inches of a line of the legend

_AXIS_LABELS = {
    "alpha": ALPHA_LABEL,
    "eta": "noise rate η (share of wrong labels)",
    "delta": "skew δ (0: uniform noise; 1: most skewed)",
    "n": "number of clean examples n",
    "batch_size": "batch size",
    "lr": "learning rate",
}
_LOGARITHMIC = ("n", "batch_size", "lr")


@dataclass(frozen=True)
class StudyPlot:
    """A plot, what it leaves out, and how many runs it shows.

    Parameters
    ----------
    figure
        None if nothing can be drawn.
    left_out
        What the plot leaves out and why; empty if nothing.
    runs
        Number of runs behind the points that are drawn.
    """

    figure: matplotlib.figure.Figure | None
    left_out: str
    runs: int


def plot_study(points: pd.DataFrame, varying: Sequence[str], measure: str) -> StudyPlot:
    """Draw the points of a study: against the first number that varies, or one row per point.

    That is a numeric setting, or else a parameter in which the texts of a setting differ, such as the rate of
    noise by name.

    Parameters
    ----------
    points
        As from :func:`dilution.study.statistics.intervals`.
    varying
        Settings that tell the points apart.
    measure
        Label of the axis of accuracy.
    """
    measured = points.dropna(subset=["mean"])
    if measured.empty:
        return StudyPlot(None, "", 0)
    complete = [name for name in _AXIS_LABELS if name in varying and measured[name].notna().all()]
    axes = [name for name in _AXIS_LABELS if name in varying and _is_axis(measured[name])]
    if complete or axes:
        x = (complete or axes)[0]
        return _plot_lines(measured, varying, x, _AXIS_LABELS[x], measure)
    if parameter := parameter_axis(measured, varying):
        others = [name for name in varying if name != parameter.setting]
        numbered = measured.assign(**{parameter.label: parameter.values})
        return _plot_lines(numbered, [*others, parameter.label], parameter.label, parameter.label, measure)
    return _plot_by_name(measured, varying, measure)


def _is_axis(values: "pd.Series[Any]") -> bool:
    """Return whether points can be drawn against a setting: it differs, and most of them have it."""
    return values.nunique() > 1 and 2 * int(values.notna().sum()) >= len(values)


def _plot_by_name(points: pd.DataFrame, varying: Sequence[str], measure: str) -> StudyPlot:
    """Draw accuracy with one row per combination of settings, none of which is a number."""
    labels = setting_names(points, varying)
    if len(points) > _MAX_ROWS or max(map(len, labels)) > MAX_LABEL:
        return StudyPlot(
            None, f" No plot: {len(points)} settings, or their names, are too many to read; see the table.", 0
        )
    with style():
        figure, (axis,) = new_figure(height=1.4 + 0.28 * len(points))
        for row, (label, (_, point)) in enumerate(zip(labels, points.iterrows(), strict=True)):
            bounds = [[point["mean"] - point["low"]], [point["high"] - point["mean"]]]
            axis.errorbar([point["mean"]], [row], xerr=bounds, fmt="o", color=COLOURS[0], capsize=2.5)
            mark_points(axis, point.to_frame().T, [point["mean"]], [row], label, COLOURS[0])
        axis.set_yticks(range(len(labels)), labels)
        axis.set_ylim(len(labels) - 0.5, -0.5)
        axis.set_xlabel(measure)
        axis.set_xlim(*within_shares(*axis.get_xlim()))
        axis.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10]))  # whole percents
        axis.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    return StudyPlot(figure, "", int(points["seeds"].sum()))


def _plot_lines(
    points: pd.DataFrame, varying: Sequence[str], x: str, x_label: str, measure: str
) -> StudyPlot:
    """Draw accuracy against a numeric setting, one line per combination of the others."""
    others = [name for name in without_n_val(points, varying) if name != x]
    without_x = points[points[x].isna()]
    left_out = ""
    if len(without_x):  # observed labels have no alpha
        names = list(dict.fromkeys(setting_names(without_x, others)))
        shown = ("; ".join(names[:3]) + ("; …" if len(names) > 3 else "")) if any(names) else ""
        left_out = (
            f" Points without {x}, which the table has: {len(without_x)}."
            f" They are of {int(without_x['seeds'].sum())} runs{': ' if shown else ''}{shown}."
        )
    points = points.dropna(subset=[x])
    lines = divide(points, others)
    if lines.are_too_many:
        no_plot = f" No plot: {lines.count} lines, or their names, are too many to tell apart; see the table."
        return StudyPlot(None, no_plot, 0)
    columns = min(3, len(lines.panels))
    rows = math.ceil(len(lines.panels) / columns)
    height = (3.5 if rows == 1 else 3.0) + _LEGEND_LINE * lines.count / rows
    with style():
        figure, axes = new_figure(columns=columns, rows=rows, height=height)
        for axis, (title, in_panel) in zip(axes, lines.panels, strict=False):
            for number, label, part in lines.of_panel(points[in_panel]):
                line_with_interval(axis, part, x, label, number)
            axis.set_title(title)
            axis.set_xlabel(x_label)
            axis.set_ylabel(measure)
            if x in _LOGARITHMIC and points[x].min() > 0 and points[x].max() / points[x].min() >= _WIDE:
                log_axis(axis, "x")
            axis.set_ylim(*within_shares(*axis.get_ylim()))
            percent_axis(axis)
        for axis in axes[len(lines.panels) :]:
            axis.set_visible(False)
        if lines.settings and lines.count > 1:
            legend_outside(figure, title=", ".join(lines.settings))
    return StudyPlot(figure, left_out, int(points["seeds"].sum()))
