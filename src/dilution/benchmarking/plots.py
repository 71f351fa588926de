"""The plots of a benchmark: accuracy per noise and method, and mean ranks with the critical difference."""

from collections.abc import Mapping, Sequence

import matplotlib.figure
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dilution.benchmarking.methods import REFERENCE
from dilution.benchmarking.ranks import Ranks
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, INK, QUIET, legend_outside, new_figure, style

_COLUMNS = 3
_ROW = 0.2  # inches per method
_MAX_LABEL = 40  # letters of a method's name
_LEAST, _MOST = -0.02, 1.02  # ends of an axis of accuracies: an interval by Student's t may go on beyond

ABOVE, WITHIN, BELOW = "above cross entropy", "not told apart from it", "below it"
_LOOKS = {ABOVE: ("^", COLOURS[0]), WITHIN: ("o", QUIET), BELOW: ("v", COLOURS[1])}


def draw_accuracies(
    points: pd.DataFrame, differences: pd.DataFrame, measure: str, titles: Mapping[str, str]
) -> matplotlib.figure.Figure:
    """Draw one panel per noise, with one row per method: mean test accuracy and its 95 % interval.

    Colour and shape say whether the paired difference from cross entropy is beyond its interval.

    Parameters
    ----------
    points
        As from :func:`dilution.benchmarking.tables.accuracies`.
    differences
        As from :func:`dilution.benchmarking.tables.differences`.
    measure
        Measure to draw.
    titles
        Names of methods and noises in figures.
    """
    points = points[points["measure"] == measure]
    noises, methods = list(points["noise"].unique()), list(points["method"].unique())
    looks = _look_of(differences[differences["measure"] == measure])
    with style():
        figure, axes = new_panels(noises, methods, titles, "test accuracy")
        for axis, noise in zip(axes, noises, strict=True):
            panel = points[points["noise"] == noise]
            _draw_panel(axis, panel, methods, {m: looks.get((noise, m), WITHIN) for m in methods})
        for look, (marker, colour) in _LOOKS.items():
            axes[0].plot([], [], marker, color=colour, label=look)
        legend_above(axes[0])
    return figure


def new_panels(
    noises: Sequence[str], methods: list[str], titles: Mapping[str, str], label: str
) -> tuple[matplotlib.figure.Figure, list[Axes]]:
    """Return a figure with a panel per noise and a row per method in each.

    Parameters
    ----------
    noises, methods
        Their names.
    titles
        Names of methods and noises in figures.
    label
        What the panels show, below the lowest of them.
    """
    columns = 2 if len(noises) == 4 else min(_COLUMNS, len(noises))
    rows = -(-len(noises) // columns)
    figure, axes = new_figure(columns=columns, rows=rows, height=1.1 + _ROW * len(methods))
    for place, (axis, noise) in enumerate(zip(axes, noises, strict=False)):
        axis.set_title(titles[noise])
        axis.set_yticks(range(len(methods)))
        is_first = place % columns == 0
        axis.set_yticklabels(_labels(methods, titles) if is_first else [""] * len(methods))
        axis.set_ylim(len(methods) - 0.4, -0.6)
    for axis in axes[len(noises) :]:
        axis.set_visible(False)
    for axis in axes[max(0, len(noises) - columns) : len(noises)]:
        axis.set_xlabel(label)
    return figure, list(axes[: len(noises)])


def draw_means(axis: Axes, part: pd.DataFrame, y: Sequence[float], marker: str, colour: str) -> None:
    """Draw means with their intervals, one per row.

    Parameters
    ----------
    axis
        The panel.
    part
        ``mean``, ``low``, ``high``.
    y
        The row of each.
    marker, colour
        How they look.
    """
    axis.errorbar(
        part["mean"],
        y,
        xerr=[part["mean"] - part["low"], part["high"] - part["mean"]],
        fmt=marker,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.5,
        elinewidth=1.1,
        capsize=2.0,
        zorder=3,
    )


def _labels(methods: list[str], titles: Mapping[str, str]) -> list[str]:
    """Return the names of methods in figures, long ones cut."""
    names = [titles[name] for name in methods]
    return [name if len(name) <= _MAX_LABEL else f"{name[: _MAX_LABEL - 1]}…" for name in names]


def _look_of(differences: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return for (noise, method) how it compares with cross entropy."""
    looks = {}
    for row in differences.to_dict("records"):
        look = ABOVE if row["low"] > 0 else BELOW if row["high"] < 0 else WITHIN
        looks[row["noise"], row["method"]] = look
    return looks


def _draw_panel(axis: Axes, points: pd.DataFrame, methods: list[str], looks: Mapping[str, str]) -> None:
    """Draw one noise."""
    reference = points.loc[points["method"] == REFERENCE, "mean"]
    if len(reference):
        axis.axvline(float(reference.iloc[0]), color=QUIET, lw=0.9, ls=":", zorder=1)
    for look, (marker, colour) in _LOOKS.items():
        part = points[[looks[name] == look for name in points["method"]]]
        if part.empty:
            continue
        y = [methods.index(name) for name in part["method"]]
        draw_means(axis, part, y, marker, colour)
        mark_points(axis, part, part["mean"], y, look, colour)
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, _LEAST), min(high, _MOST))
    axis.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    span = axis.get_xlim()[1] - axis.get_xlim()[0]
    axis.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0 if span > 0.04 else 1, symbol=" %"))


def legend_above(axis: Axes) -> None:
    """Add the meaning of shapes and colours above the first panel."""
    figure = axis.figure
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=len(handles), frameon=False, handletextpad=0.3
    )


def draw_ranks(ranks: Ranks, titles: Mapping[str, str], where: str) -> matplotlib.figure.Figure:
    """Draw mean ranks, the best on top, and a bar over the methods that are not told apart.

    Parameters
    ----------
    ranks
        The ranks.
    titles
        Names of methods in figures.
    where
        Which accuracy was ranked, in words.
    """
    names, values = list(map(str, ranks.mean_ranks.index)), ranks.mean_ranks.to_numpy()
    with style():
        figure, (axis,) = new_figure(height=1.1 + 0.24 * len(names))
        y = list(range(len(names)))
        axis.plot(values, y, "o", color=COLOURS[0], zorder=3)
        table = pd.DataFrame({"method": [titles[name] for name in names], "mean rank": values})
        mark_points(axis, table, values, y, "", COLOURS[0])
        for place, group in enumerate(ranks.groups):
            rows = [names.index(name) for name in group]
            x = values.max() + 0.35 + 0.25 * place
            axis.plot([x, x], [min(rows) - 0.25, max(rows) + 0.25], color=INK, lw=2.2, solid_capstyle="butt")
        axis.set_yticks(y)
        axis.set_yticklabels(_labels(names, titles))
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlabel(f"mean rank {where} (1 is the best)")
        if ranks.groups:
            axis.plot([], [], color=INK, lw=2.2, label="within the critical difference")
            legend_outside(figure)
    return figure
