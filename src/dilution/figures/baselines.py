"""Beyond the paper: is it deep learning that is robust? Networks beside classifiers of scikit-learn."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import PAPER, POOLED, RATES, Figure, Grids, Material, PresetName, Scale
from dilution.figures.claims import Claim, Judgement, difference, not_testable, percent, percent_interval
from dilution.figures.comparisons import accuracy_lines, compared, falls, surely_less
from dilution.models import LABELS as NETWORK_LABELS
from dilution.report.style import legend, new_figure, style
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals

CONVNET = "conv4"
MODELS = (CONVNET, "mlp2", "perceptron")
ESTIMATORS = ("sklearn:knn", "sklearn:forest", "sklearn:boosting", "sklearn:logistic")
LABELS = {name: NETWORK_LABELS[name] for name in MODELS} | {
    "sklearn:knn": "Nearest neighbours",
    "sklearn:forest": "Random forest",
    "sklearn:boosting": "Boosted trees",
    "sklearn:logistic": "Logistic regression",
}
NOISY = 10  # from this noise level on, the ConvNet must be ahead

_BY = ["dataset", "n", "model", "alpha"]


def _grids(n: int, alphas: list[float], networks: dict[str, Any]) -> Grids:
    """Return networks and learners on the same dilutions."""
    seen = {"alpha": alphas}
    base = {**POOLED, "n": n}
    return [
        ({**base, **networks}, {"model": list(MODELS), **seen}),
        (base, {"model": list(ESTIMATORS), **seen}),
    ]


def _demo(material: Material) -> Grids:
    networks = {"lr": 3e-3, "batch_size": 64, "epochs": 20.0, "n_evals": 10}
    return _grids(min(1_000, material.size), [0.0, 2.0, 5.0, 10.0, 20.0], networks)


def _laptop(material: Material) -> Grids:
    networks = {"lr": 1e-3, "steps": 600, "n_evals": 20}
    return _grids(min(1_000, material.size), [0.0, 5.0, 10.0, 20.0, 50.0], networks)


def _paper(material: Material) -> Grids:
    base = {"n": min(5_000, material.size)}
    seen = {"alpha": [0.0, 5.0, 10.0, 20.0, 50.0]}
    return [
        ({**PAPER, **base}, {"model": list(MODELS), **seen, "lr": list(RATES)}),
        ({"targets": "sampled", **base}, {"model": list(ESTIMATORS), **seen}),
    ]


_SMALL = "Few clean images, so that all n(1 + α) examples fit in the memory that learners need."
_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        _demo, f"Demo scale: networks train in pooled batch order with Adam for 20 epochs. {_SMALL}"
    ),
    "laptop": Scale(
        _laptop,
        f"Laptop scale: networks train in pooled batch order with Adam at 1e-3 for 600 steps. {_SMALL}",
    ),
    "paper": Scale(
        _paper,
        "Paper scale: networks train one label at a time, with Adadelta at the best of four learning rates "
        f"on clean validation data, 50,000 steps. {_SMALL}",
        seeds=5,
    ),
}


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by data set, n, learner and alpha, at the best rate of several."""
    return intervals(best_lr(table, by=_BY), by=_BY)


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line for each network and learner."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, found, "alpha", "model", LABELS, apart=0.006)
        axis.set_xlabel("noisy labels for each clean one, α")
        axis.set_ylabel("test accuracy")
        legend(axis)
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say which of them is best and worst at the largest alpha, and where the ConvNet is."""
    last = found[found["alpha"] == found["alpha"].max()].sort_values("mean", ascending=False)
    said = [
        f"{LABELS[row['model']]} {percent_interval(row['mean'], row['low'], row['high'])}"
        for _, row in last.iterrows()
    ]
    return (
        f"With {found['alpha'].max():g} noisy labels for each clean one the test images named rightly are, "
        f"from the best to the worst: {'; '.join(said)}."
    )


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    return best_lr(table, by=["model", "alpha"])


def _most_accurate(table: pd.DataFrame) -> Judgement:
    chosen = _chosen(table)
    return _ahead(chosen[chosen["alpha"] >= NOISY], "test_acc_at_best_clean_val", larger=True)


def _falls_least(table: pd.DataFrame) -> Judgement:
    fall = falls(_chosen(table), by=["model"])
    return _ahead(fall[fall["alpha"] >= NOISY], "fall", larger=False)


def _ahead(noisy: pd.DataFrame, value: str, *, larger: bool) -> Judgement:
    """Judge whether the ConvNet's value is the larger or the smaller at every alpha, beside every other."""
    others = [name for name in LABELS if name in set(noisy["model"]) - {CONVNET}]
    if CONVNET not in set(noisy["model"]) or len(others) < 2 or noisy["seed"].nunique() < 2:
        return not_testable(f"it takes a ConvNet beside two others at α ≥ {NOISY} and at least 2 seeds")
    held, broken = 0, []
    write = percent if larger else difference
    for alpha, part in noisy.groupby("alpha"):
        means = part.groupby("model")[value].mean()
        for other in others:
            less, more = (other, CONVNET) if larger else (CONVNET, other)
            holds, p = surely_less(part, value, "model", less, more)
            if holds:
                held += 1
            else:
                broken.append(
                    f"α = {alpha:g}: {LABELS[CONVNET]} {write(means[CONVNET])}, {LABELS[other]} "
                    f"{write(means[other])} (p = {p:.2g})"
                )
    return compared(held, broken)


FIGURE = Figure(
    name="learners",
    title="Is it deep learning that is robust? Networks beside other learners",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "learners",
            "A ConvNet keeps more accuracy under noise than every other learner.",
            "At every α ≥ 10 Conv-4's test accuracy is larger than that of each other network and learner: "
            "disjoint intervals, or a paired test over seeds with p < 0.05.",
            _most_accurate,
        ),
        Claim(
            "learners",
            "Noise takes less accuracy from a ConvNet than from every other learner.",
            "At every α ≥ 10 the drop from α = 0 is smaller for Conv-4 than for each other network and "
            "learner: disjoint intervals, or a paired test over seeds with p < 0.05.",
            _falls_least,
        ),
    ),
    method="This figure is not in the paper; its claims are ours. Networks and classifiers of scikit-learn "
    "get the same images with the same labels: for each clean example α noisy ones with the same image "
    "and a label uniform over all classes. All see pixels, normalised alike, and nothing else. A share of "
    "the clean examples is set aside as validation data. Their clean labels choose the step of a network, "
    "and one value of two to four for one setting of a learner: the neighbours, the size of a leaf, the "
    "rounds of boosting, the penalty of the regression.\n\n"
    "Points are means over seeds (subset, noise, weights and order all differ between seeds), bars 95 % "
    "Student t intervals; they are drawn side by side where they share an α.",
)
