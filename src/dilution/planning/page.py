"""The page of a plan: the answer, the plot, the method, and the tables as CSV."""

import math
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dilution.planning.accuracy_law import LEVEL, median_and_interval
from dilution.planning.distinct_examples import n_distinct
from dilution.planning.result import Plan
from dilution.report.json_file import write_json
from dilution.report.marks import mark_points
from dilution.report.page import Page, write
from dilution.report.provenance import made_by
from dilution.report.section import Section
from dilution.report.style import (
    COLOURS,
    MARKERS,
    QUIET,
    legend_below,
    log_axis,
    new_figure,
    percent_axis,
    publish,
    style,
)
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import write_output

_ACCURACY = "test_acc_at_best_clean_val"

_METHOD = """\
A pilot was trained on these data at several numbers of clean examples and several noise levels. Dilution \
added the noise, so its level is known. Later runs were placed where they inform most about the answer, \
for their cost.

The law of accuracy fitted to them: the logit of accuracy is a parabola in the logarithm of the effective \
number of examples, n/(1 + κ α)^γ, where copies of an example count once. In theory κ = γ = 1; then the \
labels needed for an accuracy grow as (1 + α)². Intervals are the central 80 % of the laws that fit the \
pilot. No number is given where the law would be extrapolated further than the pilot supports. The noise of \
the pilot is uniform; noise that is concentrated on few classes costs more.

{training} A better recipe needs fewer labels; the value of noisy labels in clean ones changes less."""


def write_plan(plan: Plan, folder: Path, command: str) -> Path:
    """Write the page, its plot, and the tables as CSV; return the page.

    Parameters
    ----------
    plan
        The plan.
    folder
        Folder for ``index.html``, ``plan.json``, ``plan.png`` (also SVG, PDF), ``label_values.csv``
        and ``pilot.csv``.
    command
        Command line that made the plan.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    write_output(folder / "label_values.csv", csv_bytes(plan.label_values))
    write_output(folder / "pilot.csv", csv_bytes(plan.runs))
    write_json(folder / "plan.json", plan.to_dict())
    plot = publish(draw(plan), folder, "plan")
    section = Section(
        name="plan",
        title=f"Labels for {100 * plan.target:.4g} % test accuracy on {plan.name}",
        summary=" ".join(plan.details),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"A pilot of {len(plan.runs)} runs of {plan.runs['model'].iloc[0]} with up to "
        f"{plan.runs['n'].max():,} examples and α = {plan.law.max_alpha:g}. Lines are the law of accuracy, "
        "bands its 80 % intervals; the dotted line is the target.",
        method=_METHOD.format(training=_describe_training(plan.runs)),
        claims=pd.DataFrame(),
        points=plan.label_values,
        runs=plan.runs,
        as_percent=False,
        confidence=round(100 * LEVEL),
        runs_file="pilot.csv",
        notes=(*plan.notes, *plot.notes),
    )
    provenance = made_by(command, {"plan": plan.runs})
    return write(
        Page(f"A plan for {plan.name}", [section], provenance, answer=plan.answer), folder / "index.html"
    )


def _describe_training(runs: pd.DataFrame) -> str:
    """Return how the pilot was trained, in a sentence."""
    lrs, batch_sizes = (
        _range([f"{value:g}" for value in sorted(runs[name].unique())]) for name in ("lr", "batch_size")
    )
    optimizers, schedules, targets = (
        " or ".join(sorted(runs[name].unique())) for name in ("optimizer", "schedule", "targets")
    )
    epochs = runs["steps"] * runs["batch_size"] / (runs["n"] - runs["n_val"])
    return (
        f"Runs are trained with {optimizers}, learning rate {lrs} ({schedules}), batch size {batch_sizes} "
        f"and {targets} targets, for {_range([f'{epochs.min():.0f}', f'{epochs.max():.0f}'])} epochs of "
        f"their examples, at least {runs['steps'].min():.0f} steps."
    )


def _range(values: list[str]) -> str:
    return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def draw(plan: Plan) -> matplotlib.figure.Figure:
    """Return a figure of the runs of the pilot, and of the law through them, at each noise level."""
    runs = plan.runs.assign(n_labels=n_distinct(plan.runs) * _labels_per_image(plan.runs))
    with style():
        figure, (axis,) = new_figure(height=3.9)
        most = float(runs["n_labels"].max())
        if math.isfinite(plan.n_same.value):
            most = max(most, 1.3 * plan.n_same.value)
        for index, (level, at_level) in enumerate(runs.groupby("alpha")):
            _draw_level(axis, plan, float(str(level)), at_level, most, index)
        axis.axhline(plan.target, color=QUIET, lw=0.9, ls=":")
        log_axis(axis, "x")
        axis.set_xlabel("labels, clean and noisy")
        axis.set_ylabel("test accuracy")
        percent_axis(axis)
        legend_below(axis, title="noise level α")
    return figure


def _draw_level(axis: Axes, plan: Plan, alpha: float, runs: pd.DataFrame, most: float, index: int) -> None:
    """Draw the runs and the law of one noise level, up to so many labels."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    x, y, label = runs["n_labels"], runs[_ACCURACY], f"{alpha:g}"
    axis.plot(x, y, marker, color=colour, ms=4, mec="white", mew=0.5, label=label)
    values = runs[["alpha", "n", "seed", _ACCURACY]].rename(columns={_ACCURACY: "test accuracy"})
    mark_points(axis, values, x, y, label, colour)
    n_labels = np.geomspace(x.min(), most, 60)
    curves = [median_and_interval(plan.law.accuracy(count / (1 + alpha), alpha)) for count in n_labels]
    median, low, high = np.transpose(curves)
    axis.plot(n_labels, median, color=colour, lw=1.2)
    axis.fill_between(n_labels, low, high, color=colour, alpha=0.15, lw=0)


def _labels_per_image(runs: pd.DataFrame) -> "pd.Series[float]":
    """Return the labels per image of each run: one if labels are replaced."""
    return (1 + runs["alpha"]).where(runs["label_mode"] == "added", 1.0)
