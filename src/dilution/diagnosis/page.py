"""A diagnosis as a page: the answer, the plot, and how it was found."""

import math
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.diagnosis.result import Diagnosis
from dilution.report.marks import Plot, mark_points
from dilution.report.page import Page, Section, write
from dilution.report.provenance import made_by
from dilution.report.style import COLOURS, INK, QUIET, new_figure, publish, style
from dilution.utils.atomic import write_whole

_DRAWN = 20  # classes that a plot can name
_WRITTEN = 12  # classes whose matrix has its numbers written in
_LISTED = 100  # suspects on the page; the file has all

_METHOD = """\
{networks} networks ({network}, {epochs} epochs, the number that predicted held-out labels best) \
were trained on the noisy labels, each without a part of the examples, which it then predicted. \
Nobody told them which labels are right.

What a network predicts is not the truth, so its own errors are estimated together with those of the \
labels: the surer a network is, the more often labels agree with it, up to a plateau. Where that is \
reached the network is right, and the labels that disagree are wrong. A matrix T of noise and a \
calibration of the networks are fitted to all held-out labels at once by maximum likelihood. It is \
assumed that whether a label is wrong depends on the class of the example and on nothing else (p = \
{misfit:.2g} that labels disagree with this as much as they do), and that of each class right labels \
are the commonest. Each class must have examples that are unmistakable to the networks: where \
classes overlap in the data, or too little was learned, that counts as noise.

Intervals are percentiles of fits to {draws} bootstrap samples of the examples; those of rates, of T and of \
the order are widened to both sides by as much as the answer changes where only the surest examples are \
taken \
to be unmistakable. α is the number of noisy labels added to each clean one at which uniform noise has \
the same rate; δ is the skew of \
the structured noise whose false labels are spread most like these."""


def write_diagnosis(found: Diagnosis, folder: Path, command: str) -> Path:
    """Write the page, its plot, and the tables as CSV; return the page.

    Parameters
    ----------
    found
        The diagnosis.
    folder
        Where ``index.html``, ``diagnosis.png`` (also SVG, PDF), ``classes.csv``, ``matrix.csv`` and
        ``suspects.csv`` go; the first two are empty where nothing was learned.
    command
        What was typed.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    per_class, matrix = found.per_class, found.matrix
    if not found.learned:  # what was fitted to predictions that say nothing says nothing
        per_class, matrix = per_class.head(0), matrix.head(0)
    listed = found.suspects if found.learned else found.suspects.head(0)
    tables = {"classes": per_class, "matrix": matrix, "suspects": listed}
    for name, table in tables.items():
        write_whole(folder / f"{name}.csv", table.to_csv(index=False).encode())
    plot = publish(draw(found), folder, "diagnosis") if found.learned else Plot("", ())
    section = Section(
        name="diagnosis",
        title=f"How noisy are the labels of {found.name}?",
        finding=" ".join([*numbers(found), *found.cautions]),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"{len(found.labels):,} labels of {len(found.classes)} classes. Bars are 95 % intervals. All "
        "of the matrix is in matrix.csv, all examples by suspicion in suspects.csv.",
        method=_METHOD.format(
            networks=found.held_out.networks,
            model=found.held_out.model,
            epochs=found.held_out.epochs,
            misfit=found.misfit,
            draws=len(found.drawn),
        ),
        claims=pd.DataFrame(),
        points=_told(per_class),
        seeded=False,
        runs_title="examples, the most suspect first",
        runs_file="suspects.csv",
        runs=listed.head(_LISTED),
    )
    page = Page(f"Labels of {found.name}", [section], made_by(command, {}), answer=found.answer)
    return write(page, folder / "index.html")


def numbers(found: Diagnosis) -> list[str]:
    """Return what the answer leaves out, one sentence each."""
    if not found.learned:
        return []
    rate, alpha, said = found.rate, found.alpha, []
    said.append(
        f"Noise rate η = {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]; as uniform noise that is α = "
        f"{alpha.value:.2f} [{alpha.low:.2f}, {alpha.high:.2f}] noisy labels for each clean one."
    )
    if found.known_too_few:
        return said
    worst = found.per_class.dropna(subset=["wrong_label"]).sort_values("wrong_label").iloc[-1]
    said.append(
        f"Of the labels that say {worst['class']!r}, {worst['wrong_label']:.0%} "
        f"[{worst['wrong_label_low']:.0%}, {worst['wrong_label_high']:.0%}] are wrong, more than of any "
        "other."
    )
    if found.shape.kind != "undecided":
        delta = found.shape.delta
        said.append(
            f"Skew δ = {delta.value:.2f} [{delta.low:.2f}, {delta.high:.2f}], where 0 is uniform; a class's "
            f"commonest wrong label has {found.shape.gathered:.0%} of its wrong labels."
        )
    if found.order.kind != "undecided":
        order = found.order.correlation
        said.append(
            f"{_ORDERS[found.order.kind]} (correlation {order.value:.2f} [{order.low:.2f}, "
            f"{order.high:.2f}] with the rank of the classes by how near their mean images are, p = "
            f"{found.order.p:.2g})."
        )
    if found.checked:
        share, low, high = found.checked_wrong
        said.append(
            f"Of the {found.checked:,} labels that were checked {share:.0%} [{low:.0%}, {high:.0%}] are "
            "wrong; where they were chosen without regard to suspicion, that is the surer number."
        )
    if not math.isnan(found.counted):
        said.append(f"Counted against the right labels that these data have: {found.counted:.3f}.")
    return said


_ORDERS = {
    "confusing": "Wrong labels name classes that look alike",
    "reverse": "Wrong labels avoid classes that look alike",
    "random": "Wrong labels follow no likeness of the classes",
}


def draw(found: Diagnosis) -> matplotlib.figure.Figure:
    """Draw the share of wrong labels by class, and the matrix."""
    classes = len(found.classes)
    shown = found.per_class.sort_values("labels", ascending=False, kind="stable").head(_DRAWN)
    shown = shown.sort_index(ascending=False)
    with style():
        figure, (left, right) = new_figure(columns=2, height=max(3.4, 1.2 + 0.22 * len(shown)))
        place = np.arange(len(shown))
        left.axvspan(found.rate.low, found.rate.high, color=COLOURS[0], alpha=0.15, lw=0)
        left.axvline(found.rate.value, color=COLOURS[0], lw=1.0, ls="--")
        left.errorbar(
            shown["wrong"],
            place,
            xerr=[shown["wrong"] - shown["low"], shown["high"] - shown["wrong"]],
            fmt="o",
            color=COLOURS[0],
            capsize=2.5,
            elinewidth=1.1,
        )
        mark_points(left, _told(shown), shown["wrong"], place, "", COLOURS[0])
        left.set_yticks(place, [_short(name) for name in shown["class"]])
        left.set_xlim(0, 1)
        left.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        left.set_xlabel("labels that are wrong, by true class")
        left.set_title(
            "Each class, and all (dashed)" if classes <= _DRAWN else f"The {_DRAWN} largest classes"
        )
        matrix = found.found.matrix
        right.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="equal")
        right.grid(False)
        right.set_xlabel("label")
        right.set_ylabel("true class")
        right.set_title("T: labels of a class, %")
        if classes <= _DRAWN:
            names = [_short(name) for name in found.classes]
            right.set_xticks(range(classes), names, rotation=90 if max(map(len, names)) > 2 else 0)
            right.set_yticks(range(classes), names)
        if classes <= _WRITTEN:
            for (true, noisy), share in np.ndenumerate(matrix):
                ink = "white" if share > 0.5 else INK if share >= 0.005 else QUIET
                right.text(
                    noisy, true, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=7.5
                )
    return figure


def _told(per_class: pd.DataFrame) -> pd.DataFrame:
    """Return what the page tells of each class."""
    told = per_class.rename(columns={"wrong": "mean", "labels": "labels that name it"})
    told["wrong among these (%)"] = (100 * per_class["wrong_label"]).round(1)
    return told[["class", "mean", "low", "high", "labels that name it", "wrong among these (%)"]]


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
