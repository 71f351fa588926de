"""The section of a user's own study: what varies, against what, with intervals."""

import re
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import matplotlib.figure
import pandas as pd

from dilution.report.marks import Plot
from dilution.report.page import Section
from dilution.report.style import legend, line_with_interval, new_figure, percent_axis, publish, style
from dilution.study.selection import name_matrices, varying_settings
from dilution.study.statistics import intervals
from dilution.utils.atomic import write_whole

_AXES = {
    "alpha": "noise level α (noisy labels for each clean one)",
    "eta": "noise rate η",
    "delta": "skew δ",
    "n": "clean examples n",
    "batch_size": "batch size",
    "lr": "learning rate",
}
_SERIES = 12  # more lines than this cannot be told apart

_PAGE_FILES = ("claims", "made_by", "index", "readme")
"""What the names of a page's own files begin with, in small letters."""


def study_section(name: str, runs: pd.DataFrame, folder: Path, file: str | None = None) -> Section:
    """Return the page section of a study, and write its plot and tables as files.

    Parameters
    ----------
    name
        Name of the study.
    runs
        One row a run.
    folder
        Where the plot (PNG, SVG, PDF), the points drawn and the runs (CSV) go.
    file
        What their names begin with, one that no other section of the page has. Default: the study's name, as
        far as it can be a file's.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    runs = name_matrices(runs)
    file = file or file_names([name])[name]
    finished = runs[runs["state"].isin(["done", "diverged"])]
    varying = varying_settings(runs) or ["model"]
    points = intervals(finished, by=varying) if varying else pd.DataFrame()
    figure = _plot(points, varying)
    plot = publish(figure, folder, file) if figure else Plot("", ())
    write_whole(folder / f"{file}.csv", points.to_csv(index=False).encode())
    write_whole(folder / f"{file}-runs.csv", runs.to_csv(index=False).encode())
    return Section(
        name=file,
        title=name,
        finding=_finding(runs, points),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"Mean test accuracy at the step that clean validation data chose, over seeds; "
        f"{len(finished)} of {len(runs)} runs.",
        method="Bars are 95 % Student t intervals over seeds.",
        claims=pd.DataFrame(),
        points=points,
        runs=runs,
    )


def file_names(studies: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return for each study of a page what the names of its files begin with, no two alike.

    Where that would be the name of another section or of the page's own files, a number stands behind it.

    Parameters
    ----------
    studies
        The names of the studies; of two that would have one name the later has the number.
    taken
        Further names that no study may have: those of the figures.
    """
    used = {name for each in (*_PAGE_FILES, *taken) for name in _used(each)}
    names = {}
    for study in studies:
        plain = re.sub(r"[^a-z0-9.]+", "-", study.lower()).strip("-.") or "study"
        tries = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
        names[study] = next(name for name in tries if used.isdisjoint(_used(name)))
        used |= _used(names[study])
    return names


def _used(name: str) -> set[str]:
    """Return the names of tables that a section of this name writes."""
    return {name, f"{name}-runs"}


def _finding(runs: pd.DataFrame, points: pd.DataFrame) -> str:
    measured = points.dropna(subset=["mean"]) if len(points) else points
    ended = runs["state"].value_counts()
    parts = [f"{count} {state}" for state, count in ended.items()]
    if measured.empty:
        return f"Of {len(runs)} runs: {', '.join(parts)}."
    best, worst = measured["mean"].max(), measured["mean"].min()
    accuracies = f"Mean accuracies run from {100 * worst:.1f} % to {100 * best:.1f} %."
    return f"{accuracies} Of {len(runs)} runs: {', '.join(parts)}."


def _plot(points: pd.DataFrame, varying: list[str]) -> matplotlib.figure.Figure | None:
    """Draw accuracy against the first numeric setting, one line for each value of the others."""
    x = next((name for name in _AXES if name in varying), None)
    if x is None or points.empty:
        return None
    points = points.dropna(subset=[x])  # observed labels have no alpha: the table has them, the plot cannot
    others = [name for name in varying if name != x and not name.startswith("validation")]
    said = [", ".join(str(each) for each in row if pd.notna(each)) for row in points[others].to_numpy(object)]
    lines = points.groupby(pd.Series(said, points.index), sort=False)
    if len(lines) > _SERIES:
        return None
    with style():
        figure, (axis,) = new_figure(height=3.7)
        for index, (text, part) in enumerate(lines):
            line_with_interval(axis, part, x, str(text), index)
        axis.set_xlabel(_AXES[x])
        axis.set_ylabel("test accuracy")
        percent_axis(axis)
        if others:
            legend(axis, title=", ".join(others))
    return figure
