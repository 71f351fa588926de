"""Figure 3: accuracy against the noise level for a residual network on ImageNet."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import FIRST_CONTACT, POOLED, Figure, Grids, Material, PresetName, Scale
from dilution.figures.claims import Claim, Judgement, decided, not_testable, percent, percent_interval
from dilution.report.style import line_with_interval, new_figure, percent_axis, style
from dilution.study.statistics import intervals

LABELS = {"test_acc_at_best_clean_val": "right at once", "test_acc_top5": "among five guesses"}
_LARGEST = 5.0  # noise level of the claim

_SGD: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 1e-4}


def _demo(material: Material) -> Grids:
    n = min(FIRST_CONTACT, material.size)
    base = {**POOLED, "model": "resnet18_w16", "n": n, "lr": 3e-3, "batch_size": 64, "epochs": 4.0}
    return [({**base, "n_evals": 2}, {"alpha": [0.0, _LARGEST]})]


def _laptop(material: Material) -> Grids:
    base = {**_SGD, "targets": "pooled", "schedule": "cosine", "model": "resnet18_w16", "n": material.size}
    return [
        ({**base, "lr": 0.05, "batch_size": 64, "epochs": 15.0, "n_evals": 3}, {"alpha": [0.0, _LARGEST]})
    ]


def _paper(material: Material) -> Grids:
    base = {**_SGD, "targets": "sampled", "schedule": "step", "model": "resnet50", "n": material.size}
    steps = {"lr": 0.1, "batch_size": 256, "steps": round(90 * material.size / 256), "n_evals": 9}
    return [({**base, **steps}, {"alpha": [0.0, 1.0, 2.0, 3.0, 4.0, _LARGEST]})]


_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        _demo,
        "Demo scale: few images, digits unless a pack is named, a ResNet-18 of a quarter of the width, "
        "pooled batch order, Adam.",
    ),
    "laptop": Scale(
        _laptop,
        "Laptop scale: a ResNet-18 of a quarter of the width, pooled batch order, SGD with momentum and "
        "a cosine for 15 epochs. The paper uses all of ImageNet.",
    ),
    "paper": Scale(
        _paper,
        "Paper scale: ResNet-50, one label at a time, SGD with momentum, batch 256, 90 passes' worth of "
        "steps over the clean images at every α.",
        seeds=5,
    ),
}


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by measure (top 1, top 5) and alpha."""
    # with five classes or fewer, five guesses are always right
    measures = [name for name in LABELS if name == "test_acc_at_best_clean_val" or (table[name] < 1).any()]
    parts = [intervals(table, by=["alpha"], value=name).assign(measure=name) for name in measures]
    return pd.concat(parts, ignore_index=True)[["measure", "alpha", "mean", "low", "high", "seeds"]]


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line a measure."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        for index, (name, label) in enumerate(LABELS.items()):
            line = found[found["measure"] == name]
            if not line.empty:
                line_with_interval(axis, line, "alpha", label, index)
        axis.set_ylim(0, 1.02)
        percent_axis(axis)
        axis.set_xlabel("noisy labels for each clean one, α")
        axis.set_ylabel("test accuracy")
        axis.legend(loc="lower left")
    return figure


def _text(found: pd.DataFrame, alpha: float) -> str:
    row = found[(found["measure"] == "test_acc_at_best_clean_val") & (found["alpha"] == alpha)].iloc[0]
    return percent_interval(row["mean"], row["low"], row["high"])


def finding(found: pd.DataFrame) -> str:
    """Say what the largest noise level leaves."""
    largest = float(found["alpha"].max())
    return (
        f"Without noise {_text(found, 0.0)} of the test images are named rightly, with {largest:g} "
        f"noisy labels for each clean one {_text(found, largest)}."
    )


def _still_learns(table: pd.DataFrame) -> Judgement:
    found = points(table)
    packed = str(table["dataset"].iloc[0]).endswith(".pack")
    if not packed or not {0.0, _LARGEST} <= set(found["alpha"]):
        return not_testable(f"it takes a pack of an image folder such as ImageNet, at α = 0 and {_LARGEST:g}")
    mean = found[found["measure"] == "test_acc_at_best_clean_val"].set_index("alpha")["mean"]
    chance = float(table["majority_share"].max())
    numbers = (
        f"α = 0: {_text(found, 0.0)}; α = {_LARGEST:g}: {_text(found, _LARGEST)}; "
        f"commonest class {percent(chance)}"
    )
    if mean[0.0] <= 2 * chance:
        return not_testable(
            f"without noise it is right no more than twice as often as naming the commonest class, too "
            f"little to halve; it takes more images of each class, or a larger scale. {numbers}"
        )
    return decided(bool(mean[_LARGEST] >= mean[0.0] / 2), numbers)


FIGURE = Figure(
    name="fig3",
    title="Accuracy of a residual network against the noise level",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig3",
            "On ImageNet a residual network still learns with five noisy labels for each clean one.",
            "Accuracy at α = 5 is at least half of that at α = 0, on a pack of an image folder, where that "
            "at α = 0 is more than twice the share of the commonest class.",
            _still_learns,
        ),
    ),
    method="Images are read from a pack (`dilution data pack`). Noise is uniform and on the same "
    "images; at every α the network takes the same number of steps. Points are means over seeds, bars "
    "95 % Student t intervals; each run reports the test accuracy at the step that clean validation "
    "accuracy chose.",
)
