"""The panel of a study on memorisation: wrong training labels that models reproduce, by epoch."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dilution.report.marks import Plot
from dilution.report.section import Section, write_tables
from dilution.report.study_plot import MAX_LABEL, MAX_SERIES, setting_names
from dilution.report.style import (
    legend_outside,
    line_with_interval,
    new_figure,
    percent_axis,
    publish,
    style,
)
from dilution.study.statistics import intervals, name_matrices, varying_settings

SHARES = {"memorised": "wrong labels that are predicted", "recovered": "true classes predicted instead"}
"""The shares of wrongly labelled training examples, by the beginning of their column in a table of runs."""


def memorisation_file(file: str) -> str:
    """Return the file name of the section beside that of its study, without ending."""
    return f"{file}-memorisation"


def memorisation_section(
    name: str, runs: pd.DataFrame, history: pd.DataFrame, folder: Path, file: str
) -> Section | None:
    """Return the section on memorisation of a study, and write its plot and table; None if not measured.

    Parameters
    ----------
    name
        Name of the study.
    runs
        One row per run.
    history
        One row per evaluation, as from :func:`dilution.study.results.histories`.
    folder
        Folder for the plot and the points.
    file
        File name without its ending.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    if "memorised" not in history or history["memorised"].isna().all():
        return None
    measured = history.loc[history["memorised"].notna(), "key"]  # recorded runs may lack it
    runs = name_matrices(runs[runs["key"].isin(measured)])
    varying = varying_settings(runs) or ["model"]
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
    labels = pd.Series(setting_names(points, varying), points.index, dtype=object)
    n_lines = labels.nunique()
    too_many = n_lines > MAX_SERIES or labels.str.len().max() > MAX_LABEL
    plot = Plot("", ()) if too_many else publish(_plot(points, labels, x), folder, file)
    return Section(
        name=file,
        title=f"{name}: memorisation",
        summary=_summary(evaluations),
        svg=plot.svg,
        marks=plot.marks,
        caption="Shares of up to 1,000 wrongly labelled training examples per run, means over seeds."
        + (f" No plot: {n_lines} lines are too many to tell apart; see the table." if too_many else ""),
        method="The same examples are looked at in all evaluations of a run. Where images have no class of "
        "their own, such as white noise, there is no true class to predict. Bars are 95 % Student t "
        "intervals over seeds.",
        claims=pd.DataFrame(),
        points=points,
        runs=pd.DataFrame(),
        notes=plot.notes,
    )


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


def _plot(points: pd.DataFrame, labels: "pd.Series[str]", x: str) -> Figure:
    measures = [measure for measure in SHARES if (points["measure"] == measure).any()]
    with style():
        figure, axes = new_figure(columns=len(measures), height=3.6 + 0.1 * labels.nunique())
        for axis, measure in zip(axes, measures, strict=True):
            of_measure = points["measure"] == measure
            for index, label in enumerate(dict.fromkeys(labels)):
                part = points[of_measure & (labels == label)]
                line_with_interval(axis, part, x, label, index)
            axis.set_xlabel("epoch" if x == "epoch" else "optimizer step")
            axis.set_ylabel(SHARES[measure])
            percent_axis(axis)
        if labels.nunique() > 1:
            legend_outside(figure)
    return figure


def _summary(evaluations: pd.DataFrame) -> str:
    """Return the range of the last evaluations in one sentence."""
    last = evaluations.loc[evaluations.groupby("key")["step"].idxmax(), "memorised"]
    low, high = 100 * last.min(), 100 * last.max()
    shares = f"{low:.0f} %" if round(low) == round(high) else f"{low:.0f} to {high:.0f} %"
    return f"At the last step models predict {shares} of the wrong labels that they were trained on."
