"""A plan in sentences and as a page: the answer, the plot, and how it was found."""

import math
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.planning.plan import Plan
from dilution.planning.queries import Answer
from dilution.report.marks import mark_points
from dilution.report.page import Page, write
from dilution.report.provenance import made_by
from dilution.report.section import Section
from dilution.report.style import (
    COLOURS,
    MARKERS,
    legend,
    log_axis,
    new_figure,
    percent_axis,
    publish,
    style,
)
from dilution.utils.atomic import write_atomic

_METHOD = """\
A pilot was trained on these data: networks at several numbers of clean examples and several noise \
levels, the noise added by Dilution, so that it is known. Later runs were placed where they tell \
most about the answer for their cost.

The law fitted to them: the logit of accuracy is a parabola in the logarithm of the clean examples \
that would do as much without noise, n/(1 + κ α)^γ. Theory has κ = γ = 1: then the labels that an \
accuracy takes grow as (1 + α)². Intervals are central 80 % of the laws that the pilot allows. An \
answer is refused where the law would be asked beyond what the pilot can defend. The pilot's noise \
is uniform; noise that gathers on few classes costs more.

{training} A better recipe needs fewer labels; the prices among labels change less."""


def answer(plan: Plan) -> str:
    """Return the answer in one plain sentence."""
    count, alpha = plan.have
    if plan.mix is None:
        why = plan.better.refused or plan.same.refused or "No mixture reaches it."
        target = f"{100 * plan.target:.4g} %"
        return f"This pilot cannot say how to reach {target} of test accuracy on {plan.name}. {why}"
    if count and plan.mix.cost == 0:
        target = f"{100 * plan.target:.4g} %"
        sure = "are" if count >= plan.same.high else "are probably, not surely,"
        return f"The {count:,.0f} labels of noise level α = {alpha:.3g} {sure} enough for {target}."
    same, better = plan.mix.bought
    parts = []
    if round(same):
        parts.append(f"{_rounded(same)} {'more ' if count else ''}labels of noise level α = {alpha:.3g}")
    if round(better):
        parts.append(f"{_rounded(better)} labels of noise level α = {plan.kinds[1].alpha:g}")
    kept = "" if plan.mix.keep or not count else ", leaving the labels that are there aside"
    return (
        f"The cheapest way to {100 * plan.target:.4g} % of test accuracy on {plan.name} is to get "
        f"{' and '.join(parts)}{kept}: about {_rounded(plan.mix.cost)} in the unit of the prices."
    )


def details(plan: Plan) -> list[str]:
    """Return the other answers, one sentence each, with intervals or the reason why there is none."""
    count, alpha = plan.have
    said = []
    if count:
        said.append(_sentence(plan.expected, f"The {count:,.0f} labels as they are give", percent=True))
    said.append(
        _sentence(
            plan.same, f"With labels of α = {alpha:.3g} alone {100 * plan.target:.4g} % takes", unit=" labels"
        )
    )
    better = plan.kinds[1].alpha
    said.append(_sentence(plan.better, f"With labels of α = {better:.3g} alone it takes", unit=" labels"))
    if alpha > 0:
        row = plan.prices[plan.prices["alpha"] == alpha].iloc[0]
        said.append(
            f"A label of noise level α = {alpha:.3g} is worth {row['mean']:.3g} [{row['low']:.3g}, "
            f"{row['high']:.3g}] of a clean one; theory says 1/(1 + α)² = {row['theory']:.3g}. That is "
            f"1/(1 + α)^p with p = {row['exponent']:.2f} [{row['exponent_low']:.2f}, "
            f"{row['exponent_high']:.2f}]."
        )
    tested, least = plan.runs["n_test"].max(), plan.runs["majority_share"].max()
    apart = 1.2816 * math.sqrt(plan.target * (1 - plan.target) / tested)  # 80 % of a normal distribution
    said.append(
        f"Brackets are 80 % intervals. Accuracy was measured on {tested:,.0f} test examples, of which "
        f"naming the commonest class alone gets {least:.1%} right. On other examples like them "
        f"{100 * plan.target:.4g} % comes out up to {100 * apart:.1f} points higher or lower, which the "
        "brackets do not hold."
    )
    return said


def _sentence(found: Answer, start: str, *, percent: bool = False, unit: str = "") -> str:
    if found.refused:
        return f"{start}: no answer. {found.refused}"
    if percent:
        return f"{start} about {found.value:.1%} of test accuracy [{found.low:.1%}, {found.high:.1%}]."
    return f"{start} about {found.value:,.0f} [{found.low:,.0f}, {found.high:,.0f}]{unit}."


def _rounded(count: float) -> str:
    """Return a count to two digits: more would be a pretence."""
    digits = max(0, math.floor(math.log10(max(count, 1))) - 1)
    return f"{round(count, -digits):,.0f}"


def _training(plan: Plan) -> str:
    """Say how the pilot was trained, from its runs."""
    runs = plan.runs
    rates, batches = ([f"{each:g}" for each in sorted(runs[name].unique())] for name in ("lr", "batch_size"))
    passes = runs["steps"] * runs["batch_size"] / (runs["n"] - runs["n_val"])
    order = {"pooled": "all labels of an image at once", "sampled": "one label at a time"}
    return (
        f"Runs take {' or '.join(sorted(runs['optimizer'].str.capitalize().unique()))} at {_range(rates)} "
        f"({' or '.join(sorted(runs['schedule'].unique()))}), batch {_range(batches)}, "
        f"{' or '.join(order.get(each, each) for each in sorted(runs['targets'].unique()))}, "
        f"{_range([f'{passes.min():.0f}', f'{passes.max():.0f}'])} passes over their images, at least "
        f"{runs['steps'].min():.0f} steps."
    )


def _range(values: list[str]) -> str:
    return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def draw(plan: Plan) -> matplotlib.figure.Figure:
    """Draw the runs of the pilot, and the law through them, at each noise level."""
    runs = plan.runs.assign(labels_all=plan.runs["n"] * _factor(plan))
    with style():
        figure, (axis,) = new_figure(height=3.9)
        top = float(runs["labels_all"].max())
        if math.isfinite(plan.same.value):
            top = max(top, 1.3 * plan.same.value)
        for index, (alpha, part) in enumerate(runs.groupby("alpha")):
            colour, level = COLOURS[index % len(COLOURS)], float(str(alpha))
            axis.plot(part["labels_all"], part["test_acc_at_best_clean_val"], MARKERS[index % len(MARKERS)], color=colour,
            ms=4,
                      mec="white", mew=0.5, label=f"{level:g}")  # fmt: skip
            shown = part[["alpha", "n", "seed", "test_acc_at_best_clean_val"]].rename(
                columns={"test_acc_at_best_clean_val": "test accuracy"}
            )
            mark_points(
                axis, shown, part["labels_all"], part["test_acc_at_best_clean_val"], f"{level:g}", colour
            )
            labels = np.geomspace(part["labels_all"].min(), top, 60)
            curves = np.stack([plan.law.accuracy(each / (1 + level), level) for each in labels])
            low, middle, high = np.quantile(curves, [0.1, 0.5, 0.9], axis=1)
            axis.plot(labels, middle, color=colour, lw=1.2)
            axis.fill_between(labels, low, high, color=colour, alpha=0.15, lw=0)
        axis.axhline(plan.target, color="#8a8a8a", lw=0.9, ls=":")
        log_axis(axis, "x")
        axis.set_xlabel("labels, clean and noisy")
        axis.set_ylabel("test accuracy")
        percent_axis(axis)
        legend(axis, title="noise level α", loc="lower right")
    return figure


def _factor(plan: Plan) -> "pd.Series[float]":
    """Return labels for each image of a run: where they are replaced, one."""
    replaced = plan.runs["label_mode"] == "replaced"
    return (1 + plan.runs["alpha"]).where(~replaced, 1.0)


def write_plan(plan: Plan, folder: Path, command: str) -> Path:
    """Write the page, its plot, and the tables as CSV; return the page.

    Parameters
    ----------
    plan
        The plan.
    folder
        Where ``index.html``, ``plan.png`` (also SVG, PDF), ``prices.csv`` and ``pilot.csv`` go.
    command
        What was typed.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    write_atomic(folder / "prices.csv", plan.prices.to_csv(index=False).encode())
    write_atomic(folder / "pilot.csv", plan.runs.to_csv(index=False).encode())
    plot = publish(draw(plan), folder, "plan")
    section = Section(
        name="plan",
        title=f"What does {100 * plan.target:.4g} % on {plan.name} take?",
        summary=" ".join(details(plan)),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"A pilot of {len(plan.runs)} runs, up to {plan.runs['n'].max():,} images and α = "
        f"{plan.law.alpha:g}, {plan.runs['model'].iloc[0]}. Lines are the law, bands its 80 % "
        "intervals; dotted is the target.",
        method=_METHOD.format(training=_training(plan)),
        claims=pd.DataFrame(),
        points=plan.prices,
        runs=plan.runs,
        as_percent=False,
        confidence=80,
        runs_file="pilot.csv",
    )
    page = Page(
        f"A plan for {plan.name}", [section], made_by(command, {"plan": plan.runs}), answer=answer(plan)
    )
    return write(page, folder / "index.html")
