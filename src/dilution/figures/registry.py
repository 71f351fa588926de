"""The figures by name."""

from dilution.errors import unknown
from dilution.figures import (
    baselines,
    fig1,
    fig2,
    fig3,
    fig4,
    fig5,
    fig6,
    fig7,
    fig8,
    fig9,
    fig10,
    fig11,
    human_labels,
)
from dilution.figures.base import Figure

FIGURES: dict[str, Figure] = {
    module.FIGURE.name: module.FIGURE
    for module in (fig1, fig2, fig3, fig4, fig5, fig6, fig7, fig8, fig9, fig10, fig11)
}
"""The figures of the paper: those that ``"all"`` stands for."""

BEYOND: dict[str, Figure] = {module.FIGURE.name: module.FIGURE for module in (baselines, human_labels)}
"""Figures that answer what the paper leaves open."""

EVERY: dict[str, Figure] = FIGURES | BEYOND
"""Both, in the order of a page."""


def figure(name: str) -> Figure:
    """Return the figure of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in EVERY:
        raise unknown("figure", name, EVERY)
    return EVERY[name]
