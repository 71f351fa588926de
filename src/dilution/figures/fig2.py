"""Figure 2: accuracy against the noise level for ConvNets and a residual network on CIFAR-10."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    AS_PAPER,
    FIRST_CONTACT,
    PAPER,
    POOLED,
    RATES,
    Figure,
    Grids,
    Material,
    PresetName,
    Scale,
)
from dilution.figures.claims import Claim, Judgement, decided, not_testable, percent_interval
from dilution.figures.comparisons import accuracy_lines, listed, rises
from dilution.models import LABELS
from dilution.report.style import COLOURS, legend, new_figure, quoted_mark, style
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals

SMALL, LARGE = "resnet18_w16", "resnet18"
MODELS = ("conv4", "conv6", SMALL, LARGE)
_QUOTED = (10.0, 0.85)  # alpha and accuracy of the ResNet, quoted from memory of the paper's caption
_BY = ["dataset", "model", "alpha"]


def _demo(material: Material) -> Grids:
    n = min(FIRST_CONTACT, material.size)
    base = {**POOLED, "n": n, "lr": 3e-3, "batch_size": 64, "epochs": 5.0, "n_evals": 4}
    return [(base, {"model": ["conv4", "conv6", SMALL], "alpha": [0.0, 5.0, 10.0]})]


def _laptop(material: Material) -> Grids:
    base = {**POOLED, "n": material.size, "lr": 1e-3, "epochs": 4.0, "n_evals": 4}
    return [(base, {"model": ["conv4", "conv6", SMALL], "alpha": [0.0, 5.0, 10.0]})]


def _paper(material: Material) -> Grids:
    axes: dict[str, list[Any]] = {
        "model": ["conv4", "conv6", LARGE],
        "alpha": [0.0, 1.0, 2.0, 5.0, 10.0],
        "lr": list(RATES),
    }
    return [({**PAPER, "n": material.size}, axes)]


_DEPTH = (
    "From Conv-4 to the ResNet the networks get deeper, which is what the paper calls larger; their weights "
    "get fewer here: Conv-6 pools once more before its dense layer, and a ResNet has none."
)
_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        _demo,
        "Demo scale: few images, digits unless another data set is named, a ResNet-18 of a quarter of the "
        "width, pooled batch order, "
        f"Adam for 5 epochs. The paper takes one label at a time and Adadelta. {_DEPTH}",
    ),
    "laptop": Scale(
        _laptop,
        "Laptop scale: all clean images, a ResNet-18 of a quarter of the width (16 to 128 channels), "
        "pooled batch order, Adam at 1e-3 falling linearly to 0 for 4 epochs. The paper uses the "
        f"full ResNet-18, one label at a time and Adadelta, and trains longer. {_DEPTH}",
    ),
    "paper": Scale(_paper, AS_PAPER, seeds=5),
}


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    return best_lr(table, by=_BY)


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by data set, network and alpha."""
    return intervals(_chosen(table), by=_BY)


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line a network."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, found, "alpha", "model", {name: LABELS[name] for name in MODELS}, apart=0.006)
        if found["dataset"].iloc[0] == "cifar10":
            says = {"alpha": f"{_QUOTED[0]:g}", "test accuracy": f"{100 * _QUOTED[1]:.0f} %"}
            quoted_mark(axis, *_QUOTED, "paper's ResNet, quoted", says, COLOURS[2])
        axis.set_xlabel("noisy labels for each clean one, α")
        axis.set_ylabel("test accuracy")
        legend(axis, loc="lower left")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say what the best and the weakest network keep at the largest alpha."""
    last = found[found["alpha"] == found["alpha"].max()].sort_values("mean")
    best, worst = (
        f"{LABELS[row['model']]} {percent_interval(row['mean'], row['low'], row['high'])}"
        for _, row in last.iloc[[-1, 0]].iterrows()
    )
    return (
        f"With {found['alpha'].max():g} noisy labels for each clean one the test images named rightly are: "
        f"{best} at best, {worst} at worst."
    )


def _larger_keep_more(table: pd.DataFrame) -> Judgement:
    chosen = _chosen(table)
    alpha = chosen["alpha"].max()
    last = chosen[chosen["alpha"] == alpha]
    order = [name for name in MODELS if name in set(last["model"])]
    if alpha < _QUOTED[0] or len(order) < 3 or last["seed"].nunique() < 2:
        return not_testable(f"it takes three networks at α = {_QUOTED[0]:g} and at least 2 seeds")
    held, broken = rises(last, "model", order, LABELS)
    means = intervals(last, by=["model"]).set_index("model").loc[order].reset_index()
    numbers = f"α = {alpha:g}: {listed(means, 'model', LABELS)}; {held} of {len(order) - 1} steps rise"
    return decided(not broken, numbers + (f"; not: {'; '.join(broken)}" if broken else ""))


FIGURE = Figure(
    name="fig2",
    title="Accuracy against the noise level, for deeper networks",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig2",
            "Larger networks keep more of their accuracy under noise.",
            "At α = 10 accuracy rises from Conv-4 to Conv-6 and from Conv-6 to ResNet-18: disjoint "
            "intervals, or a paired test over seeds with p < 0.05.",
            _larger_keep_more,
        ),
    ),
    method="Noise is uniform and on the same images; a share of the clean examples is set aside as "
    "validation data.\n\nPoints are means over seeds (subset, noise, weights and order all differ "
    "between seeds), bars 95 % Student t intervals; each run reports the test accuracy at the step that "
    "clean validation accuracy chose. A ring is a number quoted from memory of the paper's caption, to "
    "compare with; it decides nothing.",
)
