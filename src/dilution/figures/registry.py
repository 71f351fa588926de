"""The figures by name."""

from dilution.errors import unknown
from dilution.figures import (
    baselines,
    class_counts,
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
    gradients,
    human_labels,
    method_price,
    methods,
)
from dilution.figures.base import Figure

PAPER_FIGURES: dict[str, Figure] = {
    module.FIGURE.name: module.FIGURE
    for module in (fig1, fig2, fig3, fig4, fig5, fig6, fig7, fig8, fig9, fig10, fig11)
}
"""The figures of the paper, which ``"all"`` stands for."""

FIGURES: dict[str, Figure] = PAPER_FIGURES | {
    module.FIGURE.name: module.FIGURE
    for module in (gradients, baselines, human_labels, methods, method_price, class_counts)
}
"""Every figure by name, in the order of a page: those of the paper, then those beyond it."""


def get_figure(name: str) -> Figure:
    """Return the figure of this name.

    Raises
    ------
    InputError
        If there is no such figure.
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name]


def list_figures() -> dict[str, str]:
    """Return the names of the figures that can be reproduced, each with its title."""
    return {name: figure.title for name, figure in FIGURES.items()}
