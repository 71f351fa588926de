"""Figure 10: accuracy against the noise level for several batch sizes, and for their limit, the loss Hα."""

import itertools
import math
from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    LEARNING_RATES,
    MEANS_OVER_SEEDS,
    SELECTED_STEP,
    Figure,
    FigureInputs,
    Grids,
    Preset,
    PresetName,
)
from dilution.figures.claims import (
    Claim,
    Judgement,
    decide,
    difference_estimate,
    not_testable,
    percent_interval,
)
from dilution.figures.comparisons import accuracy_drops, accuracy_lines, list_means
from dilution.figures.paper_scale import LR_RULE, PAPER_SETTINGS, PROVISIONAL_LR, LrSearch
from dilution.report.style import ALPHA_LABEL, legend, new_figure, style
from dilution.study.pairs import by_seed, contrast, mean_interval
from dilution.study.run_spec import Run
from dilution.study.statistics import best_lr, intervals, rounding_deviation

BATCH_SIZES = (32, 64, 128, 256)
LIMIT = "∞"
LABELS = {str(size): str(size) for size in BATCH_SIZES} | {LIMIT: "∞ (Hα)"}
REFERENCE = 128
"""The batch size whose length the others must have."""
SCHEDULES = {"constant": "constant learning rate", "linear": "decaying learning rate"}
_BY = ["budget", "schedule", "batch", "alpha"]


def _grids(base: dict[str, Any], n_examples: int, axes: dict[str, list[Any]]) -> Grids:
    """Return runs that train on the same number of examples (of images for Hα) at every batch size."""
    finite: Grids = [
        ({**base, "batch_size": size, "steps": n_examples // size}, axes) for size in BATCH_SIZES
    ]
    limit = {**base, "targets": "expected", "batch_size": 128, "steps": n_examples // 128}
    return [*finite, (limit, axes)]


def _paper(inputs: FigureInputs) -> Grids:
    """Return runs on equally many examples; at the ends of α also on equally many steps, and decaying."""
    base = {**paper_base(inputs), "lr": PROVISIONAL_LR}
    ends: dict[str, list[Any]] = {"alpha": [PAPER_ALPHAS[0], PAPER_ALPHAS[-1]]}
    steps = PAPER_EXAMPLES // 128
    decaying = {**base, "schedule": "linear"}
    equal_steps = [
        ({**settings, "batch_size": size, "steps": steps}, ends)
        for settings in (base, decaying)
        for size in BATCH_SIZES
        if size != 128  # that one has equally many examples too
    ]
    return [
        *_grids(base, PAPER_EXAMPLES, {"alpha": list(PAPER_ALPHAS)}),
        *_grids(decaying, PAPER_EXAMPLES, ends),
        *equal_steps,
    ]


def _searched_length(run: Run) -> dict[str, Any]:
    """Return the settings in which a learning rate is searched: those of equally many examples."""
    return {"steps": PAPER_EXAMPLES // run.batch_size}


def demo_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the demo preset."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(300, inputs.n_available), "n_evals": 4}


def laptop_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the laptop preset."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(1_000, inputs.n_available), "n_evals": 4}


def paper_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the paper preset, without steps."""
    base = {**PAPER_SETTINGS, "model": "conv2", "n": inputs.n_available}
    return {name: value for name, value in base.items() if name != "batch_size"}


DEMO_EXAMPLES, LAPTOP_EXAMPLES, PAPER_EXAMPLES = 25_600, 64_000, 24_000 * 128
DEMO_AXES: dict[str, list[Any]] = {"alpha": [0.0, 5.0], "lr": [0.1, 0.5]}
LAPTOP_AXES: dict[str, list[Any]] = {"alpha": [0.0, 20.0], "lr": list(LEARNING_RATES)}
PAPER_ALPHAS = (0.0, 5.0, 10.0, 20.0, 50.0, 100.0)

_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        lambda inputs: _grids(demo_base(inputs), DEMO_EXAMPLES, DEMO_AXES),
        "Demo preset: n = 300, α up to 5, 25,600 training examples per run at every batch size, the better "
        "of two learning rates by clean validation accuracy. The paper uses MNIST and four learning rates.",
    ),
    "laptop": Preset(
        lambda inputs: _grids(laptop_base(inputs), LAPTOP_EXAMPLES, LAPTOP_AXES),
        "Laptop preset: n = 1,000, α = 0 and 20, 64,000 training examples per run at every batch size (three "
        "passes at α = 20), Adadelta at the best of four learning rates by clean validation accuracy. The "
        "paper uses more clean examples and longer training.",
    ),
    "paper": Preset(
        _paper,
        "Paper preset: sampled targets (one label at a time), Adadelta at a constant learning rate, "
        f"{PAPER_EXAMPLES:,} training examples per run at every batch size. Further runs at the smallest and "
        f"the largest α take {PAPER_EXAMPLES // 128:,} steps at every batch size, or a learning rate that "
        f"falls linearly to 0 over the last 70 % of the steps. {LR_RULE} Runs of another length use that "
        "of equally many examples.",
        seeds=5,
        lr_search=LrSearch(_searched_length),
    ),
}


def equal_examples(table: pd.DataFrame, schedule: str = "constant") -> pd.DataFrame:
    """Return the runs of a schedule that train on as many examples as those with batch size 128.

    Less than a batch may be missing, since steps are whole numbers.
    """
    runs = table[table["schedule"] == schedule]
    examples = runs["steps"] * runs["batch_size"]
    missing = (examples - examples[runs["batch_size"] == REFERENCE].max()).abs()
    return runs[missing < runs["batch_size"]]


def equal_steps(table: pd.DataFrame, schedule: str = "constant") -> pd.DataFrame:
    """Return the runs of a schedule that take as many steps as those with batch size 128."""
    runs = table[table["schedule"] == schedule]
    return runs[runs["steps"] == runs.loc[runs["batch_size"] == REFERENCE, "steps"].max()]


BUDGETS = {"equal examples": equal_examples, "equal steps": equal_steps}
"""What is equal at every batch size → function that selects such runs."""


def _compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best learning rate with the columns of `_BY`, where batch sizes are compared.

    ``batch`` is the batch size, or the limit. A run may belong to both budgets.
    """
    parts = []
    for schedule in SCHEDULES:
        for budget, select in BUDGETS.items():
            runs = select(table, schedule)
            batch = runs["batch_size"].astype(str).where(runs["targets"] != "expected", LIMIT)
            if len(set(batch) - {LIMIT}) > 1:
                parts.append(runs.assign(budget=budget, batch=batch))
    return (
        best_lr(pd.concat(parts, ignore_index=True), by=_BY)
        if parts
        else table.iloc[:0].assign(budget="", batch="")
    )


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per budget, schedule, batch size and alpha, and the best learning rate."""
    runs = _compared(table)
    lr = runs.groupby(_BY)["lr"].first().rename("best_lr").reset_index()
    return intervals(runs, by=_BY).merge(lr, on=_BY)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per batch size, one panel per budget and schedule."""
    panels = [
        (f"{budget}, {name}", part)
        for schedule, name in SCHEDULES.items()
        for budget in BUDGETS
        if len(part := points[(points["budget"] == budget) & (points["schedule"] == schedule)])
    ]
    columns = min(2, len(panels))
    with style():
        figure, axes = new_figure(columns=columns, rows=-(-len(panels) // columns), height=3.7)
        for axis, (title, part) in zip(axes, panels, strict=False):
            accuracy_lines(axis, part, "alpha", "batch", LABELS, offset=0.008)
            axis.set_title(title)
            axis.set_xlabel(ALPHA_LABEL if columns == 1 else "noise level α")
            axis.set_ylabel("test accuracy")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        legend(axes[0], title="batch size", loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy of the smallest batch size, the largest and the limit at the largest alpha."""
    first = points[(points["budget"] == "equal examples") & (points["schedule"] == "constant")]
    if first.empty:
        return "No batch sizes with equal numbers of examples at a constant learning rate."
    last = first[first["alpha"] == first["alpha"].max()].set_index("batch")
    smallest, largest, limit = (
        percent_interval(*last.loc[name, ["mean", "low", "high"]].astype(float))
        for name in ("32", "256", LIMIT)
    )
    return (
        f"At equal numbers of examples test accuracy is {smallest} at batch size 32, {largest} at batch size "
        f"256 and {limit} in the limit of infinite batches (Hα), with {first['alpha'].max():g} noisy labels "
        "per clean label."
    )


_ORDER = [str(size) for size in BATCH_SIZES]
_LOG2 = [math.log2(size) for size in BATCH_SIZES]
_SLOPE = {
    size: (x - sum(_LOG2) / len(_LOG2)) / sum((other - sum(_LOG2) / len(_LOG2)) ** 2 for other in _LOG2)
    for size, x in zip(_ORDER, _LOG2, strict=True)
}
"""Batch size → weight of its accuracy in the slope of accuracy per doubling of the batch size."""


def _at_largest_alpha(table: pd.DataFrame, budget: str, schedule: str) -> pd.DataFrame | None:
    """Return the runs at the largest alpha; None if batch sizes, noise or seeds are missing."""
    runs = _compared(table)
    runs = runs[(runs["budget"] == budget) & (runs["schedule"] == schedule) & (runs["batch"] != LIMIT)]
    last = runs[runs["alpha"] == runs["alpha"].max()]
    lacking = set(last["batch"]) != set(_ORDER) or not (last["alpha"] > 0).all() or last["seed"].nunique() < 2
    return None if lacking else last


_REQUIRED = "all batch sizes at α > 0 with {budget} and a {schedule}, and at least 2 seeds"


def _larger_is_better(table: pd.DataFrame, budget: str) -> Judgement:
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


def _decay_replaces_batch(table: pd.DataFrame) -> Judgement:
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


def _limit_hardly_drops(table: pd.DataFrame) -> Judgement:
    runs = _compared(table)
    runs = runs[(runs["budget"] == "equal examples") & (runs["schedule"] == "constant")]
    drops = accuracy_drops(runs, by=["batch"])
    drops = drops[drops["alpha"] == drops["alpha"].max()]
    if drops.empty or not {LIMIT, str(REFERENCE)} <= set(drops["batch"]) or drops["seed"].nunique() < 2:
        return not_testable("requires Hα and batch size 128 at α = 0 and α > 0, and at least 2 seeds")
    alpha = drops["alpha"].iloc[0]
    values, rounding = by_seed(drops, "batch", "drop"), math.sqrt(2) * rounding_deviation(runs)
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


_RISING_RULE = (
    "At the largest α the slope of accuracy per doubling of the batch size, fitted per seed, has a 95 % "
    "interval above 0, and from no batch size to the next does accuracy fall with its 95 % interval."
)

FIGURE = Figure(
    name="fig10",
    title="Accuracy against the noise level, by batch size",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig10",
            "Larger batches are more robust to noise, at equal numbers of examples.",
            f"{_RISING_RULE} Every batch size trains on as many examples, at a constant learning rate.",
            lambda table: _larger_is_better(table, "equal examples"),
        ),
        Claim(
            "fig10",
            "Larger batches are more robust to noise, at equal numbers of steps.",
            f"{_RISING_RULE} Every batch size takes as many steps, at a constant learning rate.",
            lambda table: _larger_is_better(table, "equal steps"),
        ),
        Claim(
            "fig10",
            "The batch size matters less with a decaying learning rate (later work, not the paper).",
            "At the largest α and equal numbers of examples the slope of accuracy per doubling of the batch "
            "size is larger at a constant learning rate than at one that falls linearly: the difference, "
            "paired by seed, has a 95 % interval above 0.",
            _decay_replaces_batch,
        ),
        Claim(
            "fig10",
            "In the limit of infinite batches, the loss Hα, accuracy hardly drops.",
            "At the largest α the drop from α = 0 with Hα is less than a quarter of the drop at batch size "
            "128: the difference, paired by seed, has a 95 % interval below 0. Equal numbers of examples, "
            "constant learning rate.",
            _limit_hardly_drops,
        ),
    ),
    method="Noise is uniform, and the noisy labels are on the same images as the clean labels. Batch "
    "sizes are compared at equal numbers of examples, where a larger batch means fewer steps, and, where "
    "such runs exist, at equal numbers of steps, where it means more examples; at a constant learning rate, "
    "and at one that falls linearly to 0 over the last 70 % of the steps. Hα is the expected loss on clean "
    "images, which a batch with infinitely many labels per image would give; its batches hold "
    "128 images.\n\n"
    "For each batch size and α the learning rate is the one with the best clean validation accuracy. "
    f"{MEANS_OVER_SEEDS} {SELECTED_STEP}",
)
