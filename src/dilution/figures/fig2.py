"""Figure 2: accuracy against the noise level for ConvNets and a residual network on CIFAR-10."""

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    DEMO_N,
    MEANS_OVER_SEEDS,
    POOLED_SETTINGS,
    QUOTED_RINGS,
    SELECTED_STEP,
    Figure,
    FigureInputs,
    Grids,
    Preset,
    PresetName,
)
from dilution.figures.claims import Claim, Judgement, decide, not_testable, percent_interval
from dilution.figures.comparisons import accuracy_lines, compare_neighbours, list_means
from dilution.figures.paper_scale import LrSearch, describe, paper_grids
from dilution.models import DISPLAY_NAMES
from dilution.report.style import ALPHA_LABEL, COLOURS, legend, new_figure, quoted_mark, style
from dilution.study.statistics import best_lr, intervals

NARROW_RESNET, FULL_RESNET = "resnet18_w16", "resnet18"
MODELS = ("conv4", "conv6", NARROW_RESNET, FULL_RESNET)
_LARGEST_ALPHA = 10.0
_LONGEST, _LONGEST_RESNET = 24_000, 12_000  # steps
_QUOTED = (
    _LARGEST_ALPHA,
    0.85,
)  # alpha and accuracy of the ResNet, quoted from memory of the paper's caption
_BY = ["dataset", "model", "alpha"]


def _demo(inputs: FigureInputs) -> Grids:
    n = min(DEMO_N, inputs.n_available)
    base = {**POOLED_SETTINGS, "n": n, "lr": 3e-3, "batch_size": 64, "epochs": 5.0, "n_evals": 4}
    return [(base, {"model": ["conv4", "conv6", NARROW_RESNET], "alpha": [0.0, 5.0, 10.0]})]


def _laptop(inputs: FigureInputs) -> Grids:
    base = {**POOLED_SETTINGS, "n": inputs.n_available, "lr": 1e-3, "epochs": 4.0, "n_evals": 4}
    return [(base, {"model": ["conv4", "conv6", NARROW_RESNET], "alpha": [0.0, 5.0, 10.0]})]


def _paper(inputs: FigureInputs) -> Grids:
    base, alphas = {"n": inputs.n_available}, [0.0, 1.0, 2.0, 5.0, _LARGEST_ALPHA]
    # the ResNet costs as much as twenty ConvNets: only at the noise levels that the claim needs
    return [
        *paper_grids(base, alphas, {"model": ["conv4", "conv6"]}, _LONGEST),
        *paper_grids(base, [0.0, _LARGEST_ALPHA], {"model": [FULL_RESNET]}, _LONGEST_RESNET),
    ]


_DEPTH = (
    "From Conv-4 to the ResNet the models get deeper, which the paper calls larger. The number of weights "
    "falls: Conv-6 pools once more before its hidden dense layer, and a ResNet has no hidden dense layer."
)
_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: at most 2,000 clean images, digits unless another data set is named, a ResNet-18 of a "
        "quarter of the width, pooled targets, Adam for 5 epochs. The paper uses sampled targets and "
        f"Adadelta. {_DEPTH}",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: all clean images, a ResNet-18 of a quarter of the width (16 to 128 channels), "
        "pooled targets, Adam with a learning rate of 1e-3 that falls linearly to 0, 4 epochs. The paper "
        f"uses the full ResNet-18, sampled targets and Adadelta, and trains longer. {_DEPTH}",
    ),
    "paper": Preset(
        _paper,
        f"{describe(_LONGEST)} The ResNet takes at most {_LONGEST_RESNET:,} steps, at the smallest and the "
        "largest α, and its learning rate is chosen by one further seed.",
        seeds=5,
        lr_search=LrSearch(seeds={FULL_RESNET: 1}),
    ),
}


def _at_best_lr(table: pd.DataFrame) -> pd.DataFrame:
    return best_lr(table, by=_BY)


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per data set, model and alpha."""
    return intervals(_at_best_lr(table), by=_BY)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per model."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(
            axis, points, "alpha", "model", {name: DISPLAY_NAMES[name] for name in MODELS}, offset=0.006
        )
        if points["dataset"].iloc[0] == "cifar10":
            values = {"alpha": f"{_QUOTED[0]:g}", "test accuracy": f"{100 * _QUOTED[1]:.0f} %"}
            quoted_mark(axis, *_QUOTED, "paper's ResNet, quoted", values, COLOURS[2])
        axis.set_xlabel(ALPHA_LABEL)
        axis.set_ylabel("test accuracy")
        legend(axis, loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy of the best and the worst model at the largest noise level."""
    last = points[points["alpha"] == points["alpha"].max()].sort_values("mean")
    best, worst = last.iloc[-1], last.iloc[0]
    return (
        f"{DISPLAY_NAMES[best['model']]} reaches "
        f"{percent_interval(best['mean'], best['low'], best['high'])} test accuracy with "
        f"{best['alpha']:g} noisy labels per clean label; the least accurate model, "
        f"{DISPLAY_NAMES[worst['model']]}, reaches "
        f"{percent_interval(worst['mean'], worst['low'], worst['high'])}."
    )


def _deeper_keep_more(table: pd.DataFrame) -> Judgement:
    runs = _at_best_lr(table)
    alpha = runs["alpha"].max()
    last = runs[runs["alpha"] == alpha]
    order = [name for name in MODELS if name in set(last["model"])]
    if alpha < _QUOTED[0] or len(order) < 3 or last["seed"].nunique() < 2:
        return not_testable(f"requires three models at α = {_QUOTED[0]:g} and at least 2 seeds")
    n_passed, failed = compare_neighbours(last, "model", order, DISPLAY_NAMES)
    means = intervals(last, by=["model"]).set_index("model").loc[order].reset_index()
    numbers = f"α = {alpha:g}: {list_means(means, 'model', DISPLAY_NAMES)}"
    numbers += f"; {n_passed} of {len(order) - 1} steps rise"
    return decide(not failed, numbers + (f"; not: {'; '.join(failed)}" if failed else ""))


FIGURE = Figure(
    name="fig2",
    title="Accuracy against the noise level, for deeper models",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig2",
            "Larger models keep more of their accuracy under noise.",
            "At α = 10 accuracy rises from Conv-4 to Conv-6 and from Conv-6 to ResNet-18: disjoint "
            "intervals, or a paired test over seeds with p < 0.05.",
            _deeper_keep_more,
        ),
    ),
    method="Noise is uniform, and the noisy labels are on the same images as the clean labels. Some of the "
    f"clean examples are set aside for validation. {SELECTED_STEP}\n\n{MEANS_OVER_SEEDS} {QUOTED_RINGS}",
)
