"""One look for every publication figure: palette, type, axes, and reproducible files.

Figures are built as :class:`matplotlib.figure.Figure` objects, never through pyplot, so no window
system, no global figure list and no backend choice is involved. Draw inside ``with style():``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from dilution.errors import unknown
from dilution.report.marks import Plot, mark_points, placed
from dilution.utils.atomic import write_whole

_WIDE = 300  # ratio of its ends from which a horizontal logarithmic axis shows powers of ten alone

# Okabe and Ito's palette without its yellow, which vanishes on white. Seven colours and eight
# markers share no factor, so the first 56 series all look different.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

INK, QUIET, GRID = "#222222", "#8a8a8a", "#e8e8e8"

SETTINGS: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 10,
    "axes.labelpad": 6,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "text.parse_math": False,  # a user's name with dollar signs is a name
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "savefig.bbox": None,
    "svg.fonttype": "path",
    "svg.hashsalt": "dilution",
    "pdf.fonttype": 42,
}

# What would otherwise put the time of writing into a file.
UNDATED: dict[str, dict[str, None]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the figure style for the length of a ``with`` block, whatever the user's own is."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def new_figure(columns: int = 1, rows: int = 1, height: float = 3.5) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its panels.

    Parameters
    ----------
    columns, rows
        Number of panels. A single column is 5.6 inches wide, several are 3.8 inches each.
    height
        Height of one row, in inches.

    Returns
    -------
    tuple of (matplotlib.figure.Figure, list of matplotlib.axes.Axes)
        The panels in reading order: ``figure, (left, right) = new_figure(columns=2)``.
    """
    width = 5.6 if columns == 1 else 3.8 * columns
    with style():
        figure = Figure(figsize=(width, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def line_with_interval(
    axis: Axes, points: pd.DataFrame, x: str, label: str, index: int, shift: float = 0.0
) -> None:
    """Draw one series: a line through the means, a marker and an interval at each, a mark for the page.

    Parameters
    ----------
    axis
        Panel to draw on.
    points
        As from :func:`dilution.study.statistics.intervals`: columns `x`, ``mean``, ``low`` and
        ``high``. Where the bounds are NaN only the marker is drawn. All columns are shown to who points
        at it on the page.
    x
        Column of the horizontal axis.
    label
        Name of the series in the legend.
    index
        Number of the series, which picks its colour and marker.
    shift
        Drawn this much to the right, in units of the axis, so that intervals at one x do not hide
        one another.
    """
    ordered = points.sort_values(x)
    colour = COLOURS[index % len(COLOURS)]
    below, above = ordered["mean"] - ordered["low"], ordered["high"] - ordered["mean"]
    with style():
        axis.errorbar(
            ordered[x].to_numpy() + shift,
            ordered["mean"].to_numpy(),
            yerr=[below.to_numpy(), above.to_numpy()],
            label=label,
            color=colour,
            marker=MARKERS[index % len(MARKERS)],
            markeredgecolor="white",
            markeredgewidth=0.7,
            elinewidth=1.1,
            capsize=2.5,
        )
    mark_points(axis, ordered, ordered[x] + shift, ordered["mean"], label, colour)


def quoted_mark(axis: Axes, x: float, y: float, label: str, says: Mapping[str, str], colour: str) -> None:
    """Draw a number quoted from memory of the paper: a ring to compare with, that says so.

    Parameters
    ----------
    axis
        Panel to draw on.
    x, y
        Where.
    label
        Whose number it is; the legend lists a label once.
    says
        What it says, name to value.
    colour
        That of the series to compare it with.
    """
    axis.plot(x, y, "o", ms=10, mfc="none", mec=colour, label=label, zorder=4)
    mark_points(axis, pd.DataFrame([dict(says)]), [x], [y], label, to_hex(colour), quoted=True)


def percent_axis(axis: Axes) -> None:
    """Label the vertical axis, whose values are shares in [0, 1], in percent; ticks are whole percents."""
    whole = MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True)
    low, high = axis.get_ylim()
    ticks = [tick / 100 for tick in whole.tick_values(100 * low, 100 * min(high, 1.0))]
    axis.set_yticks([tick for tick in ticks if low <= tick <= min(high, 1.0)])
    axis.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    axis.set_ylim(low, high)


def log_axis(axis: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic once all is drawn, with plain numbers at 1, 2 and 5 times each power of ten.

    Along the horizontal axis numbers are wide: where it spans many powers they stand at these alone.
    """
    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    chosen = axis.xaxis if which == "x" else axis.yaxis
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    wide = which == "x" and high / low > _WIDE
    chosen.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    chosen.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    chosen.set_minor_locator(NullLocator())


def legend(axis: Axes, title: str = "", **place: Any) -> Legend:
    """Add a frameless legend that shows each series once, without its error bar, and then what is no series.

    Parameters
    ----------
    axis
        Panel whose labelled series are listed.
    title
        What tells the series apart: ``"model"``.
    **place
        Handed to :meth:`matplotlib.axes.Axes.legend`, such as ``loc`` and ``ncols``.
    """
    found = list(zip(*axis.get_legend_handles_labels(), strict=True))
    found.sort(key=lambda each: not hasattr(each[0], "lines"))  # series are lines with error bars
    lines = {label: getattr(handle, "lines", (handle,))[0] for handle, label in found}
    with style():
        return axis.legend(lines.values(), lines.keys(), title=title, alignment="left", **place)


def save(
    figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("png", "svg", "pdf")
) -> dict[str, Path]:
    """Write a figure so that the same figure gives the same bytes, today and tomorrow.

    Parameters
    ----------
    figure
        What to write.
    folder
        Created if it does not exist.
    name
        File name without its ending.
    formats
        Any of png (150 dots an inch), svg and pdf.

    Returns
    -------
    dict of str to pathlib.Path
        Format to file.

    Raises
    ------
    InputError
        If a format does not exist.
    DilutionError
        If a file cannot be written, for want of space or permission. No half-written file is left.
    """
    for wanted in formats:
        if wanted not in UNDATED:
            raise unknown("figure format", wanted, UNDATED)
    return {
        wanted: write_whole(Path(folder) / f"{name}.{wanted}", _rendered(figure, wanted))
        for wanted in formats
    }


def publish(figure: Figure, folder: Path, name: str) -> Plot:
    """Write a figure in every format, as :func:`save` does, and return what the page takes of it.

    Parameters
    ----------
    figure, folder, name
        As for :func:`save`.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    files = save(figure, folder, name, ("png", "svg"))
    plot = Plot(files["svg"].read_text(encoding="utf-8"), placed(figure))  # before another layout
    save(figure, folder, name, ("pdf",))
    return plot


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG text, the same for the same figure."""
    return _rendered(figure, "svg").decode("utf-8")


def _rendered(figure: Figure, wanted: str) -> bytes:
    content = BytesIO()
    with style():
        figure.savefig(content, format=wanted, metadata=UNDATED[wanted])
    return content.getvalue()
