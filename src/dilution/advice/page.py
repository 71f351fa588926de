"""Advice as a page and a recipe file: the answer, the plot, and how it was found."""

from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.advice.advise import Advice
from dilution.advice.explain import answer, growth, reasons
from dilution.report.marks import mark_points
from dilution.report.page import Page, write
from dilution.report.provenance import made_by
from dilution.report.section import Section
from dilution.report.style import COLOURS, MARKERS, QUIET, legend, log_axis, new_figure, publish, style
from dilution.training.recipes import recipe_text
from dilution.utils.atomic import write_atomic

_METHOD = """\
The gradient noise scale is tr Σ / |G|²: the batch at which the scatter of its gradient is as large as the \
gradient itself (McCandlish et al. 2018). It is measured on one network, which has learned half of what a \
short training without added noise teaches it, at each noise level; what it predicts is mixed with the \
noise as the labels are. Bars are 95 % intervals by the jackknife over disjoint parts of the images; one \
without an upper end does not tell the gradient from zero. The batch is the power of two nearest to the \
noise scale, if the budget then has steps enough.

The rate is searched by successive halving: five rates, and further ones beyond an edge that wins, at an \
eighth of the budget, the better ones at twice as much, and again, two seeds each. Schedule, average and \
shifts are compared at the whole budget with three seeds; what theory or habit proposes is kept unless the \
other is better by more than a standard error. All of it is judged on noisy validation labels, by the least \
cross entropy that a training reaches. Which weights are kept is decided between the last and those of the \
least cross entropy, by the share of the noisy validation labels that they name: that does not count how \
sure a network is of itself. The test set chose nothing."""


def write_advice(advice: Advice, folder: Path, command: str) -> Path:
    """Write the page, its plot, the recipe and the tables; return the page.

    Parameters
    ----------
    advice
        The advice.
    folder
        Where ``index.html``, ``advice.png`` (also SVG, PDF), ``recipe.toml``, ``scales.csv``, ``rates.csv``
        and
        ``runs.csv`` go.
    command
        What was typed.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    why = reasons(advice)
    write_atomic(folder / "recipe.toml", recipe_text(advice.recipe, why).encode())
    tables = {"scales": advice.scale_table, "rates": advice.trials, "runs": advice.runs}
    for name, table in tables.items():
        write_atomic(folder / f"{name}.csv", table.to_csv(index=False).encode())
    plot = publish(draw(advice), folder, "advice")
    run = advice.run
    section = Section(
        name="advice",
        title=f"How to train {run.model} on {advice.name}",
        summary=growth(advice),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"{run.n:,} {_labels(advice)}, {advice.images:,} "
        "images through the network. The recipe is in recipe.toml; use it with --recipe.",
        method="\n\n".join([*(f"{name.capitalize()}. {said}" for name, said in why.items()), _METHOD]),
        claims=pd.DataFrame(),
        points=advice.scale_table,
        runs=advice.runs,
        runs_file="runs.csv",
        as_percent=False,
    )
    page = Page(
        f"Advice for {advice.name}",
        [section],
        made_by(command, {"the search": advice.searched}),
        answer=answer(advice),
    )
    return write(page, folder / "index.html")


def _labels(advice: Advice) -> str:
    alpha = advice.scales[-1].alpha
    return f"clean examples, α = {alpha:g}" if alpha else "examples, their labels as they are given"


def draw(advice: Advice) -> matplotlib.figure.Figure:
    """Draw the noise scale against the noise, and the search of the rate."""
    with style():
        figure, (left, right) = new_figure(columns=2, height=3.4)
        for index, (kind, part) in enumerate(advice.scale_table.groupby("gradient of", sort=False)):
            told = part[np.isfinite(part["mean"])]
            high = told["high"].where(np.isfinite(told["high"]), told["mean"])
            x = 1 + told["alpha"]
            left.errorbar(
                x,
                told["mean"],
                yerr=[told["mean"] - told["low"], high - told["mean"]],
                fmt=MARKERS[index],
                color=COLOURS[index],
                capsize=2.5,
                elinewidth=1.1,
                label=str(kind),
            )
            mark_points(left, told, x, told["mean"], str(kind), COLOURS[index])
        first, last = advice.scales[0], advice.scales[-1]
        log_axis(left, "y")
        left.set_xticks([])
        left.set_xlabel("labels as they are given")
        if last.alpha > first.alpha:
            ends = np.array([1 + first.alpha, 1 + last.alpha])
            left.plot(
                ends, first.label * (ends / ends[0]) ** 2, color=QUIET, ls="--", lw=1.0, label="(1 + α)²"
            )
            log_axis(left, "x")
            left.set_xlabel("1 + α, labels for each clean one")
        left.set_ylabel("gradient noise scale, examples")
        left.set_title("Where gradients agree")
        legend(left, title="gradient of")
        _draw_rates(right, advice)
    return figure


def _draw_rates(axis: "matplotlib.axes.Axes", advice: Advice) -> None:
    """Draw how much worse than the best of its rung each rate was."""
    for index, (share, part) in enumerate(advice.trials.groupby("share")):
        shown = part[np.isfinite(part["loss"])].sort_values("lr")
        above = 1000 * (shown["loss"] - shown["loss"].min())
        name = f"{float(str(share)):g} of the budget"
        axis.plot(shown["lr"], above, f"{MARKERS[index]}-", color=COLOURS[index], label=name, lw=1.2, ms=4)
        mark_points(axis, shown, shown["lr"], above, name, COLOURS[index])
    log_axis(axis, "x")
    axis.set_xlabel("learning rate")
    axis.set_ylabel("loss above the best, 10⁻³ nats")
    axis.set_title("Rates on noisy validation labels")
    legend(axis)
