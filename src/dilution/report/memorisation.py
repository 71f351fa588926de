"""The panel of a study on memorisation: wrong training labels that models reproduce, by epoch."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dilution.report.lines import Lines, divide
from dilution.report.marks import Plot
from dilution.report.section import Section, write_tables
from dilution.report.style import (
    legend_outside,
    line_with_interval,
    new_figure,
    percent_axis,
    publish,
    style,
    within_shares,
)
from dilution.study.statistics import intervals, name_matrices, varying_settings

SHARES = {"memorised": "wrong labels that are predicted", "recovered": "true classes predicted instead"}
"""The shares of wrongly labelled training examples, by the beginning of their column in a table of runs."""


_ROOM = 0.05  # of the range of an axis, at its ends
_LEAST_RANGE = 0.02  # where all shares are equal


def memorisation_file(file: str) -> str:
    """Return the file name of the section beside that of its study, without ending."""
    return f"{file}-memorisation"


def memorisation_section(
    name: str,
    runs: pd.DataFrame,
    history: pd.DataFrame,
    folder: Path,
    file: str,
    by: Sequence[str] | None = None,
) -> Section | None:
    """Return the section on memorisation of a study, and write its plot and table; None if not measured.

    Parameters
    ----------
    name
        Name of the study or of the figure.
    runs
        One row per run.
    history
        One row per evaluation, as from :func:`dilution.study.results.histories`.
    folder
        Folder for the plot and the points.
    file
        File name without its ending.
    by
        Settings that tell the lines of a figure apart; matrices have their names already. Default: all in
        which the runs of a study differ.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    if "memorised" not in history or history["memorised"].isna().all():
        return None
    measured = history.loc[history["memorised"].notna(), "key"]
    left_out = _count_unmeasured(runs, measured)
    runs = runs[runs["key"].isin(measured)]
    runs = name_matrices(runs) if by is None else runs
    varying = list(by or varying_settings(runs)) or ["model"]
    evaluations = _evaluations(runs, history[history["key"].isin(measured)], varying)
    x = "epoch" if evaluations["epoch"].notna().all() else "step"
    points = pd.concat(
        [
            intervals(evaluations.dropna(subset=[measure]), [*varying, x], value=measure).assign(
                measure=measure
            )
            for measure in SHARES
            if measure in evaluations
        ],
        ignore_index=True,
    )
    write_tables(folder, file, points, pd.DataFrame())
    lines = divide(points, varying)
    plot = Plot("", ()) if lines.are_too_many else publish(_plot(points, lines, x), folder, file)
    return Section(
        name=file,
        title=f"{name}: memorisation" if by is None else "Wrong training labels that models reproduce",
        summary=_summary(evaluations),
        svg=plot.svg,
        marks=plot.marks,
        caption="Shares of up to 1,000 wrongly labelled training examples per run, means over seeds."
        + (
            f" No plot: {lines.count} lines are too many to tell apart; {file}.csv has the points."
            if lines.are_too_many
            else ""
        )
        + (
            f" Runs with wrong labels that were not measured, such as imported ones: {left_out}, left out."
            if left_out
            else ""
        ),
        method="The same examples are looked at in all evaluations of a run. Where images have no class of "
        "their own, such as white noise, there is no true class to predict. Bars are 95 % Student t "
        "intervals over seeds; those beyond 0 to 100 % end outside the plot. A model that guesses evenly "
        "among K classes predicts 1/K of the labels.",
        claims=pd.DataFrame(),
        points=points,
        runs=pd.DataFrame(),
        notes=plot.notes,
    )


def _count_unmeasured(runs: pd.DataFrame, measured: "pd.Series[str]") -> int:
    """Return the number of finished runs that have wrong labels, or may have, and were not measured."""
    finished = runs[runs["state"].isin(["done", "diverged"])]
    others = finished[~finished["key"].isin(measured)]
    return int((pd.to_numeric(others["noise_rate_expected"]).fillna(1) > 0).sum())


def _evaluations(runs: pd.DataFrame, history: pd.DataFrame, varying: Sequence[str]) -> pd.DataFrame:
    """Return the evaluations with the settings of their runs, and the epoch of each; NaN if it is unknown."""
    columns = list(dict.fromkeys(["key", "seed", "epochs", *varying]))
    steps = _planned_steps(runs, history.groupby("key")["step"].max())
    joined = history.merge(runs[columns].assign(_steps=steps), on="key", suffixes=("", "_of_run"))
    epochs = joined["epochs"].astype(float) * joined["step"] / joined["_steps"]
    return joined.drop(columns="_steps").assign(epoch=epochs.round(6))


def _planned_steps(runs: pd.DataFrame, last: "pd.Series[int]") -> "pd.Series[float]":
    """Return the optimizer steps that runs were to take: the last one, unless it stopped early or diverged.

    These have the steps of their epochs, as :func:`dilution.study.grouping.expected_steps` counts them.
    """
    took_all = (runs["state"] == "done") & runs["stopped_at"].isna()
    number = {
        name: pd.to_numeric(runs[name]).astype("float64")
        for name in ("n", "n_val", "batch_size", "epochs", "alpha_expected")
    }
    has_several = (runs["label_mode"] == "added") & (runs["targets"] == "sampled")
    labels = (1 + number["alpha_expected"]).where(has_several, 1.0)
    length = ((number["n"] - number["n_val"]) * labels).round()
    planned = (number["epochs"] * length / number["batch_size"]).round().clip(lower=1)
    return runs["key"].map(last).astype("float64").where(took_all, planned)


def _plot(points: pd.DataFrame, lines: Lines, x: str) -> Figure:
    """Draw the shares against the epoch: a column of panels per measure, a row where lines are divided."""
    measures = [measure for measure in SHARES if (points["measure"] == measure).any()]
    panels = [(measure, title, chosen) for title, chosen in lines.panels for measure in measures]
    limits = {measure: _limits(points[points["measure"] == measure]) for measure in measures}
    rows = len(lines.panels)
    height = (3.6 if rows == 1 else 2.6) + 0.1 * lines.count / rows
    with style():
        figure, axes = new_figure(columns=len(measures), rows=rows, height=height)
        for axis, (measure, title, chosen) in zip(axes, panels, strict=True):
            for number, label, part in lines.of_panel(points[chosen & (points["measure"] == measure)]):
                line_with_interval(axis, part, x, label, number)
            axis.set_title(title)
            axis.set_ylim(*limits[measure])
            axis.set_xlabel("epoch" if x == "epoch" else "optimizer step")
            axis.set_ylabel(SHARES[measure])
            percent_axis(axis)
        if lines.count > 1:
            legend_outside(figure, title=", ".join(lines.settings))
    return figure


def _limits(points: pd.DataFrame) -> tuple[float, float]:
    """Return the limits of the axis of a share, the same in all panels: those of its points and intervals."""
    low, high = points[["mean", "low"]].min().min(), points[["mean", "high"]].max().max()
    room = _ROOM * max(high - low, _LEAST_RANGE)
    return within_shares(low - room, high + room)


def _summary(evaluations: pd.DataFrame) -> str:
    """Return the ranges of the last evaluations in one sentence."""
    last = evaluations.loc[evaluations.groupby("key")["step"].idxmax()]
    memorised = f"{_range(last['memorised'])} of the wrong labels that they were trained on"
    has_classes = "recovered" in last and last["recovered"].notna().all()
    recovered = (
        f", and the true class of {_range(last['recovered'])} of these examples" if has_classes else ""
    )
    return f"At the last step models predict {memorised}{recovered}."


def _range(shares: "pd.Series[float]") -> str:
    low, high = 100 * shares.min(), 100 * shares.max()
    return f"{low:.0f} %" if round(low) == round(high) else f"{low:.0f} to {high:.0f} %"
