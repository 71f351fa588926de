"""A section of a page: one figure or study with its evidence; here also that of a user's own study."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import matplotlib.figure
import pandas as pd
from matplotlib.ticker import PercentFormatter

from dilution.report.marks import Mark, Plot, mark_points
from dilution.report.style import (
    ALPHA_LABEL,
    COLOURS,
    legend,
    line_with_interval,
    new_figure,
    percent_axis,
    publish,
    style,
)
from dilution.report.tables import format_value
from dilution.study.statistics import intervals, name_matrices, varying_settings
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import write_output

_AXIS_LABELS = {
    "alpha": ALPHA_LABEL,
    "eta": "noise rate η (share of wrong labels)",
    "delta": "skew δ (0: uniform noise; 1: most skewed)",
    "n": "number of clean examples n",
    "batch_size": "batch size",
    "lr": "learning rate",
}
_MAX_ROWS = 40  # settings of a plot by name
MAX_SERIES = 12  # more lines than this cannot be told apart
MAX_LABEL = 60  # longer labels leave no room for the plot
_MAX_FILE_NAME = 100  # characters; names of files have 255 at most, and some tools fewer
_MAX_SETTINGS = 3  # more settings than this make a sentence hard to read

_PAGE_FILES = ("claims", "made_by", "index", "readme")
"""Names of a page's own files without their endings, in lower case."""


@dataclass(frozen=True, repr=False)
class Section:
    """One figure of a page with its evidence.

    Parameters
    ----------
    name
        Short name, such as ``"fig1"``.
    title
        What the figure shows.
    summary
        The result in one or two plain sentences.
    svg
        The plot as SVG text; empty for a section without a plot.
    caption
        Data and settings, and how they differ from the paper.
    method
        How the points were measured. A blank line starts a new paragraph.
    claims
        One row per claim: ``figure``, ``claim``, ``rule``, ``verdict`` and ``numbers``. A verdict is
        "reproduced", "not reproduced" or "not testable".
    points
        One row per point, with ``mean``, ``low``, ``high`` and ``seeds``.
    runs
        One row per run, or per row of another table, which is shown with all its columns.
    as_percent
        Whether the means of `points` are fractions in [0, 1], shown in percent.
    marks
        The points of the plot that have a tooltip.
    confidence
        Confidence of the intervals of `points`, in percent.
    over_seeds
        Whether the intervals are Student t intervals over seeds.
    runs_title
        Title of the table of `runs`, in the plural.
    runs_file
        CSV file with the whole table. Default: ``NAME-runs.csv``.
    runs_complete
        Whether `runs` has all rows of that file; otherwise it has the first ones.
    notes
        What was left out, merged, converted or guessed, one sentence each.
    """

    name: str
    title: str
    summary: str
    svg: str
    caption: str
    method: str
    claims: pd.DataFrame
    points: pd.DataFrame
    runs: pd.DataFrame
    as_percent: bool = True
    marks: tuple[Mark, ...] = ()
    confidence: int = 95
    over_seeds: bool = True
    runs_title: str = "runs of this figure"
    runs_file: str = ""
    runs_complete: bool = True
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return name and title, and the numbers of points and runs."""
        counts = f"{len(self.points)} points, {len(self.runs)} rows in the table of runs"
        return f"Section({self.name!r}, {self.title!r}: {counts})"


def write_tables(folder: Path, file: str, points: pd.DataFrame, runs: pd.DataFrame) -> None:
    """Write the points as ``FILE.csv`` and the runs as ``FILE-runs.csv``, the latter unless it is empty.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    write_output(folder / f"{file}.csv", csv_bytes(points))
    if len(runs):
        write_output(folder / f"{file}-runs.csv", csv_bytes(runs))


def study_section(name: str, runs: pd.DataFrame, folder: Path, file: str | None = None) -> Section:
    """Return the page section of a user's own study, and write its plot and its tables.

    Parameters
    ----------
    name
        Name of the study.
    runs
        One row per run.
    folder
        Folder for the plot (PNG, SVG, PDF), the points and the runs (CSV).
    file
        File name without its ending, unique on the page. Default: derived from the study's name.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    notes = tuple(runs.attrs.get("notes", ()))
    runs = name_matrices(runs)
    file = file or file_names([name])[name]
    finished = runs[runs["state"].isin(["done", "diverged"])]
    varying = varying_settings(runs) or ["model"]
    points = intervals(finished, by=varying)
    figure, left_out = _plot(points, varying)
    plot = publish(figure, folder, file) if figure else Plot("", ())
    write_tables(folder, file, points, runs)
    return Section(
        name=file,
        title=name,
        summary=_summary(runs, points, varying),
        svg=plot.svg,
        marks=plot.marks,
        caption="Mean test accuracy over seeds, at the step with the best clean validation accuracy. "
        f"Finished runs: {len(finished)} of {len(runs)}.{left_out}",
        method="Bars are 95 % Student t intervals over seeds. Diverged runs count as accuracy at chance, the "
        "share of the commonest class of the test images.",
        claims=pd.DataFrame(),
        points=points,
        runs=runs,
        runs_title="runs of this study",
        notes=(*notes, *plot.notes),
    )


def section_files(file: str) -> set[str]:
    """Return the names of all files that a section named ``FILE`` has."""
    return {f"{file}{ending}" for ending in (".csv", "-runs.csv", ".png", ".svg", ".pdf")}


def file_names(studies: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a unique file name, without ending, for each study of a page.

    A name that another section or the page itself uses gets a number.

    Parameters
    ----------
    studies
        Names of the studies. If two give the same file name, the later one gets a number.
    taken
        Further names in use: those of the figures.
    """
    used = {table for name in (*_PAGE_FILES, *taken) for table in _table_names(name)}
    names = {}
    for study in studies:
        plain = re.sub(r"[^a-z0-9.]+", "-", study.lower())[:_MAX_FILE_NAME].strip("-.") or "study"
        candidates = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
        names[study] = next(name for name in candidates if used.isdisjoint(_table_names(name)))
        used |= _table_names(names[study])
    return names


def _table_names(name: str) -> set[str]:
    """Return the names of the tables of a section."""
    return {name, f"{name}-runs", f"{name}-memorisation"}


def _summary(runs: pd.DataFrame, points: pd.DataFrame, varying: list[str]) -> str:
    """Return the best and the worst accuracy with their settings, and the states of the runs."""
    counts = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
    states = f"State of the {len(runs)} runs: {counts}."
    measured = points.dropna(subset=["mean"])
    if measured.empty:
        return states
    best, worst = measured.loc[measured["mean"].idxmax()], measured.loc[measured["mean"].idxmin()]
    if len(measured) == 1:
        return f"Mean test accuracy is {100 * best['mean']:.1f} %. {states}"
    return (
        f"Mean test accuracy is {100 * best['mean']:.1f} % at best{_settings(best, varying)} and "
        f"{100 * worst['mean']:.1f} % at worst{_settings(worst, varying)}. {states}"
    )


def _settings(point: "pd.Series", varying: list[str]) -> str:
    """Return the settings that tell a point from the others in brackets; empty if there are many."""
    settings = [f"{name} {format_value(point[name])}" for name in varying if pd.notna(point[name])]
    return f" ({', '.join(settings)})" if len(settings) <= _MAX_SETTINGS else ""


def _plot_by_name(points: pd.DataFrame, varying: list[str]) -> tuple[matplotlib.figure.Figure | None, str]:
    """Draw accuracy with one row per combination of settings, none of which is a number."""
    labels = _names(points, varying)
    if len(points) > _MAX_ROWS or max(map(len, labels)) > MAX_LABEL:
        return None, f" No plot: {len(points)} settings, or their names, are too many to read; see the table."
    with style():
        figure, (axis,) = new_figure(height=1.4 + 0.28 * len(points))
        for row, (label, (_, point)) in enumerate(zip(labels, points.iterrows(), strict=True)):
            bounds = [[point["mean"] - point["low"]], [point["high"] - point["mean"]]]
            axis.errorbar([point["mean"]], [row], xerr=bounds, fmt="o", color=COLOURS[0], capsize=2.5)
            mark_points(axis, point.to_frame().T, [point["mean"]], [row], label, COLOURS[0])
        axis.set_yticks(range(len(labels)), labels)
        axis.set_ylim(len(labels) - 0.5, -0.5)
        axis.set_xlabel("test accuracy")
        axis.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    return figure, ""


def _names(points: pd.DataFrame, varying: list[str]) -> list[str]:
    """Return the settings of each point, those that it has, without the number of validation examples."""
    columns = [name for name in varying if name != "n_val"]
    return [
        ", ".join(str(value) for value in row if pd.notna(value)) for row in points[columns].to_numpy(object)
    ]


def _plot(points: pd.DataFrame, varying: list[str]) -> tuple[matplotlib.figure.Figure | None, str]:
    """Draw accuracy against the first numeric setting, one line per combination of the others.

    Returns
    -------
    figure, left_out
        The figure, or None; and a sentence, with a space before it, on what the plot leaves out.
    """
    x = next((name for name in _AXIS_LABELS if name in varying), None)
    if points.empty:
        return None, ""
    if x is None:
        return _plot_by_name(points, varying)
    without_x = int(points[x].isna().sum())  # observed labels have no alpha
    left_out = f" Points without {x}, which the table has: {without_x}." if without_x else ""
    points = points.dropna(subset=[x])
    others = [name for name in varying if name not in (x, "n_val")]
    labels = _names(points, others)
    lines = points.groupby(pd.Series(labels, points.index), sort=False)
    if len(lines) > MAX_SERIES or max(map(len, labels)) > MAX_LABEL:
        return (
            None,
            f" No plot: {len(lines)} lines, or their names, are too many to tell apart; see the table.",
        )
    with style():
        figure, (axis,) = new_figure(height=3.7)
        for index, (label, part) in enumerate(lines):
            line_with_interval(axis, part, x, str(label), index)
        axis.set_xlabel(_AXIS_LABELS[x])
        axis.set_ylabel("test accuracy")
        percent_axis(axis)
        if others:
            legend(axis, title=", ".join(others))
    return figure, left_out
