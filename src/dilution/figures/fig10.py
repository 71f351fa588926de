"""Figure 10: accuracy against the noise level for several batch sizes, and for H_alpha, their limit."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import PAPER, RATES, Figure, Grids, Material, PresetName, Scale
from dilution.figures.claims import (
    Claim,
    Judgement,
    decided,
    difference_interval,
    not_testable,
    percent_interval,
)
from dilution.figures.comparisons import accuracy_lines, falls, listed, rises
from dilution.report.style import legend, new_figure, style
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals

BATCHES = (32, 64, 128, 256)
LIMIT = "∞"
LABELS = {str(batch): str(batch) for batch in BATCHES} | {LIMIT: "∞ (Hα)"}
_BY = ["batches", "alpha"]


def _grids(base: dict[str, Any], examples: int, axes: dict[str, list[Any]]) -> Grids:
    """Return runs that see equally many examples, or images in the limit, whatever their batch."""
    finite: Grids = [({**base, "batch_size": batch, "steps": examples // batch}, axes) for batch in BATCHES]
    limit = {**base, "targets": "expected", "batch_size": 128, "steps": examples // 128}
    return [*finite, (limit, axes)]


def demo_base(material: Material) -> dict[str, Any]:
    """Return what all runs of this figure and of Figure 11 share at demo scale."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(300, material.size), "n_evals": 4}


def laptop_base(material: Material) -> dict[str, Any]:
    """Return what all runs of this figure and of Figure 11 share at laptop scale."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(1_000, material.size), "n_evals": 4}


def paper_base(material: Material) -> dict[str, Any]:
    """Return what all runs of this figure and of Figure 11 share at paper scale, but for their steps."""
    base = {**PAPER, "model": "conv2", "n": material.size}
    return {name: value for name, value in base.items() if name not in ("batch_size", "steps")}


DEMO_EXAMPLES, LAPTOP_EXAMPLES, PAPER_EXAMPLES = 25_600, 64_000, 6_400_000
DEMO: dict[str, list[Any]] = {"alpha": [0.0, 5.0], "lr": [0.1, 0.5]}
LAPTOP: dict[str, list[Any]] = {"alpha": [0.0, 20.0], "lr": list(RATES)}
PAPER_AXES: dict[str, list[Any]] = {"alpha": [0.0, 5.0, 10.0, 20.0, 50.0, 100.0], "lr": list(RATES)}

_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        lambda material: _grids(demo_base(material), DEMO_EXAMPLES, DEMO),
        "Demo scale: n = 300, α up to 5, 25,600 examples a run whatever the batch, the better of two "
        "learning rates on clean validation data. The paper uses MNIST and four rates.",
    ),
    "laptop": Scale(
        lambda material: _grids(laptop_base(material), LAPTOP_EXAMPLES, LAPTOP),
        "Laptop scale: n = 1,000, no noise and α = 20, 64,000 examples a run whatever the batch (three "
        "passes at α = 20), Adadelta at the best of four learning rates on clean validation data. "
        "The paper uses more clean examples and longer training.",
    ),
    "paper": Scale(
        lambda material: _grids(paper_base(material), PAPER_EXAMPLES, PAPER_AXES),
        "Paper scale: one label at a time, Adadelta, 6.4 million examples a run whatever the batch, the best "
        "of four learning rates on clean validation data.",
        seeds=5,
    ),
}


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best rate; ``batches`` is their batch, or the limit."""
    batches = table["batch_size"].astype(str).where(table["targets"] != "expected", LIMIT)
    return best_lr(table.assign(batches=batches), by=_BY)


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by batch and alpha, and the learning rate that was best."""
    chosen = _chosen(table)
    rate = chosen.groupby(_BY)["lr"].first().rename("best_lr").reset_index()
    return intervals(chosen, by=_BY).merge(rate, on=_BY)


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line a batch size."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, found, "alpha", "batches", LABELS, apart=0.008)
        axis.set_xlabel("noisy labels for each clean one, α")
        axis.set_ylabel("test accuracy")
        legend(axis, title="batch size", loc="lower left")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say what the smallest batch, the largest and the limit keep at the largest alpha."""
    last = found[found["alpha"] == found["alpha"].max()].set_index("batches")
    rows = {name: last.loc[name, ["mean", "low", "high"]].astype(float) for name in ("32", "256", LIMIT)}
    small, large, limit = (percent_interval(*row) for row in rows.values())
    return (
        f"With {found['alpha'].max():g} noisy labels for each clean one, batches of 32 leave {small} of "
        f"the test images right, batches of 256 {large}, and the limit of infinite batches, Hα, {limit}."
    )


def _larger_is_better(table: pd.DataFrame) -> Judgement:
    chosen = _chosen(table)
    alpha = chosen["alpha"].max()
    last = chosen[(chosen["alpha"] == alpha) & (chosen["batches"] != LIMIT)]
    order = [str(batch) for batch in BATCHES]
    if alpha == 0 or last["seed"].nunique() < 2 or set(last["batches"]) != set(order):
        return not_testable("it takes noise, all batch sizes and at least 2 seeds")
    named = {batch: f"batch {batch}" for batch in order}
    held, broken = rises(last, "batches", order, named)
    means = intervals(last, by=["batches"])
    means = means.set_index("batches").loc[order].reset_index()
    numbers = f"α = {alpha:g}: {listed(means, 'batches', named)}; {held} of {len(order) - 1} steps rise"
    numbers += f"; not: {'; '.join(broken)}" if broken else ""
    return decided(not broken, numbers)


def _limit_hardly_falls(table: pd.DataFrame) -> Judgement:
    fall = falls(_chosen(table), by=["batches"])
    if fall.empty:
        return not_testable("it takes α = 0 and noise")
    alpha = fall["alpha"].max()
    rows = intervals(fall[fall["alpha"] == alpha], by=["batches"], value="fall").set_index("batches")
    mean = rows["mean"]
    if mean["128"] <= 0:
        return not_testable(f"batch 128 does not fall at α = {alpha:g}")
    cost = [difference_interval(*rows.loc[name, ["mean", "low", "high"]]) for name in (LIMIT, "128")]
    numbers = f"α = {alpha:g}: fall with Hα {cost[0]}, with batch 128 {cost[1]}"
    return decided(bool(mean[LIMIT] < mean["128"] / 4), numbers)


FIGURE = Figure(
    name="fig10",
    title="Accuracy against the noise level, by batch size",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
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
            "In the limit of infinite batches, the loss Hα, accuracy hardly falls.",
            "At the largest α the fall from α = 0 with Hα is less than a quarter of the fall with batch 128.",
            _limit_hardly_falls,
        ),
    ),
    method="Noise is uniform and on the same images. Every run sees equally many examples, so that a "
    "larger batch means fewer steps. Hα trains on clean images with the expected loss, which is what a "
    "batch of infinitely many labels of each image would give; its batches hold 128 images.\n\nFor "
    "each batch size and α the learning rate is the one with the best clean validation accuracy. Points "
    "are means over seeds, bars 95 % Student t intervals.",
)
