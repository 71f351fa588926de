"""The runs of the figure of thresholds by number of classes: data, noise and training per preset."""

import math
from typing import Any

from dilution.data.first_classes import name_with_classes
from dilution.errors import InputError
from dilution.figures.base import POOLED_SETTINGS, FigureInputs, Grids, Preset, PresetName
from dilution.figures.paper_scale import LR_RULE, LrSearch, describe, paper_grids, paper_steps
from dilution.study.run_spec import Run

SKEWS = (0.5, 0.8)
"""Skews of the structured noise: the margin is a half and a fifth of that of uniform noise."""

_FEWEST, _MANY = 3, 60  # with two classes all kinds of noise are the same
_LEAST = 6  # classes of data that have three different numbers of classes from 3 on
_ALPHAS = [2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]
_LAPTOP_ALPHAS = [*_ALPHAS, 500.0]
_PAPER_ALPHAS = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
_SEARCHED_ALPHAS = (0.0, 10.0)  # where learning rates are chosen at the paper preset
_LONGEST = 12_000  # steps of a training at the paper preset


def class_counts(inputs: FigureInputs) -> list[int]:
    """Return the numbers of classes that are compared: 3, 5 and 10 of 10; 10, 50 and 200 of 200.

    From 60 classes on they are a twentieth, a quarter and all; below they are 3, the geometric mean of
    3 and all, and all.

    Raises
    ------
    InputError
        If the data have fewer than 6 classes.
    """
    classes = len(_sizes(inputs))
    if classes < _LEAST:
        raise InputError(
            f"{inputs.dataset} has {classes} classes; class_counts compares three numbers of classes, of "
            f"which the smallest is {_FEWEST}, so it takes at least {_LEAST}. Name a data set with more."
        )
    if classes >= _MANY:
        return [classes // 20, classes // 4, classes]
    return [_FEWEST, round(math.sqrt(_FEWEST * classes)), classes]


def examples_per_class(inputs: FigureInputs, most: int | None = None) -> int:
    """Return how many examples per class all numbers of classes have.

    Parameters
    ----------
    inputs
        The data.
    most
        Largest number. Default: as many as there are.
    """
    sizes = _sizes(inputs)
    available = min(sum(sizes[:count]) // count for count in class_counts(inputs))
    return available if most is None else min(available, most)


def _sizes(inputs: FigureInputs) -> tuple[int, ...]:
    return inputs.class_sizes or (inputs.n_available // 10,) * 10


def _by_class_count(inputs: FigureInputs, per_class: int) -> list[dict[str, Any]]:
    """Return data set and n for each number of classes, the longest trainings first."""
    return [
        {"dataset": name_with_classes(inputs.dataset, count), "n": per_class * count}
        for count in reversed(class_counts(inputs))
    ]


def _pooled(inputs: FigureInputs, base: dict[str, Any], most: int, alphas: list[float]) -> Grids:
    grids: Grids = []
    for data in _by_class_count(inputs, examples_per_class(inputs, most)):
        settings = {**POOLED_SETTINGS, **base, **data}
        skewed: dict[str, list[Any]] = {"delta": list(SKEWS), "alpha": alphas}
        grids += [
            (settings, {"alpha": [0.0, *alphas]}),
            ({**settings, "noise": "structured"}, skewed),
        ]
    return grids


def _demo(inputs: FigureInputs) -> Grids:
    base = {"model": "mlp2", "lr": 2e-3, "batch_size": 64, "epochs": 30.0, "n_evals": 5}
    return _pooled(inputs, base, 120, _ALPHAS)


def _laptop(inputs: FigureInputs) -> Grids:
    base = {"model": "mlp2", "lr": 1e-3, "batch_size": 64, "epochs": 30.0, "n_evals": 5}
    return _pooled(inputs, base, 300, _LAPTOP_ALPHAS)


def _paper(inputs: FigureInputs) -> Grids:
    grids: Grids = []
    for data in _by_class_count(inputs, examples_per_class(inputs)):
        settings = {"model": "conv6", **data}
        skewed: dict[str, list[Any]] = {"delta": list(SKEWS)}
        grids += paper_grids(settings, [0.0, *_PAPER_ALPHAS], {}, _LONGEST)
        grids += paper_grids({**settings, "noise": "structured"}, _PAPER_ALPHAS, skewed, _LONGEST)
    return grids


def searched_alpha(run: Run, n_available: int) -> dict[str, Any]:
    """Return the settings of the nearest noise level at which a learning rate is searched, in log(1 + α)."""
    del n_available
    alpha = min(_SEARCHED_ALPHAS, key=lambda other: abs(math.log1p(other) - math.log1p(run.alpha or 0.0)))
    uniform = {"noise": "uniform", "delta": None, "noise_order": None}
    return {**uniform, "alpha": alpha, "steps": paper_steps(run.n, alpha, _LONGEST)}


_NUMBERS = "Numbers of classes: 3, 5 and 10 of 10 classes, a twentieth, a quarter and all of 60 or more."
PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        f"Demo preset: at most 120 examples per class, MLP-2, pooled targets, Adam for 30 epochs. {_NUMBERS}",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: at most 300 examples per class, so that learning fails within the noise levels "
        "tried, MLP-2, pooled targets, Adam with a learning rate of 1e-3 that falls linearly to 0, 30 "
        f"epochs, five seeds. {_NUMBERS}",
        seeds=5,
    ),
    "paper": Preset(
        _paper,
        describe(
            _LONGEST,
            f"{LR_RULE} It is chosen for each number of classes at α = 0 and 10 under uniform noise, and "
            "used at the α nearest to it in log(1 + α).",
        )
        + f" All examples of each class, Conv-6. {_NUMBERS}",
        seeds=5,
        lr_search=LrSearch(searched_alpha),
    ),
}
