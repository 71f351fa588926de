"""Rules of Figure 10: whether larger batches, a decaying learning rate and the loss Hα withstand noise."""

import itertools
import math

import pandas as pd

from dilution.figures.batch_size_runs import BATCH_SIZES, LIMIT, REFERENCE, SCHEDULES, compared_runs
from dilution.figures.claims import Judgement, decide, difference_estimate, not_testable
from dilution.figures.comparisons import accuracy_drops, list_means
from dilution.study.pairs import by_seed, contrast, mean_interval
from dilution.study.statistics import intervals, rounding_deviation

_ORDER = [str(size) for size in BATCH_SIZES]
_LOG2 = [math.log2(size) for size in BATCH_SIZES]
_SLOPE = {
    size: (x - sum(_LOG2) / len(_LOG2)) / sum((other - sum(_LOG2) / len(_LOG2)) ** 2 for other in _LOG2)
    for size, x in zip(_ORDER, _LOG2, strict=True)
}
"""Batch size → weight of its accuracy in the slope of accuracy per doubling of the batch size."""


def _at_largest_alpha(table: pd.DataFrame, budget: str, schedule: str) -> pd.DataFrame | None:
    """Return the runs at the largest alpha; None if batch sizes, noise or seeds are missing."""
    runs = compared_runs(table)
    runs = runs[(runs["budget"] == budget) & (runs["schedule"] == schedule) & (runs["batch"] != LIMIT)]
    last = runs[runs["alpha"] == runs["alpha"].max()]
    lacking = set(last["batch"]) != set(_ORDER) or not (last["alpha"] > 0).all() or last["seed"].nunique() < 2
    return None if lacking else last


_REQUIRED = "all batch sizes at α > 0 with {budget} and a {schedule}, and at least 2 seeds"


def larger_is_better(table: pd.DataFrame, budget: str) -> Judgement:
    """Judge whether accuracy rises with the batch size at a constant learning rate."""
    last = _at_largest_alpha(table, budget, "constant")
    if last is None:
        return not_testable("requires " + _REQUIRED.format(budget=budget, schedule=SCHEDULES["constant"]))
    values, rounding = by_seed(last, "batch"), rounding_deviation(last)
    slope = contrast(values, _SLOPE, rounding=rounding)
    falls = []
    for smaller, larger in itertools.pairwise(_ORDER):
        step = contrast(values, {larger: 1.0, smaller: -1.0}, rounding=rounding)
        if step.high < 0:
            falls.append(f"from {smaller} to {larger} {difference_estimate(step)}")
    labels = {size: f"batch size {size}" for size in _ORDER}
    means = intervals(last, by=["batch"]).set_index("batch").loc[_ORDER].reset_index()
    numbers = (
        f"α = {last['alpha'].iloc[0]:g}: {list_means(means, 'batch', labels)}; "
        f"{difference_estimate(slope)} per doubling of the batch size"
    )
    return decide(slope.low > 0 and not falls, numbers + (f"; falling: {'; '.join(falls)}" if falls else ""))


def decay_replaces_batch(table: pd.DataFrame) -> Judgement:
    """Judge whether the batch size matters less with a decaying learning rate."""
    parts = {schedule: _at_largest_alpha(table, "equal examples", schedule) for schedule in SCHEDULES}
    for schedule, part in parts.items():
        if part is None:
            return not_testable(
                "requires " + _REQUIRED.format(budget="equal examples", schedule=SCHEDULES[schedule])
            )
    runs = pd.concat([part for part in parts.values() if part is not None], ignore_index=True)
    if runs["alpha"].nunique() > 1:
        return not_testable("requires both schedules at the largest α")
    values = by_seed(runs.assign(setting=runs["schedule"] + runs["batch"]), "setting")
    rounding = rounding_deviation(runs)
    weights = {
        schedule: {f"{schedule}{size}": weight for size, weight in _SLOPE.items()} for schedule in SCHEDULES
    }
    constant, decaying = (contrast(values, weights[schedule], rounding=rounding) for schedule in SCHEDULES)
    less = weights["constant"] | {name: -weight for name, weight in weights["linear"].items()}
    gap = contrast(values, less, rounding=rounding)
    numbers = (
        f"α = {runs['alpha'].iloc[0]:g}: per doubling of the batch size {difference_estimate(constant)} at a "
        f"constant and {difference_estimate(decaying)} at a decaying learning rate, difference "
        f"{difference_estimate(gap)}"
    )
    return decide(gap.low > 0, numbers)


def limit_hardly_drops(table: pd.DataFrame) -> Judgement:
    """Judge whether accuracy drops much less with Hα than at batch size 128."""
    runs = compared_runs(table)
    runs = runs[(runs["budget"] == "equal examples") & (runs["schedule"] == "constant")]
    drops = accuracy_drops(runs, by=["batch"])
    drops = drops[drops["alpha"] == drops["alpha"].max()]
    if drops.empty or not {LIMIT, str(REFERENCE)} <= set(drops["batch"]) or drops["seed"].nunique() < 2:
        return not_testable("requires Hα and batch size 128 at α = 0 and α > 0, and at least 2 seeds")
    alpha = drops["alpha"].iloc[0]
    values, rounding = by_seed(drops, "batch", "drop"), rounding_deviation(runs, "drop")
    limit, finite = (mean_interval(values[name], rounding=rounding) for name in (LIMIT, str(REFERENCE)))
    if finite.value <= 0:
        return not_testable(f"accuracy at batch size 128 does not drop at α = {alpha:g}")
    excess = contrast(values, {LIMIT: 1.0, str(REFERENCE): -0.25}, rounding=rounding)
    numbers = (
        f"α = {alpha:g}: drop with Hα {difference_estimate(limit)}, at batch size 128 "
        f"{difference_estimate(finite)}; drop with Hα minus a quarter of the other "
        f"{difference_estimate(excess)}"
    )
    return decide(excess.high < 0, numbers)
