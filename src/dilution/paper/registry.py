"""The figures by name."""

from dilution.errors import unknown
from dilution.paper import fig1, fig2, fig3, fig4, fig5, fig6, fig7, fig8, fig9, fig10, fig11
from dilution.paper.figure import Figure

FIGURES: dict[str, Figure] = {
    module.FIGURE.name: module.FIGURE
    for module in (fig1, fig2, fig3, fig4, fig5, fig6, fig7, fig8, fig9, fig10, fig11)
}


def figure(name: str) -> Figure:
    """Return the figure of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name]
