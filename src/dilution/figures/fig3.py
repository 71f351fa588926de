"""Figure 3: accuracy against the noise level for a residual network on ImageNet."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    DEMO_N,
    MEANS_OVER_SEEDS,
    POOLED_SETTINGS,
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
    percent,
    percent_interval,
)
from dilution.report.style import (
    ALPHA_LABEL,
    legend,
    line_with_interval,
    new_figure,
    percent_axis,
    style,
)
from dilution.study.pairs import by_seed, contrast
from dilution.study.statistics import intervals, rounding_deviation

LABELS = {"test_acc_at_best_clean_val": "top-1", "test_acc_top5": "top-5"}
_LARGEST_ALPHA = 5.0  # noise level of the claim
_SMALL = 64  # images of fewer pixels per side are not those of ImageNet; a smaller network learns them sooner

_SGD_SETTINGS: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 1e-4}


def _demo(inputs: FigureInputs) -> Grids:
    n = min(DEMO_N, inputs.n_available)
    base = {**POOLED_SETTINGS, "model": "resnet18_w16", "n": n, "lr": 3e-3, "batch_size": 64, "epochs": 4.0}
    return [({**base, "n_evals": 2}, {"alpha": [0.0, _LARGEST_ALPHA]})]


def _laptop(inputs: FigureInputs) -> Grids:
    base = {
        **_SGD_SETTINGS,
        "targets": "pooled",
        "schedule": "cosine",
        "model": "resnet18_w16",
        "n": inputs.n_available,
    }
    budget = {"lr": 0.05, "batch_size": 64, "epochs": 15.0, "n_evals": 3}
    return [({**base, **budget}, {"alpha": [0.0, _LARGEST_ALPHA]})]


def _paper(inputs: FigureInputs) -> Grids:
    n, is_small = inputs.n_available, min(inputs.shape[1:]) < _SMALL
    model, passes = ("resnet18", 30) if is_small else ("resnet50", 90)
    base = {**_SGD_SETTINGS, "targets": "sampled", "schedule": "step", "model": model, "n": n}
    budget = {"lr": 0.1, "batch_size": 256, "steps": round(passes * n / 256), "n_evals": 9}
    return [({**base, **budget}, {"alpha": [0.0, 1.0, 2.0, 3.0, 4.0, _LARGEST_ALPHA]})]


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: at most 2,000 clean images, digits unless a pack is named, a ResNet-18 of a quarter of "
        "the width, pooled targets, Adam.",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: a ResNet-18 of a quarter of the width, pooled targets, SGD with momentum and a "
        "cosine schedule for 15 epochs. The paper uses all of ImageNet.",
    ),
    "paper": Preset(
        _paper,
        "Paper preset: sampled targets (one label at a time), SGD with momentum, batch size 256. ResNet-50, "
        "and at every α as many steps as 90 passes over the clean images take; for images of less than "
        f"{_SMALL} pixels per side ResNet-18 and 30 passes.",
        seeds=5,
    ),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per measure (top-1, top-5) and alpha."""
    # with five classes or fewer, top-5 accuracy is always 1
    measures = [name for name in LABELS if name == "test_acc_at_best_clean_val" or (table[name] < 1).any()]
    parts = [intervals(table, by=["alpha"], value=name).assign(measure=name) for name in measures]
    return pd.concat(parts, ignore_index=True)[["measure", "alpha", "mean", "low", "high", "seeds"]]


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per measure."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        for index, (name, label) in enumerate(LABELS.items()):
            line = points[points["measure"] == name]
            if not line.empty:
                line_with_interval(axis, line, "alpha", label, index)
        axis.set_ylim(0, 1.02)
        percent_axis(axis)
        axis.set_xlabel(ALPHA_LABEL)
        axis.set_ylabel("test accuracy")
        legend(axis, loc="lower left")
    return figure


def _top1(points: pd.DataFrame, alpha: float) -> str:
    row = points[(points["measure"] == "test_acc_at_best_clean_val") & (points["alpha"] == alpha)].iloc[0]
    return percent_interval(row["mean"], row["low"], row["high"])


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy at the largest noise level and without noise."""
    largest = float(points["alpha"].max())
    return (
        f"Test accuracy is {_top1(points, largest)} with {largest:g} noisy labels per clean label, and "
        f"{_top1(points, 0.0)} without noise."
    )


def _keeps_half(table: pd.DataFrame) -> Judgement:
    points = aggregate(table)
    is_pack = str(table["dataset"].iloc[0]).endswith(".pack")
    if not is_pack or not {0.0, _LARGEST_ALPHA} <= set(points["alpha"]):
        return not_testable(
            f"requires a pack of an image folder such as ImageNet, at α = 0 and {_LARGEST_ALPHA:g}"
        )
    mean = points[points["measure"] == "test_acc_at_best_clean_val"].set_index("alpha")["mean"]
    majority = float(table["majority_share"].max())
    numbers = (
        f"α = 0: {_top1(points, 0.0)}; α = {_LARGEST_ALPHA:g}: {_top1(points, _LARGEST_ALPHA)}; "
        f"majority class {percent(majority)}"
    )
    if mean[0.0] <= 2 * majority:
        return not_testable(
            "accuracy without noise is at most twice the share of the majority class, too low to halve; use "
            f"more images per class, or a larger preset. {numbers}"
        )
    if table["seed"].nunique() < 2:
        return not_testable(f"requires at least 2 seeds. {numbers}")
    values = by_seed(table[table["alpha"].isin([0.0, _LARGEST_ALPHA])], "alpha")
    half = contrast(values, {_LARGEST_ALPHA: 1.0, 0.0: -0.5}, rounding=rounding_deviation(table))
    numbers += (
        f"; accuracy at α = {_LARGEST_ALPHA:g} minus half of that at α = 0: {difference_estimate(half)}"
    )
    return decide(half.low > 0, numbers)


FIGURE = Figure(
    name="fig3",
    title="Accuracy of a residual network against the noise level",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig3",
            "On ImageNet a residual network still learns with five noisy labels per clean label.",
            "Accuracy at α = 5 exceeds half of that at α = 0 (difference paired by seed, 95 % interval above "
            "0), on a pack of an image folder, where that at α = 0 is more than twice the share of the "
            "majority class.",
            _keeps_half,
        ),
    ),
    method="Images are read from a pack, which the command data pack writes. Noise is uniform, and the "
    "noisy labels are on the same images as the clean labels. The model takes the same number of steps at "
    f"every α. {SELECTED_STEP}\n\n{MEANS_OVER_SEEDS}",
)
