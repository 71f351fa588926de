"""The section of a user's own study: what varies, against what, with intervals."""

import pandas as pd

from dilution.report.page import Section
from dilution.report.style import as_svg, legend, line_with_interval, new_figure, percent_axis, style
from dilution.study.intervals import intervals
from dilution.study.select import name_matrices, varying_settings

_AXES = {
    "alpha": "noise level α (noisy labels for each clean one)",
    "eta": "noise rate η",
    "delta": "skew δ",
    "n": "clean examples n",
    "batch": "batch size",
    "rate": "learning rate",
}
_SERIES = 12  # more lines than this cannot be told apart


def study_section(name: str, runs: pd.DataFrame) -> Section:
    """Return the page section of a study, from its table of runs.

    Parameters
    ----------
    name
        Name of the study.
    runs
        One row a run.
    """
    runs = name_matrices(runs)
    finished = runs[runs["state"].isin(["done", "diverged"])]
    varying = varying_settings(runs) or ["network"]
    points = intervals(finished, by=varying) if varying else pd.DataFrame()
    return Section(
        name=name,
        title=name,
        finding=_finding(runs, points),
        svg=_plot(points, varying),
        caption=f"Mean test accuracy at the step that clean validation data chose, over seeds; "
        f"{len(finished)} of {len(runs)} runs.",
        method="Bars are 95 % Student t intervals over seeds.",
        claims=pd.DataFrame(),
        points=points,
        runs=runs,
    )


def _finding(runs: pd.DataFrame, points: pd.DataFrame) -> str:
    measured = points.dropna(subset=["mean"]) if len(points) else points
    ended = runs["state"].value_counts()
    parts = [f"{count} {state}" for state, count in ended.items()]
    if measured.empty:
        return f"Of {len(runs)} runs: {', '.join(parts)}."
    best, worst = measured["mean"].max(), measured["mean"].min()
    accuracies = f"Mean accuracies run from {100 * worst:.1f} % to {100 * best:.1f} %."
    return f"{accuracies} Of {len(runs)} runs: {', '.join(parts)}."


def _plot(points: pd.DataFrame, varying: list[str]) -> str:
    """Return the SVG of accuracy against the first numeric setting, one line for each of the others."""
    x = next((name for name in _AXES if name in varying), None)
    if x is None or points.empty:
        return ""
    others = [name for name in varying if name != x and not name.startswith("validation")]
    label = points[others].astype(str).agg(", ".join, axis=1) if others else pd.Series("", points.index)
    lines = points.groupby(label, sort=False)
    if len(lines) > _SERIES:
        return ""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        for index, (text, part) in enumerate(lines):
            line_with_interval(axis, part, x, str(text), index)
        axis.set_xlabel(_AXES[x])
        axis.set_ylabel("test accuracy")
        percent_axis(axis)
        if others:
            legend(axis, title=", ".join(others))
    return as_svg(figure)
