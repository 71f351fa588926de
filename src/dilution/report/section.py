"""A section of a page: one figure or study with its evidence; here also that of a user's own study."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pandas as pd

from dilution.report.marks import Mark, Plot
from dilution.report.study_plot import StudyPlot, plot_study
from dilution.report.style import publish
from dilution.report.tables import format_value
from dilution.study.statistics import common_accuracy, intervals, name_matrices, varying_settings
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import write_output

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
    findings
        Further results, a line each, below the summary.
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
    points_title
        Title of the table of `points`, which the Markdown page then has too. Default: their number.
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
    points_title: str = ""
    findings: tuple[str, ...] = ()

    @property
    def value_name(self) -> str:
        """What the values of the points are called."""
        return "mean" if self.over_seeds else "estimate"

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


def study_section(
    name: str, runs: pd.DataFrame, folder: Path, file: str | None = None, measure: str | None = None
) -> Section:
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
    measure
        Test accuracy that is shown. Default: that by which runs are shown together.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    notes = tuple(runs.attrs.get("notes", ()))
    named = name_matrices(runs)
    file = file or file_names([name])[name]
    finished = named[named["state"].isin(["done", "diverged"])]
    varying = varying_settings(named) or ["model"]
    measure = measure or common_accuracy(named)
    points = intervals(finished, by=varying, value=measure)
    drawn = plot_study(points, varying, _LABELS.get(measure, measure))
    plot = publish(drawn.figure, folder, file) if drawn.figure else Plot("", ())
    write_tables(folder, file, points, runs)  # with whole matrices, so that the runs can be imported
    return Section(
        name=file,
        title=name,
        summary=_summary(named, points, varying),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"{_CAPTIONS.get(measure, f'Mean {measure} over seeds.')} Finished runs: {len(finished)} of "
        f"{len(runs)}{_count_drawn(drawn, len(finished))}.{drawn.left_out}"
        f"{_without_accuracy(finished, points, measure)}",
        method="Bars are 95 % Student t intervals over seeds; those beyond 0 to 100 % end outside the plot. "
        "Diverged runs count as accuracy at chance, the share of the commonest class of the test images.",
        claims=pd.DataFrame(),
        points=points,
        runs=named,
        runs_title="runs of this study",
        notes=(*notes, *_matrix_notes(named, file), *plot.notes),
    )


_CAPTIONS = {
    "test_acc_at_best_clean_val": "Mean test accuracy over seeds, at the step with the best clean validation "
    "accuracy.",
    "test_acc_at_best_noisy_val": "Mean test accuracy over seeds, at the step with the lowest cross entropy "
    "on noisy validation labels.",
    "test_acc_at_best_noisy_acc": "Mean test accuracy over seeds, at the step with the highest accuracy on "
    "noisy validation labels.",
    "test_acc_last": "Mean test accuracy over seeds, after the last step.",
}
_LABELS = dict.fromkeys(_CAPTIONS, "test accuracy")


def _count_drawn(drawn: StudyPlot, finished: int) -> str:
    """Return how many runs the plot shows, if it does not show all finished ones."""
    return "" if drawn.figure is None or drawn.runs == finished else f", drawn: {drawn.runs}"


def _without_accuracy(finished: pd.DataFrame, points: pd.DataFrame, measure: str) -> str:
    """Return a sentence on finished runs that lack the measure, with a space before it; empty without any."""
    count = len(finished) - int(points["seeds"].sum())
    return f" Finished runs without {measure}, which only the table has: {count}." if count else ""


def _matrix_notes(runs: pd.DataFrame, file: str) -> Iterator[str]:
    """Yield where the transition matrix behind each name is."""
    if "matrix" not in runs or "key" not in runs:
        return
    for matrix, part in runs.dropna(subset=["matrix"]).groupby("matrix", sort=False):
        yield f"{matrix} is the matrix of run {part['key'].iloc[0]}; {file}-runs.csv has it as a whole"


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
    return {name, f"{name}-runs", f"{name}-memorisation", f"{name}-differences"}


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
