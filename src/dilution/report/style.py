"""The style of every figure: palette, fonts, axes, and reproducible files.

Figures are built as :class:`matplotlib.figure.Figure` objects and never through pyplot, so that no window
system, global list of figures or backend is involved. Draw inside ``with style():``.
"""

import threading
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
from dilution.report.figure_style import current_style
from dilution.report.fonts import fit_fonts, key, quiet_font_search
from dilution.report.marks import Plot, mark_points, visible_marks
from dilution.report.renaming import rename_texts
from dilution.utils.atomic import write_atomic
from dilution.utils.environment import environment_variables
from dilution.utils.output_folder import write_output

_SETTINGS_LOCK = threading.RLock()
_BELOW = -0.26  # upper end of a legend below a panel, under the label of the axis, in heights of the panel
_LEGEND_WIDTH = 40  # letters of all labels in one row of a legend
_LETTERS_PER_INCH = 14  # of a legend, on average
_MARKER_LETTERS = 7  # room of the line and marker of an entry
_WIDE = {"x": 300, "y": 1e6}  # a log axis whose ends have a larger ratio shows only powers of ten

_LONG_NUMBER = 0.005  # numbers below take so many letters that they overlap
_WIDE_OF_LONG = 5
_MARGIN_OF_SHARES = 0.02  # of an axis of shares beyond 0 and 1, of its range between them

# Okabe and Ito's palette without its yellow, which is hard to see on white. Seven colours and eight
# markers have no common factor, so the first 56 series all look different.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", ":")  # of the first seven series, the next seven, and all others

INK, QUIET, GRID = "#222222", "#8a8a8a", "#e8e8e8"

ALPHA_LABEL = "noise level α (noisy labels per clean label)"
"""Label of an axis of noise levels."""

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
    "text.parse_math": False,  # a user's name may contain dollar signs
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

_NO_DATE = {"SOURCE_DATE_EPOCH": None}  # matplotlib reads it for PDF files even if they have no date

# Metadata of a file, without the time of writing.
UNDATED: dict[str, dict[str, None]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the figure style within a ``with`` block, in place of the user's own settings.

    Blocks of several threads take turns, since matplotlib has one set of settings.
    """
    with _SETTINGS_LOCK, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS | current_style().settings())
        yield


def new_figure(columns: int = 1, rows: int = 1, height: float = 3.5) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its panels.

    Parameters
    ----------
    columns, rows
        Number of panels. A single column is 5.6 inches wide, several are 3.8 inches each, unless the user
        wants another width: :func:`dilution.report.figure_style.using_style`.
    height
        Height of one row, in inches.

    Returns
    -------
    tuple of (matplotlib.figure.Figure, list of matplotlib.axes.Axes)
        The panels in reading order: ``figure, (left, right) = new_figure(columns=2)``.
    """
    width = 5.6 if columns == 1 else 3.8 * columns
    panels, columns = columns * rows, current_style().columns(columns)
    rows = -(-panels // columns)
    with style():
        figure = Figure(figsize=current_style().size(width, height * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axis in axes[panels:]:
            axis.remove()
    return figure, axes[:panels]


def line_with_interval(
    axis: Axes, points: pd.DataFrame, x: str, label: str, index: int, shift: float = 0.0
) -> None:
    """Draw one series: a line through the means, and a marker with interval and tooltip at each.

    Parameters
    ----------
    axis
        Panel to draw on.
    points
        As from :func:`dilution.study.statistics.intervals`: columns `x`, ``mean``, ``low`` and
        ``high``. Without bounds (NaN) only the marker is drawn. The tooltip shows all columns.
    x
        Column of the horizontal axis.
    label
        Name of the series in the legend.
    index
        Number of the series, which determines its colour and marker; from the eighth on lines are broken.
    shift
        Distance by which the series is drawn to the right, in units of the axis, so that intervals at
        the same x do not overlap.
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
            linestyle=_LINES[min(index // len(COLOURS), len(_LINES) - 1)],
            markeredgecolor="white",
            markeredgewidth=0.7,
            elinewidth=1.1,
            capsize=2.5,
        )
    mark_points(axis, ordered, ordered[x] + shift, ordered["mean"], label, colour)


def quoted_mark(axis: Axes, x: float, y: float, label: str, values: Mapping[str, str], colour: str) -> None:
    """Draw a ring at a number quoted from memory of the paper.

    Parameters
    ----------
    axis
        Panel to draw on.
    x, y
        Place of the ring.
    label
        Label in the legend, which lists equal labels once.
    values
        Values in the tooltip, name to value.
    colour
        Colour of the series that the number is compared with.
    """
    axis.plot(x, y, "o", ms=10, mfc="none", mec=colour, label=label, zorder=4)
    mark_points(axis, pd.DataFrame([dict(values)]), [x], [y], label, to_hex(colour), quoted=True)


def percent_axis(axis: Axes) -> None:
    """Label a vertical axis of fractions in [0, 1] in percent, with ticks at whole percents."""
    whole = MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True)
    low, high = axis.get_ylim()
    ticks = [tick / 100 for tick in whole.tick_values(100 * low, 100 * min(high, 1.0))]
    axis.set_yticks([tick for tick in ticks if low <= tick <= min(high, 1.0)])
    axis.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    axis.set_ylim(low, high)


def within_shares(low: float, high: float) -> tuple[float, float]:
    """Return the limits of an axis of shares: intervals of few seeds would stretch it far beyond 0 and 1."""
    margin = _MARGIN_OF_SHARES * (min(high, 1) - max(low, 0))
    return max(low, -margin), min(high, 1 + margin)


def log_axis(axis: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic after drawing, with plain numbers at 1, 2 and 5 times each power of ten.

    An axis over many powers of ten has numbers only at these, so that they do not overlap.
    """
    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    ticks = axis.xaxis if which == "x" else axis.yaxis
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    is_long = which == "x" and low < _LONG_NUMBER
    wide = high / low > (_WIDE_OF_LONG if is_long else _WIDE[which])
    ticks.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    ticks.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    ticks.set_minor_locator(NullLocator())


def legend(axis: Axes, title: str = "", **place: Any) -> Legend:
    """Add a frameless legend: each series once, without its error bar, then the other labelled lines.

    Parameters
    ----------
    axis
        Panel whose labelled series are listed.
    title
        Name of the setting that differs between the series: ``"model"``.
    **place
        Passed to :meth:`matplotlib.axes.Axes.legend`, such as ``loc`` and ``ncols``.
    """
    entries = list(zip(*axis.get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: not hasattr(entry[0], "lines"))  # series are lines with error bars
    lines = {label: getattr(handle, "lines", (handle,))[0] for handle, label in entries}
    with style():
        return axis.legend(lines.values(), lines.keys(), title=title, alignment="left", **place)


def legend_below(axis: Axes, title: str = "") -> Legend:
    """Add a legend in rows below a panel, where it covers no data."""
    handles = axis.get_legend_handles_labels()[1]
    columns = len(handles) if sum(map(len, handles)) <= _LEGEND_WIDTH else max(1, len(handles) // 2)
    return legend(
        axis,
        title=title,
        loc="upper left",
        bbox_to_anchor=(0, _BELOW),
        ncols=columns,
        borderaxespad=0,
        columnspacing=1.0,
        handletextpad=0.3,
    )


def legend_outside(figure: Figure, *, title: str = "") -> Legend:
    """Add a legend below all panels, in as many columns as the figure has room for; it covers no data.

    Parameters
    ----------
    figure
        The figure, whose labelled series are listed, each once.
    title
        Name of the setting that differs between the series.
    """
    handles: dict[str, Any] = {}
    for panel in figure.axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, getattr(handle, "lines", (handle,))[0])
    size = {**SETTINGS, **current_style().settings()}["legend.fontsize"]
    letters = figure.get_figwidth() * _LETTERS_PER_INCH * SETTINGS["legend.fontsize"] / size
    columns = int(letters / (max(map(len, handles), default=0) + _MARKER_LETTERS))
    with style():
        return figure.legend(
            list(handles.values()),
            list(handles),
            title=title,
            alignment="left",
            loc="outside lower left",
            ncols=max(1, min(len(handles), columns)),
            columnspacing=1.2,
            handletextpad=0.4,
        )


def save(
    figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("png", "svg", "pdf")
) -> dict[str, Path]:
    """Write a figure to files; the same figure always gives the same bytes.

    Parameters
    ----------
    figure
        The figure.
    folder
        Created if it does not exist.
    name
        File name without its ending.
    formats
        Any of png (150 dots per inch, unless the user wants another number), svg and pdf.

    Returns
    -------
    dict of str to pathlib.Path
        Format to file.

    Raises
    ------
    InputError
        If a format does not exist.
    DilutionError
        If a file cannot be written, for lack of space or permission. No half-written file is left.
    """
    for file_format in formats:
        if file_format not in UNDATED:
            raise unknown("figure format", file_format, UNDATED)
    with _laid_out(figure):
        return {
            file_format: write_atomic(Path(folder) / f"{name}.{file_format}", _render(figure, file_format))
            for file_format in formats
        }


def publish(figure: Figure, folder: Path, name: str) -> Plot:
    """Write a figure as PNG, SVG and PDF, and return its SVG and its marks for the page.

    Parameters
    ----------
    figure, folder, name
        As for :func:`save`.

    Raises
    ------
    DilutionError
        If a file cannot be written, or exists and is not of this program.
    """
    folder = Path(folder)
    with _laid_out(figure):
        write_output(folder / f"{name}.png", _render(figure, "png"))
        plot = _plot_of(figure)
        write_output(folder / f"{name}.svg", plot.svg.encode("utf-8"))
        write_output(folder / f"{name}.pdf", _render(figure, "pdf"))
    return plot


def as_plot(figure: Figure) -> Plot:
    """Return a figure as SVG with its marks; both come from one layout of the figure."""
    with _laid_out(figure):
        return _plot_of(figure)


def _plot_of(figure: Figure) -> Plot:
    svg = _render(figure, "svg").decode("utf-8")
    return Plot(svg, visible_marks(figure), key(figure))


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """Lay a figure out once: its files look alike whichever are written, and none lays it out again."""
    with _settings():
        rename_texts(figure, current_style())
        fit_fonts(figure)
        with current_style().noting_lack_of_room():
            figure.draw_without_rendering()
    engine = figure.get_layout_engine()
    with _settings():
        figure.set_layout_engine(None)  # with "none" each file would be drawn twice, once for the layout
    try:
        yield
    finally:
        figure.set_layout_engine("none" if engine is None else engine)


@contextmanager
def _settings() -> Iterator[None]:
    with style(), environment_variables(_NO_DATE), quiet_font_search():
        yield


def _render(figure: Figure, file_format: str) -> bytes:
    content = BytesIO()
    with _settings():
        figure.savefig(content, format=file_format, metadata=UNDATED[file_format])
    return content.getvalue()
