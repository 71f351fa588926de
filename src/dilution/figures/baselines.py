"""Beyond the paper: models compared with scikit-learn estimators under the same label noise."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    MEANS_OVER_SEEDS,
    POOLED_SETTINGS,
    Figure,
    FigureInputs,
    Grids,
    Preset,
    PresetName,
)
from dilution.figures.claims import Claim, Judgement, difference, not_testable, percent
from dilution.figures.comparisons import (
    accuracy_drops,
    accuracy_lines,
    judge_comparisons,
    list_means,
    significantly_less,
)
from dilution.figures.paper_scale import LrSearch, describe, paper_grids
from dilution.models import DISPLAY_NAMES
from dilution.report.style import ALPHA_LABEL, legend, new_figure, style
from dilution.study.statistics import best_lr, intervals

CONVNET = "conv4"
MODELS = (CONVNET, "mlp2", "perceptron")
ESTIMATORS = ("sklearn:knn", "sklearn:forest", "sklearn:boosting", "sklearn:logistic")
LABELS = {name: DISPLAY_NAMES[name] for name in MODELS} | {
    "sklearn:knn": "Nearest neighbours",
    "sklearn:forest": "Random forest",
    "sklearn:boosting": "Boosted trees",
    "sklearn:logistic": "Logistic regression",
}
MIN_NOISY_ALPHA = 10  # the ConvNet must be ahead from this noise level on

_BY = ["dataset", "n", "model", "alpha"]


def _grids(n: int, alphas: list[float], model_settings: dict[str, Any]) -> Grids:
    """Return models and estimators on the same noisy sets."""
    axes = {"alpha": alphas}
    base = {**POOLED_SETTINGS, "n": n}
    return [
        ({**base, **model_settings}, {"model": list(MODELS), **axes}),
        (base, {"model": list(ESTIMATORS), **axes}),
    ]


def _demo(inputs: FigureInputs) -> Grids:
    model_settings = {"lr": 3e-3, "batch_size": 64, "epochs": 20.0, "n_evals": 10}
    return _grids(min(1_000, inputs.n_available), [0.0, 2.0, 5.0, 10.0, 20.0], model_settings)


def _laptop(inputs: FigureInputs) -> Grids:
    model_settings = {"lr": 1e-3, "steps": 600, "n_evals": 20}
    return _grids(min(1_000, inputs.n_available), [0.0, 5.0, 10.0, 20.0, 50.0], model_settings)


def _paper(inputs: FigureInputs) -> Grids:
    base, alphas = {"n": min(5_000, inputs.n_available)}, [0.0, 5.0, 10.0, 20.0, 50.0]
    return [
        *paper_grids(base, alphas, {"model": list(MODELS)}),
        ({"targets": "sampled", **base}, {"model": list(ESTIMATORS), "alpha": alphas}),
    ]


_SMALL_N = "n is small because estimators keep all n(1 + α) examples in memory."
_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo, f"Demo preset: models train with pooled targets and Adam for 20 epochs. {_SMALL_N}"
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: models train with pooled targets and Adam at a learning rate of 1e-3 for 600 steps. "
        f"{_SMALL_N}",
    ),
    "paper": Preset(_paper, f"{describe()} {_SMALL_N}", seeds=5, lr_search=LrSearch()),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per data set, n, model or estimator and alpha, at the best learning rate."""
    return intervals(best_lr(table, by=_BY), by=_BY)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per model or estimator."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, points, "alpha", "model", LABELS, offset=0.006)
        axis.set_xlabel(ALPHA_LABEL)
        axis.set_ylabel("test accuracy")
        legend(axis)
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracies at the largest alpha, the best first."""
    last = points[points["alpha"] == points["alpha"].max()].sort_values("mean", ascending=False)
    return (
        f"Test accuracy with {points['alpha'].max():g} noisy labels per clean label, the best first: "
        f"{list_means(last, 'model', LABELS)}."
    )


def _at_best_lr(table: pd.DataFrame) -> pd.DataFrame:
    return best_lr(table, by=["model", "alpha"])


def _most_accurate(table: pd.DataFrame) -> Judgement:
    runs = _at_best_lr(table)
    return _convnet_ahead(
        runs[runs["alpha"] >= MIN_NOISY_ALPHA], "test_acc_at_best_clean_val", larger_is_better=True
    )


def _drops_least(table: pd.DataFrame) -> Judgement:
    drops = accuracy_drops(_at_best_lr(table), by=["model"])
    return _convnet_ahead(drops[drops["alpha"] >= MIN_NOISY_ALPHA], "drop", larger_is_better=False)


def _convnet_ahead(noisy: pd.DataFrame, value: str, *, larger_is_better: bool) -> Judgement:
    """Judge whether the ConvNet has the best value at every alpha, compared with every other model."""
    others = [name for name in LABELS if name in set(noisy["model"]) - {CONVNET}]
    if CONVNET not in set(noisy["model"]) or len(others) < 2 or noisy["seed"].nunique() < 2:
        return not_testable(
            f"requires a ConvNet and two other models or estimators at α ≥ {MIN_NOISY_ALPHA}, and at least 2 "
            "seeds"
        )
    n_passed, failed = 0, []
    text = percent if larger_is_better else difference
    for alpha, part in noisy.groupby("alpha"):
        means = part.groupby("model")[value].mean()
        for other in others:
            smaller, larger = (other, CONVNET) if larger_is_better else (CONVNET, other)
            significant, p = significantly_less(part, value, "model", smaller, larger)
            if significant:
                n_passed += 1
            else:
                failed.append(
                    f"α = {alpha:g}: {LABELS[CONVNET]} {text(means[CONVNET])}, {LABELS[other]} "
                    f"{text(means[other])} (p = {p:.2g})"
                )
    return judge_comparisons(n_passed, failed)


FIGURE = Figure(
    name="baselines",
    title="Are only deep models robust? Models compared with scikit-learn estimators",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "baselines",
            "A ConvNet is more accurate under noise than every other model and estimator.",
            "At every α ≥ 10 Conv-4's test accuracy is larger than that of each other model and estimator: "
            "disjoint intervals, or a paired test over seeds with p < 0.05.",
            _most_accurate,
        ),
        Claim(
            "baselines",
            "Noise lowers the accuracy of a ConvNet less than that of every other model and estimator.",
            "At every α ≥ 10 the drop from α = 0 is smaller for Conv-4 than for each other model and "
            "estimator: disjoint intervals, or a paired test over seeds with p < 0.05.",
            _drops_least,
        ),
    ),
    method="This figure is not in the paper; its claims are ours. Models and scikit-learn estimators get "
    "the same images with the same labels: for each clean example, α noisy examples are added with the "
    "same image and a label drawn uniformly from all classes. All of them get the normalised pixels as "
    "features. Some of the clean examples are set aside for validation. Their clean labels choose the "
    "step of a model, and one of two to four values of one setting of an estimator: the number of "
    "neighbours, the size of a leaf, the number of boosting rounds, the penalty of the "
    f"regression.\n\n{MEANS_OVER_SEEDS} Markers at the same α are drawn side by side.",
)
