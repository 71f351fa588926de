"""Figure 6: noisy labels on the same images, on images of another data set, and on white noise."""

import math
from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
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
    difference,
    difference_estimate,
    not_testable,
    percent,
)
from dilution.figures.comparisons import accuracy_drops, accuracy_lines
from dilution.figures.paper_scale import LrSearch, describe, paper_grids
from dilution.report.style import ALPHA_LABEL, legend, new_figure, style
from dilution.study.pairs import by_seed, contrast, mean_interval
from dilution.study.statistics import best_lr, intervals, rounding_deviation

SAME, EXTERNAL, WHITE_NOISE = "same", "another data set", "white_noise"
LABELS = {SAME: "the same images", EXTERNAL: "another data set", WHITE_NOISE: "white noise"}
_BY = ["source", "alpha"]
_LONGEST = 24_000  # steps of a training at the paper preset


def _grids(base: dict[str, Any], external: str, alphas: list[float], lrs: dict[str, list[Any]]) -> Grids:
    """Return the runs; at α = 0 there are no noisy images, and all sources are the same run."""
    sources = [SAME, external, WHITE_NOISE]
    return [
        ({**base, "alpha": 0.0}, lrs),
        (base, {"image_source": sources, "alpha": list(alphas), **lrs}),
    ]


def _demo(inputs: FigureInputs) -> Grids:
    n = min(300, inputs.n_available)
    base = {"n": n, "model": "conv2", "optimizer": "adam", "schedule": "linear"}
    return _grids(
        {**base, "lr": 3e-3, "batch_size": 64, "steps": 300, "n_evals": 5}, inputs.external, [2.0, 5.0], {}
    )


def _laptop(inputs: FigureInputs) -> Grids:
    n = min(5_000, inputs.n_available)
    base = {"n": n, "model": "conv4", "optimizer": "adam", "schedule": "linear"}
    return _grids({**base, "lr": 1e-3, "steps": 2_000, "n_evals": 4}, inputs.external, [2.0, 5.0], {})


def _paper(inputs: FigureInputs) -> Grids:
    base = {"n": inputs.n_available, "model": "conv6"}
    sources: dict[str, list[Any]] = {"image_source": [SAME, inputs.external, WHITE_NOISE]}
    return [
        *paper_grids(base, [0.0], {}, _LONGEST),
        *paper_grids(base, [1.0, 2.0, 5.0, 10.0], sources, _LONGEST),
    ]


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: n = 300, α up to 5, Conv-2, Adam for 300 steps at one learning rate. Unless another "
        "data set is named, the external images are cut from two photographs. The paper uses CIFAR-10 with "
        "CIFAR-100.",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: n = 5,000, α up to 5, Conv-4, Adam with a learning rate of 1e-3 that falls linearly "
        "to 0, 2,000 steps of 128 labels. The paper uses all of CIFAR-10 with CIFAR-100, and Adadelta.",
    ),
    "paper": Preset(_paper, describe(_LONGEST), seeds=5, lr_search=LrSearch()),
}


def _at_best_lr(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best learning rate; those without noise are repeated for each source."""
    source = table["image_source"].where(table["image_source"].isin([SAME, WHITE_NOISE]), EXTERNAL)
    noisy = table.assign(source=source)[table["alpha"] > 0]
    clean = [table[table["alpha"] == 0].assign(source=name) for name in LABELS]
    return best_lr(pd.concat([*clean, noisy], ignore_index=True), by=_BY)


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per image source and alpha."""
    return intervals(_at_best_lr(table), by=_BY)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per image source."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, points, "alpha", "source", LABELS, offset=0.008)
        axis.set_xlabel(ALPHA_LABEL)
        axis.set_ylabel("test accuracy")
        legend(axis, title="noisy labels are on", loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy drop of each image source at the largest alpha."""
    mean = points.pivot(index="alpha", columns="source", values="mean")
    drops = mean.loc[0.0] - mean.iloc[-1]
    external, white_noise = difference(drops[EXTERNAL]), difference(drops[WHITE_NOISE])
    return (
        f"Test accuracy drops by {difference(drops[SAME])} with noisy labels on the same images, by "
        f"{external} on images of another data set and by {white_noise} on white noise, at α = "
        f"{mean.index[-1]:g}; it is {percent(mean.loc[0.0, SAME])} without noise."
    )


def _judge(table: pd.DataFrame, source: str, low: float, high: float) -> Judgement:
    """Judge whether the drop with a source lies between two multiples of that with the same images."""
    drops = accuracy_drops(_at_best_lr(table), by=["source"])
    alpha = drops["alpha"].max()
    drops = drops[drops["alpha"] == alpha]
    if not {source, SAME} <= set(drops["source"]):
        return not_testable("requires noisy labels on the same images and on others")
    by_source = by_seed(drops, "source", "drop")
    mean = by_source.mean()
    if mean[SAME] <= 0:
        return not_testable(f"noise on the same images does not lower accuracy at α = {alpha:g}")
    if len(by_source) < 2:
        return not_testable("requires at least 2 seeds")
    rounding = rounding_deviation(table, "drop")
    costs = [
        difference_estimate(mean_interval(by_source[name], rounding=rounding)) for name in (source, SAME)
    ]
    numbers = (
        f"drops at α = {alpha:g}: {LABELS[source]} {costs[0]}, the same images {costs[1]}; ratio "
        f"{mean[source] / mean[SAME]:.2f}"
    )
    passed = True
    for bound in filter(math.isfinite, (low, high)):
        excess = contrast(by_source, {source: 1.0, SAME: -bound}, rounding=rounding)
        passed &= excess.low > 0 if bound == low else excess.high < 0
        numbers += f"; drop minus {bound:g} times the other {difference_estimate(excess)}"
    return decide(bool(passed), numbers)


FIGURE = Figure(
    name="fig6",
    title="Noisy labels on the same images, on another data set and on white noise",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig6",
            "Noisy labels on images of another data set cost about half of what they cost on the same "
            "images.",
            "At the largest α the drop of accuracy from α = 0 is 0.3 to 0.8 times that with the same images: "
            "drop minus 0.3 times the other above 0 and drop minus 0.8 times the other below 0, each with "
            "its 95 % interval, paired by seed.",
            lambda table: _judge(table, EXTERNAL, 0.3, 0.8),
        ),
        Claim(
            "fig6",
            "Noisy labels on white noise cost almost nothing.",
            "At the largest α the drop of accuracy from α = 0 is less than a tenth of that with the same "
            "images: drop minus 0.1 times the other below 0 with its 95 % interval, paired by seed.",
            lambda table: _judge(table, WHITE_NOISE, -float("inf"), 0.1),
        ),
    ),
    method="Labels are drawn from the same distribution for all sources: the label of an external image is "
    "drawn for the class of a clean image assigned to it, so that only the images differ. White noise has "
    "the mean and the standard deviation of each channel of the clean images. All sources get the same "
    f"number of steps with sampled targets (one label at a time).\n\n{MEANS_OVER_SEEDS} {SELECTED_STEP}",
)
