"""The page of an advice and its recipe file: the answer, the plot, the method, and the tables as CSV."""

from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dilution.advice.explain import noise_text
from dilution.advice.result import Advice
from dilution.report.json_file import write_json
from dilution.report.marks import mark_points
from dilution.report.page import Page, write
from dilution.report.provenance import made_by
from dilution.report.section import Section
from dilution.report.style import COLOURS, MARKERS, QUIET, legend_below, log_axis, new_figure, publish, style
from dilution.training.recipes import recipe_text
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import write_output

_METHOD = """\
The gradient noise scale is tr Σ / |G|²: the batch size at which the scatter of a batch's gradient is as \
large as the gradient itself (McCandlish et al. 2018). It is measured at each noise level on one model, \
which has learned half of what a short training without added noise teaches it; the model's predictions \
are mixed with the noise as the labels are. Bars are 95 % intervals by the jackknife over disjoint parts \
of the examples; a bar without an upper end means that the gradient cannot be told from zero. The batch size \
is the power of two nearest to the noise scale that leaves enough steps in the budget.

The learning rate is searched by successive halving: five learning rates, and further ones beyond an edge \
that wins, at an eighth of the budget, the better half at a quarter, and again at half of it, with two \
seeds each. {compared} are compared at the whole budget with three seeds; the \
value that theory or habit proposes is kept unless the other one is better by more than a standard error. \
All of this is judged by the lowest cross entropy on noisy validation labels that a run reaches. The \
checkpoint to keep is the last step or the step with that lowest cross entropy, whichever has the higher \
accuracy on noisy validation labels, which does not depend on the model's confidence. The test split chose \
nothing."""


def write_advice(advice: Advice, folder: Path, command: str) -> Path:
    """Write the page, its plot, the recipe and the tables; return the page.

    Parameters
    ----------
    advice
        The advice.
    folder
        Folder for ``index.html``, ``advice.json``, ``advice.png`` (also SVG, PDF), ``recipe.toml``,
        ``noise_scales.csv``, ``lrs.csv`` and ``runs.csv``.
    command
        Command line that made the advice.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    reasons = advice.reasons
    write_output(folder / "recipe.toml", recipe_text(advice.recipe, reasons).encode())
    tables = {"noise_scales": advice.noise_scale_table, "lrs": advice.lr_trials, "runs": advice.runs}
    for name, table in tables.items():
        write_output(folder / f"{name}.csv", csv_bytes(table))
    write_json(folder / "advice.json", advice.to_dict())
    plot = publish(draw(advice), folder, "advice")
    why = [f"{name.replace('_', ' ').capitalize()}. {reason}" for name, reason in reasons.items()]
    section = Section(
        name="advice",
        title=f"How to train {advice.run.model} on {advice.name}",
        summary=" ".join(advice.details),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"{_describe_labels(advice)}; budget {advice.n_images:,} examples. The recipe is in "
        f"recipe.toml; use it with --recipe.{_left_off(advice)}",
        method="\n\n".join([*why, _METHOD.format(compared=compared_settings(advice))]),
        claims=pd.DataFrame(),
        points=advice.noise_scale_table,
        points_title="Gradient noise scale, with 95 % intervals",
        runs=advice.runs,
        runs_file="runs.csv",
        as_percent=False,
        notes=(*advice.notes, *plot.notes),
    )
    provenance = made_by(command, {"the search": advice.search_runs})
    page = Page(f"Advice for {advice.name}", [section], provenance, answer=advice.answer)
    return write(page, folder / "index.html")


def _describe_labels(advice: Advice) -> str:
    if advice.noise_scales[-1].alpha:
        return f"{advice.run.n:,} clean examples, {noise_text(advice)}"
    return f"{advice.run.n:,} examples with their labels as they are"


def _left_off(advice: Advice) -> str:
    """Return a sentence on the noise scales that the plot cannot show, with a space before it."""
    infinite = int(np.isinf(advice.noise_scale_table["mean"]).sum())
    return f" Infinite noise scales, which the plot leaves out: {infinite}." if infinite else ""


def draw(advice: Advice) -> matplotlib.figure.Figure:
    """Return a figure of the noise scale by noise level, and of the search of the learning rate."""
    with style():
        figure, (left, right) = new_figure(columns=2, height=3.8)
        _draw_noise_scales(left, advice)
        _draw_lrs(right, advice)
    return figure


def _draw_noise_scales(axis: Axes, advice: Advice) -> None:
    """Draw the noise scale of labels and of images against the noise level, beside that of theory."""
    for index, (unit, scales) in enumerate(advice.noise_scale_table.groupby("gradient_of", sort=False)):
        if index and not advice.noise_scales[-1].alpha:
            continue  # each example has one label: both are the same
        finite = scales[np.isfinite(scales["mean"])]
        x, mean = 1 + finite["alpha"], finite["mean"]
        high = finite["high"].where(np.isfinite(finite["high"]), mean)
        axis.errorbar(
            x,
            mean,
            yerr=[mean - finite["low"], high - mean],
            fmt=MARKERS[index],
            color=COLOURS[index],
            capsize=2.5,
            elinewidth=1.1,
            label=str(unit),
        )
        mark_points(axis, finite, x, mean, str(unit), COLOURS[index])
    first, last = advice.noise_scales[0], advice.noise_scales[-1]
    log_axis(axis, "y")
    axis.set_xticks([])
    axis.set_xlabel("labels as they are")
    if last.alpha > first.alpha:
        ends = np.array([1 + first.alpha, 1 + last.alpha])
        theory = first.label.value * (ends / ends[0]) ** 2
        axis.plot(ends, theory, color=QUIET, ls="--", lw=1.0, label="(1 + α)²")
        log_axis(axis, "x")
        axis.set_xlabel("1 + α, labels per clean label")
    axis.set_ylabel("gradient noise scale, examples")
    axis.set_title("Batch size at which gradients agree")
    legend_below(axis, title="gradient of")


def _draw_lrs(axis: Axes, advice: Advice) -> None:
    """Draw how much higher than the best the loss of each learning rate was, per round of the search."""
    for index, (fraction, trials) in enumerate(advice.lr_trials.groupby("budget_fraction")):
        finite = trials[np.isfinite(trials["loss"])].sort_values("lr")
        excess = 1000 * (finite["loss"] - finite["loss"].min())
        label = f"{float(str(fraction)):g}"
        axis.plot(finite["lr"], excess, f"{MARKERS[index]}-", color=COLOURS[index], label=label, lw=1.2, ms=4)
        mark_points(axis, finite, finite["lr"], excess, label, COLOURS[index])
    log_axis(axis, "x")
    axis.set_xlabel("learning rate")
    axis.set_ylabel("loss above the lowest, 10⁻³ nats")
    axis.set_title("Loss on noisy validation labels")
    legend_below(axis, title="share of the budget")


def compared_settings(advice: Advice) -> str:
    """Return what is compared at the whole budget; data that cannot be shifted have two settings."""
    shifts = any(comparison.setting == "translate" for comparison in advice.comparisons)
    return "Schedule, EMA decay and image shifts" if shifts else "Schedule and EMA decay"
