"""The points of a plot that a reader can ask about: where each is, and what stands behind it."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_EDGE = 1.0  # a point on the frame may lie outside it by rounding, in points of 1/72 inch


@dataclass(frozen=True)
class Mark:
    """One point of a plot.

    Parameters
    ----------
    x, y
        Where it is, in units of the figure's SVG.
    line
        Number of its series in the figure; points of one series follow one another.
    series
        Name of that series, after what tells the series apart: ``"network: conv4"``.
    measure
        What the vertical axis measures.
    colour
        Its colour, as ``#rrggbb``.
    row
        What it shows, column to value.
    quoted
        Whether it is no result but a number quoted from memory of the paper.
    """

    x: float
    y: float
    line: int
    series: str
    measure: str
    colour: str
    row: Mapping[Hashable, Any]
    quoted: bool = False


@dataclass(frozen=True)
class Plot:
    """A figure as the page takes it: its SVG, and the points in it."""

    svg: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class _Series:
    """Points as they were drawn, in units of their panel."""

    x: list[float]
    y: list[float]
    name: str
    colour: str
    rows: list[dict[Hashable, Any]]
    quoted: bool


# Beside the panels and not in the files: a plot is the same to the byte with points or without.
_DRAWN: WeakKeyDictionary[Axes, list[_Series]] = WeakKeyDictionary()


def mark_points(
    axis: Axes, rows: pd.DataFrame, x: Any, y: Any, series: str, colour: str, quoted: bool = False
) -> None:
    """Say what stands behind points that were drawn on a panel.

    Parameters
    ----------
    axis
        The panel.
    rows
        One row a point. Columns ``mean``, ``low``, ``high`` and ``seeds`` are shown as mean, interval and
        number of seeds, all others under their names.
    x, y
        Where the points were drawn, one value for each row, in units of the panel.
    series
        Name of the series, as in the legend.
    colour
        Its colour, as ``#rrggbb``.
    quoted
        Whether the points are no results but quoted from memory of the paper.
    """
    _DRAWN.setdefault(axis, []).append(
        _Series([float(v) for v in x], [float(v) for v in y], series, colour, rows.to_dict("records"), quoted)
    )


def placed(figure: Figure) -> tuple[Mark, ...]:
    """Return the marked points that can be seen, where they are in the SVG that was written last.

    Only writing lays a figure out, so it must have been written as SVG just before.

    Parameters
    ----------
    figure
        The figure.
    """
    scale = 72 / figure.dpi  # an SVG has 72 units an inch, whatever the figure's own resolution
    height = figure.bbox.height * scale
    legends = [legend for axis in figure.axes if (legend := axis.get_legend())]
    apart = next((title for legend in legends if (title := legend.get_title().get_text())), "")
    measure = next((label for axis in figure.axes if (label := axis.get_ylabel())), "")
    marks = []
    drawn = [(axis, one) for axis in figure.axes for one in _DRAWN.get(axis, ())]
    for line, (axis, one) in enumerate(drawn):
        series = f"{apart}: {one.name}" if apart and one.name and not one.quoted else one.name
        frame = axis.bbox.padded(_EDGE / scale)
        for x, y, row in zip(one.x, one.y, one.rows, strict=True):
            across, up = axis.transData.transform((x, y))
            if math.isfinite(across) and math.isfinite(up) and frame.contains(across, up):
                at = round(across * scale, 2), round(height - up * scale, 2)
                marks.append(Mark(*at, line, series, measure, one.colour, row, one.quoted))
    return tuple(marks)
