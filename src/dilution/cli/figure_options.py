"""Options for figures: width, font, resolution and other names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dilution.report.figure_style import FigureStyle

WidthOption = Annotated[
    str | None, typer.Option("--width", help="Width of the figures, such as 3.3in or 84mm.")
]
FontOption = Annotated[
    str | None, typer.Option("--font", help="Font of the figures: serif, or one that is installed.")
]
DpiOption = Annotated[int | None, typer.Option("--dpi", help="Dots per inch of PNG files. Default: 150.")]
LabelsOption = Annotated[
    str | None, typer.Option("--labels", help="Other names in the figures: 'gce=GCE,mae=MAE'.")
]


def style_of_options(
    width: str | None, font: str | None, dpi: int | None, labels: str | None
) -> FigureStyle | None:
    """Return the style of figures that options ask for; None without any."""
    if width is None and font is None and dpi is None and labels is None:
        return None
    from dilution.report.figure_style import FigureStyle, parse_labels

    return FigureStyle(width, font, dpi, {} if labels is None else parse_labels(labels))
