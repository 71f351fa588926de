"""The page of a diagnosis: the answer, the plot, the method, and the tables as CSV."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dilution.data.registry import own_source
from dilution.data.sources import TableSource
from dilution.diagnosis.clean_labels import CleanLabels
from dilution.diagnosis.file_names import CHANGES_FILE
from dilution.diagnosis.held_out_file import NAME as HELD_OUT_FILE
from dilution.diagnosis.held_out_file import held_out_bytes
from dilution.diagnosis.issues_file import NAME as ISSUES_FILE
from dilution.diagnosis.issues_file import issue_rows, write_issues
from dilution.diagnosis.origin import ExamplesOrigin
from dilution.diagnosis.pooled_fit import PooledFit
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
_FULL_SIZE = 14  # classes whose names beside a matrix have the size of other texts; of more, smaller
_MAX_WRITTEN = 12  # classes whose matrix shows its numbers
_MAX_ISSUES = 100  # label issues on the page; the file has all
_MAX_LISTED = 200  # classes in the table of the page; the file has all
_NAME_LENGTH = 14
_CELL_LENGTH = 200  # characters of a text in a table of the page
_NOT_LISTED = (
    "is_issue",
    "weight",
    "state",
    "verified_label",
)  # columns that are the same in all rows, or follow

_FIRST_LISTED = ("id", "given_label", "suggested_label", "p_wrong", "p_suggested")  # a page is narrow

_TRAINED = """\
{n_models} models ({model}, {epochs} epochs, the number that predicted held-out labels best) were trained \
on the noisy labels by cross-validation: each model predicts examples whose labels it never saw. No \
true label was used{verified}."""

_REGRESSIONS = """\
{n_models} models ({model}, with the penalty that predicted held-out labels best) were fitted to the noisy \
labels by cross-validation: each model predicts examples whose labels it never saw. No true label was \
used{verified}."""

_GIVEN = """\
The probabilities of the labels were given ({model}); no model was trained. They are taken to be held out: \
of models that never saw the label of the example that they predict."""

_METHOD = """\
{predictions}

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


def write_diagnosis(
    diagnosis: Diagnosis,
    folder: Path,
    command: str,
    *,
    columns: Sequence[str] = (),
    clean: CleanLabels | None = None,
) -> Path:
    """Write the page, its plot, and the tables as CSV; return the page.

    Parameters
    ----------
    diagnosis
        The diagnosis.
    folder
        Folder for ``index.html``, ``diagnosis.json``, ``diagnosis.png`` (also SVG, PDF),
        ``per_class.csv``, ``transition.csv``, ``label_issues.csv`` and ``held_out.npz``, the predictions and
        noise fits from which ``fit`` and ``advise`` go on. If nothing was learned, the tables are
        empty, but for labels that somebody has looked up.
    command
        Command line that made the diagnosis.
    columns
        Columns of the table that ``label_issues.csv`` has too; ``("all",)`` for all.
    clean
        Clean labels: the data with them are written as ``cleaned.csv`` or in the format of the data, and what
        was changed as ``cleaning.csv``.

    Raises
    ------
    InputError
        If a column does not exist, or a file is not of this program and may not be replaced.
    DilutionError
        If a file cannot be written.
    """
    rows = None if diagnosis.learned else 0  # a fit to uninformative predictions is meaningless
    tables = {"per_class": diagnosis.per_class[:rows], "transition": diagnosis.transition[:rows]}
    issues = issue_rows(diagnosis, columns)
    for name, table in tables.items():
        write_output(folder / f"{name}.csv", csv_bytes(table))
    cleaning = None if clean is None else clean.to_dict()
    if clean is not None:
        origin = diagnosis.origin or ExamplesOrigin()
        write_output(folder / origin.cleaned_name, origin.cleaned(clean, folder))
        write_output(folder / CHANGES_FILE, csv_bytes(clean.changes))
    held_out = held_out_bytes(diagnosis)
    if held_out is not None:
        write_output(folder / HELD_OUT_FILE, held_out)
    write_json(folder / "diagnosis.json", {**diagnosis.to_dict(), "cleaning": cleaning})
    plot = publish(draw(diagnosis), folder, "diagnosis") if diagnosis.learned else Plot("", ())
    sentences = [*diagnosis.details, *diagnosis.caveats, *(clean.sentences if clean is not None else ())]
    section = Section(
        name="diagnosis",
        title=f"How noisy are the labels of {_without_options(diagnosis.name)}?",
        summary=" ".join(sentences),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"{len(diagnosis.labels):,} labels of {len(diagnosis.classes)} classes. Bars are 95 % "
        f"intervals. {_files(diagnosis)}, all examples by the probability of a wrong label are in "
        "label_issues.csv.",
        method=_method(diagnosis),
        claims=pd.DataFrame(),
        points=_with_short_names(_points(_largest(tables["per_class"]))),
        points_title="Noise of each class, with 95 % intervals",
        over_seeds=False,
        runs_title="examples, most probably wrong labels first",
        runs_complete=False,
        runs_file=ISSUES_FILE,
        runs=_listed(issues),
        notes=(*diagnosis.notes, *plot.notes),
    )
    page = Page(
        f"Labels of {_without_options(diagnosis.name)}",
        [section],
        made_by(command, {}),
        answer=diagnosis.answer,
    )
    path = write(page, folder / "index.html")
    write_issues(diagnosis, issues, folder)  # the last one, since it may be refused
    return path


def _listed(issues: pd.DataFrame) -> pd.DataFrame:
    """Return the label issues that the page lists: the first ones that nobody has looked up."""
    unverified = issues[issues["state"] == ""].head(_MAX_ISSUES)
    first = [name for name in _FIRST_LISTED if name in unverified]
    others = [name for name in unverified.columns if name not in (*first, *_NOT_LISTED)]
    return _with_short_names(unverified[[*first, *others]])


def _without_options(name: str) -> str:
    """Return the name of data without the roles of columns behind its ``#``, which the command has."""
    source = own_source(name) if "#" in name else None
    return name.removesuffix(f"#{source.options}") if isinstance(source, TableSource) else name


def _files(diagnosis: Diagnosis) -> str:
    """Return what the tables of classes and entries have that the page does not show."""
    if not isinstance(diagnosis.fit, PooledFit):
        return "The whole transition matrix is in transition.csv"
    entries = (
        "transition.csv has the right label of each class, and wrong ones more frequent than an even "
        "spread and have 0.5 % or more"
    )
    if len(diagnosis.classes) <= _MAX_LISTED:
        return entries
    return f"The page lists the {_MAX_LISTED} largest classes, per_class.csv has all; {entries}"


def _largest(per_class: pd.DataFrame) -> pd.DataFrame:
    """Return the classes that the page lists, in their order."""
    return per_class.sort_values("n_labels", ascending=False, kind="stable").head(_MAX_LISTED).sort_index()


def _with_short_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for the page, in which long texts are cut; the files have them whole."""
    return table.map(
        lambda cell: f"{cell[:_CELL_LENGTH]}…" if isinstance(cell, str) and len(cell) > _CELL_LENGTH else cell
    )


def _method(diagnosis: Diagnosis) -> str:
    held_out = diagnosis.cross_validation
    trained = _TRAINED if held_out.epochs else _REGRESSIONS
    predictions = (trained if held_out.n_models else _GIVEN).format(
        n_models=held_out.n_models,
        model=held_out.model,
        epochs=held_out.epochs,
        verified=f", but the {diagnosis.n_verified:,} that were verified" if diagnosis.n_verified else "",
    )
    return _METHOD.format(
        predictions=predictions,
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
    """Draw the transition matrix, with names and numbers where there is room; of many classes their rates."""
    if isinstance(diagnosis.fit, PooledFit):
        _draw_label_rates(axis, diagnosis)
        return
    matrix, classes = diagnosis.fit.transition, len(diagnosis.classes)
    axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axis.grid(False)
    axis.set_xlabel("noisy label")
    axis.set_ylabel("true class")
    axis.set_title("Transition matrix T, %", loc="right")  # wider than the matrix beside long names
    if classes <= _MAX_NAMED:
        names = [_shortened(name) for name in diagnosis.classes]
        size = matplotlib.rcParams["ytick.labelsize"] * min(1.0, _FULL_SIZE / classes)
        axis.tick_params(labelsize=size)
        axis.set_xticks(range(classes), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axis.set_yticks(range(classes), names)
    if classes <= _MAX_WRITTEN:
        for (true, noisy), share in np.ndenumerate(matrix):
            ink = "white" if share > 0.5 else INK if share >= 0.005 else QUIET
            axis.text(noisy, true, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=7.5)


def _draw_label_rates(axis: Axes, diagnosis: Diagnosis) -> None:
    """Draw how many labels have which share of wrong ones, in place of a matrix of millions of entries."""
    axis.hist(diagnosis.per_class["label_noise_rate"], bins=np.linspace(0, 1, 41).tolist(), color=COLOURS[0])
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axis.set_xlabel("wrong labels, by label")
    axis.set_ylabel("number of classes")
    axis.set_title(f"The labels of {len(diagnosis.classes):,} classes")


def _points(per_class: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the classes that the page shows."""
    points = per_class.rename(columns={"noise_rate": "mean", "n_labels": "labels"})
    points["wrong among these labels (%)"] = (100 * per_class["label_noise_rate"]).round(1)
    return points[["class", "mean", "low", "high", "labels", "wrong among these labels (%)"]]


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
