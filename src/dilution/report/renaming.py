"""Other names for what a figure shows, as a user wants them in a paper."""

from collections.abc import Iterable
from typing import Literal
from weakref import WeakSet

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from dilution.report.figure_style import FigureStyle

_SIDES: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
_RENAMED: WeakSet[Figure] = WeakSet()
"""Figures whose texts have their other names: they are rendered in several formats."""


def rename_texts(figure: Figure, style: FigureStyle) -> None:
    """Give the texts of a figure the names of a style, once: legends, names of axes, titles and ticks.

    Parameters
    ----------
    figure
        The figure, before it is written.
    style
        The style.
    """
    if not style.labels or figure in _RENAMED:
        return
    _RENAMED.add(figure)
    for text in _texts(figure):
        text.set_text(style.renamed(text.get_text()))
    for panel in figure.axes:
        for side in _SIDES:
            if title := panel.get_title(side):
                panel.set_title(style.renamed(title), loc=side)
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        _rename_ticks(axis, style)


def _texts(figure: Figure) -> Iterable[Text]:
    legends = [legend for panel in figure.axes if (legend := panel.get_legend())]
    for legend in (*legends, *figure.legends):
        yield legend.get_title()
        yield from legend.get_texts()
    for panel in figure.axes:
        yield panel.xaxis.label
        yield panel.yaxis.label


def _rename_ticks(axis: Axis, style: FigureStyle) -> None:
    """Rename the ticks of an axis of names; those of numbers stay as they are."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return
    texts = [label.get_text() for label in axis.get_ticklabels()]
    renamed = [style.renamed(text) for text in texts]
    if renamed != texts:
        axis.set_ticklabels(renamed)
