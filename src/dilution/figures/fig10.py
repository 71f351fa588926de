"""Figure 10: accuracy against the noise level for several batch sizes, and for their limit, the loss Hα."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    LEARNING_RATES,
    MEANS_OVER_SEEDS,
    PAPER_SETTINGS,
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
    difference_interval,
    not_testable,
    percent_interval,
)
from dilution.figures.comparisons import accuracy_drops, accuracy_lines, compare_neighbours, list_means
from dilution.report.style import ALPHA_LABEL, legend, new_figure, style
from dilution.study.statistics import best_lr, intervals

BATCH_SIZES = (32, 64, 128, 256)
LIMIT = "∞"
LABELS = {str(size): str(size) for size in BATCH_SIZES} | {LIMIT: "∞ (Hα)"}
_BY = ["batch", "alpha"]


def _grids(base: dict[str, Any], n_examples: int, axes: dict[str, list[Any]]) -> Grids:
    """Return runs that train on the same number of examples (of images for Hα) at every batch size."""
    finite: Grids = [
        ({**base, "batch_size": size, "steps": n_examples // size}, axes) for size in BATCH_SIZES
    ]
    limit = {**base, "targets": "expected", "batch_size": 128, "steps": n_examples // 128}
    return [*finite, (limit, axes)]


def demo_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the demo preset."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(300, inputs.n_available), "n_evals": 4}


def laptop_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the laptop preset."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(1_000, inputs.n_available), "n_evals": 4}


def paper_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the paper preset, without steps."""
    base = {**PAPER_SETTINGS, "model": "conv2", "n": inputs.n_available}
    return {name: value for name, value in base.items() if name not in ("batch_size", "steps")}


DEMO_EXAMPLES, LAPTOP_EXAMPLES, PAPER_EXAMPLES = 25_600, 64_000, 6_400_000
DEMO_AXES: dict[str, list[Any]] = {"alpha": [0.0, 5.0], "lr": [0.1, 0.5]}
LAPTOP_AXES: dict[str, list[Any]] = {"alpha": [0.0, 20.0], "lr": list(LEARNING_RATES)}
PAPER_AXES: dict[str, list[Any]] = {
    "alpha": [0.0, 5.0, 10.0, 20.0, 50.0, 100.0],
    "lr": list(LEARNING_RATES),
}

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
        lambda inputs: _grids(paper_base(inputs), PAPER_EXAMPLES, PAPER_AXES),
        "Paper preset: sampled targets (one label at a time), Adadelta, 6.4 million training examples per "
        "run at every batch size, the best of four learning rates by clean validation accuracy.",
        seeds=5,
    ),
}


def _at_best_lr(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best learning rate; ``batch`` is their batch size, or the limit."""
    batch = table["batch_size"].astype(str).where(table["targets"] != "expected", LIMIT)
    return best_lr(table.assign(batch=batch), by=_BY)


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per batch size and alpha, and the best learning rate."""
    runs = _at_best_lr(table)
    lr = runs.groupby(_BY)["lr"].first().rename("best_lr").reset_index()
    return intervals(runs, by=_BY).merge(lr, on=_BY)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per batch size."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, points, "alpha", "batch", LABELS, offset=0.008)
        axis.set_xlabel(ALPHA_LABEL)
        axis.set_ylabel("test accuracy")
        legend(axis, title="batch size", loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy of the smallest batch size, the largest and the limit at the largest alpha."""
    last = points[points["alpha"] == points["alpha"].max()].set_index("batch")
    smallest, largest, limit = (
        percent_interval(*last.loc[name, ["mean", "low", "high"]].astype(float))
        for name in ("32", "256", LIMIT)
    )
    return (
        f"Test accuracy is {smallest} at batch size 32, {largest} at batch size 256 and {limit} in the limit "
        f"of infinite batches (Hα), with {points['alpha'].max():g} noisy labels per clean label."
    )


def _larger_is_better(table: pd.DataFrame) -> Judgement:
    runs = _at_best_lr(table)
    alpha = runs["alpha"].max()
    last = runs[(runs["alpha"] == alpha) & (runs["batch"] != LIMIT)]
    order = [str(size) for size in BATCH_SIZES]
    if alpha == 0 or last["seed"].nunique() < 2 or set(last["batch"]) != set(order):
        return not_testable("requires α > 0, all batch sizes and at least 2 seeds")
    labels = {size: f"batch size {size}" for size in order}
    n_passed, failed = compare_neighbours(last, "batch", order, labels)
    means = intervals(last, by=["batch"])
    means = means.set_index("batch").loc[order].reset_index()
    numbers = (
        f"α = {alpha:g}: {list_means(means, 'batch', labels)}; {n_passed} of {len(order) - 1} steps rise"
    )
    numbers += f"; not: {'; '.join(failed)}" if failed else ""
    return decide(not failed, numbers)


def _limit_hardly_drops(table: pd.DataFrame) -> Judgement:
    drops = accuracy_drops(_at_best_lr(table), by=["batch"])
    if drops.empty:
        return not_testable("requires α = 0 and α > 0")
    alpha = drops["alpha"].max()
    rows = intervals(drops[drops["alpha"] == alpha], by=["batch"], value="drop").set_index("batch")
    mean = rows["mean"]
    if mean["128"] <= 0:
        return not_testable(f"accuracy at batch size 128 does not drop at α = {alpha:g}")
    costs = [difference_interval(*rows.loc[name, ["mean", "low", "high"]]) for name in (LIMIT, "128")]
    numbers = f"α = {alpha:g}: drop with Hα {costs[0]}, at batch size 128 {costs[1]}"
    return decide(bool(mean[LIMIT] < mean["128"] / 4), numbers)


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
            "Larger batches are more robust to noise.",
            "At the largest α accuracy rises from each batch size to the next: disjoint intervals, or a "
            "paired test over seeds with p < 0.05.",
            _larger_is_better,
        ),
        Claim(
            "fig10",
            "In the limit of infinite batches, the loss Hα, accuracy hardly drops.",
            "At the largest α the drop from α = 0 with Hα is less than a quarter of the drop at batch size "
            "128.",
            _limit_hardly_drops,
        ),
    ),
    method="Noise is uniform, and the noisy labels are on the same images as the clean labels. Every run "
    "trains on the same number of examples, so a larger batch size means fewer steps. Hα is the expected "
    "loss on clean images, which a batch with infinitely many labels per image would give; its batches hold "
    "128 images.\n\n"
    "For each batch size and α the learning rate is the one with the best clean validation accuracy. "
    f"{MEANS_OVER_SEEDS} {SELECTED_STEP}",
)
