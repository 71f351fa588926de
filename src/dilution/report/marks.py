"""The points of a plot that have a tooltip: their places in the SVG, and the values behind them."""

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
        Place of the point, in units of the figure's SVG.
    line
        Number of its series in the figure; points of one series follow one another.
    series
        Title of the legend and name of the series: ``"model: conv4"``.
    measure
        Label of the vertical axis.
    colour
        Colour of the series, as ``#rrggbb``.
    row
        Values of the point, column to value.
    quoted
        Whether the point is not a result but a number quoted from memory of the paper.
    """

    x: float
    y: float
    line: int
    series: str
    measure: str
    colour: str
    row: Mapping[Hashable, Any]
    quoted: bool = False


@dataclass(frozen=True, repr=False)
class Plot:
    """A figure for a page: its SVG, the points with a tooltip, and notes on what it shows."""

    svg: str
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the sizes."""
        return f"Plot({len(self.svg):,} characters of SVG, {len(self.marks)} marks)"


@dataclass(frozen=True)
class _Series:
    """The points of a series in units of their panel."""

    x: list[float]
    y: list[float]
    name: str
    colour: str
    rows: list[dict[Hashable, Any]]
    quoted: bool


# Kept beside the panels and not in the files: marks do not change the bytes of a plot.
_SERIES: WeakKeyDictionary[Axes, list[_Series]] = WeakKeyDictionary()


def mark_points(
    axis: Axes, rows: pd.DataFrame, x: Any, y: Any, series: str, colour: str, quoted: bool = False
) -> None:
    """Give points that were drawn on a panel a tooltip.

    Parameters
    ----------
    axis
        The panel.
    rows
        One row per point. Columns ``mean``, ``low``, ``high`` and ``seeds`` are shown as mean, interval and
        number of seeds, all others under their names.
    x, y
        Places of the points, one value per row, in units of the panel.
    series
        Name of the series, as in the legend.
    colour
        Colour of the series, as ``#rrggbb``.
    quoted
        Whether the points are not results but numbers quoted from memory of the paper.
    """
    series_points = _Series(
        [float(value) for value in x],
        [float(value) for value in y],
        series,
        colour,
        rows.to_dict("records"),
        quoted,
    )
    _SERIES.setdefault(axis, []).append(series_points)


def visible_marks(figure: Figure) -> tuple[Mark, ...]:
    """Return the marked points that lie within their panels, with their places in the last SVG written.

    Writing lays a figure out, so it must have been written as SVG just before.

    Parameters
    ----------
    figure
        The figure.
    """
    scale = 72 / figure.dpi  # an SVG has 72 units per inch, whatever the resolution of the figure
    height = figure.bbox.height * scale
    legends = [legend for axis in figure.axes if (legend := axis.get_legend())] + figure.legends
    title = next((text for legend in legends if (text := legend.get_title().get_text())), "")
    measure = next((label for axis in figure.axes if (label := axis.get_ylabel())), "")
    marks = []
    drawn = [(axis, series) for axis in figure.axes for series in _SERIES.get(axis, ())]
    for line, (axis, series) in enumerate(drawn):
        name = f"{title}: {series.name}" if title and series.name and not series.quoted else series.name
        frame = axis.bbox.padded(_EDGE / scale)
        for x, y, row in zip(series.x, series.y, series.rows, strict=True):
            left, bottom = axis.transData.transform((x, y))
            if math.isfinite(left) and math.isfinite(bottom) and frame.contains(left, bottom):
                place = round(left * scale, 2), round(height - bottom * scale, 2)
                marks.append(Mark(*place, line, name, measure, series.colour, row, series.quoted))
    return tuple(marks)
