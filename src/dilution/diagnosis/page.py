"""The page of a diagnosis: the answer, the plot, the method, and the tables as CSV."""

from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dilution.diagnosis.result import Diagnosis
from dilution.report.json_file import write_json
from dilution.report.marks import Plot, mark_points
from dilution.report.page import Page, write
from dilution.report.provenance import made_by
from dilution.report.section import Section
from dilution.report.style import COLOURS, INK, QUIET, new_figure, publish, style
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import write_output

_MAX_NAMED = 20  # classes that a plot can name
_MAX_WRITTEN = 12  # classes whose matrix shows its numbers
_MAX_ISSUES = 100  # label issues on the page; the file has all
_NAME_LENGTH = 14

_METHOD = """\
{n_models} models ({model}, {epochs} epochs, the number that predicted held-out labels best) were trained \
on the noisy labels by cross-validation: each model predicts examples whose labels it never saw. No true \
label was used.

The errors of the models are estimated together with those of the labels. The more confident a model is, \
the more often labels agree with it, up to a plateau; there the model is right, and labels that disagree \
are wrong. A transition matrix T and a calibration of the models are fitted to all held-out labels by \
maximum likelihood. The fit assumes that noise depends on the class alone (p = {p_value:.2g} for this \
assumption), and that the most frequent label of a class is the right one. It needs examples of each class \
that are unmistakable to the models: where classes overlap in the data, or models learned too little, \
their errors count as label noise.

Intervals are percentiles of fits to {samples} bootstrap samples of the examples. Those of noise rates, of \
T and of the correlation are widened on both sides by the change of the result when only the clearest \
examples are taken as unmistakable. α is the number of noisy labels per clean label at which uniform noise \
has the same noise rate; δ is the skew of the structured noise that is nearest."""


FILES = (
    "index.html", "diagnosis.json", "diagnosis.png", "diagnosis.svg", "diagnosis.pdf", "per_class.csv",
    "transition.csv", "label_issues.csv",
)  # fmt: skip
"""Names of the files of a diagnosis."""


def write_diagnosis(diagnosis: Diagnosis, folder: Path, command: str) -> Path:
    """Write the page, its plot, and the tables as CSV; return the page.

    Parameters
    ----------
    diagnosis
        The diagnosis.
    folder
        Folder for ``index.html``, ``diagnosis.json``, ``diagnosis.png`` (also SVG, PDF),
        ``per_class.csv``, ``transition.csv`` and ``label_issues.csv``. The tables are empty if nothing
        was learned.
    command
        Command line that made the diagnosis.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    rows = None if diagnosis.learned else 0  # a fit to uninformative predictions is meaningless
    tables = {
        "per_class": diagnosis.per_class[:rows],
        "transition": diagnosis.transition[:rows],
        "label_issues": diagnosis.label_issues[:rows],
    }
    for name, table in tables.items():
        write_output(folder / f"{name}.csv", csv_bytes(table))
    write_json(folder / "diagnosis.json", diagnosis.to_dict())
    plot = publish(draw(diagnosis), folder, "diagnosis") if diagnosis.learned else Plot("", ())
    section = Section(
        name="diagnosis",
        title=f"How noisy are the labels of {diagnosis.name}?",
        summary=" ".join([*diagnosis.details, *diagnosis.caveats]),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"{len(diagnosis.labels):,} labels of {len(diagnosis.classes)} classes. Bars are 95 % "
        "intervals. The whole transition matrix is in transition.csv, all examples by the probability of a "
        "wrong label are in label_issues.csv.",
        method=_method(diagnosis),
        claims=pd.DataFrame(),
        points=_points(tables["per_class"]),
        over_seeds=False,
        runs_title="examples, most probably wrong labels first",
        runs_complete=False,
        runs_file="label_issues.csv",
        runs=tables["label_issues"].head(_MAX_ISSUES),
        notes=(*diagnosis.notes, *plot.notes),
    )
    page = Page(f"Labels of {diagnosis.name}", [section], made_by(command, {}), answer=diagnosis.answer)
    return write(page, folder / "index.html")


def _method(diagnosis: Diagnosis) -> str:
    return _METHOD.format(
        n_models=diagnosis.cross_validation.n_models,
        model=diagnosis.cross_validation.model,
        epochs=diagnosis.cross_validation.epochs,
        p_value=diagnosis.class_conditional_p_value,
        samples=len(diagnosis.bootstrap_fits),
    )


def draw(diagnosis: Diagnosis) -> matplotlib.figure.Figure:
    """Return a figure of the noise rate per class, and of the transition matrix."""
    per_class = diagnosis.per_class.sort_values("n_labels", ascending=False, kind="stable").head(_MAX_NAMED)
    per_class = per_class.sort_index(ascending=False)
    with style():
        figure, (left, right) = new_figure(columns=2, height=max(3.4, 1.2 + 0.22 * len(per_class)))
        _draw_classes(left, diagnosis, per_class)
        _draw_transition(right, diagnosis)
    return figure


def _draw_classes(axis: Axes, diagnosis: Diagnosis, per_class: pd.DataFrame) -> None:
    """Draw the noise rate of each class beside that of all labels."""
    heights = np.arange(len(per_class))
    rate = per_class["noise_rate"]
    axis.axvspan(diagnosis.noise_rate.low, diagnosis.noise_rate.high, color=COLOURS[0], alpha=0.15, lw=0)
    axis.axvline(diagnosis.noise_rate.value, color=COLOURS[0], lw=1.0, ls="--")
    axis.errorbar(
        rate,
        heights,
        xerr=[rate - per_class["low"], per_class["high"] - rate],
        fmt="o",
        color=COLOURS[0],
        capsize=2.5,
        elinewidth=1.1,
    )
    mark_points(axis, _points(per_class), rate, heights, "", COLOURS[0])
    axis.set_yticks(heights, [_shortened(name) for name in per_class["class"]])
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axis.set_xlabel("wrong labels, by true class")
    all_shown = len(diagnosis.classes) <= _MAX_NAMED
    axis.set_title("Each class, and all (dashed)" if all_shown else f"The {_MAX_NAMED} largest classes")


def _draw_transition(axis: Axes, diagnosis: Diagnosis) -> None:
    """Draw the transition matrix, with names and numbers where there is room."""
    matrix, classes = diagnosis.fit.transition, len(diagnosis.classes)
    axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axis.grid(False)
    axis.set_xlabel("noisy label")
    axis.set_ylabel("true class")
    axis.set_title("Transition matrix T, %")
    if classes <= _MAX_NAMED:
        names = [_shortened(name) for name in diagnosis.classes]
        axis.set_xticks(range(classes), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axis.set_yticks(range(classes), names)
    if classes <= _MAX_WRITTEN:
        for (true, noisy), share in np.ndenumerate(matrix):
            ink = "white" if share > 0.5 else INK if share >= 0.005 else QUIET
            axis.text(noisy, true, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=7.5)


def _points(per_class: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the classes that the page shows."""
    points = per_class.rename(columns={"noise_rate": "mean", "n_labels": "labels"})
    points["wrong among these labels (%)"] = (100 * per_class["label_noise_rate"]).round(1)
    return points[["class", "mean", "low", "high", "labels", "wrong among these labels (%)"]]


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
