"""Held-out predictions: each example is predicted by networks that never saw its label."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from dilution.data import Arrays
from dilution.diagnosis.fleet import Fleet, Part
from dilution.errors import InputError
from dilution.models import default_model
from dilution.study.executors import available_cores
from dilution.training import TrainConfig, kind_of
from dilution.training.config import PrecisionName, check_precision
from dilution.training.recipes import ADVISED, advised, read_recipe, spent
from dilution.utils import rng

FOLDS = 5
REPEATS = 2
BUDGETS = (2, 4, 8, 16, 32)
"""Epochs that are tried: under much noise few are best, since more learn the wrong labels by heart."""

_LEAST_STEPS = 60  # of the smallest budget: a hundred images in two epochs would teach nothing
_SURE = 1e-9


@dataclass(frozen=True)
class HeldOut:
    """Predictions of every example by networks that did not train on it.

    Parameters
    ----------
    probabilities
        Of the noisy labels, float64, shape (n, classes): the geometric mean over repeats.
    network
        Name of the network.
    networks
        How many were trained.
    epochs
        The budget that predicted held-out labels best.
    loss
        Mean cross entropy of the held-out noisy labels, in nats.
    baseline
        What naming each class as often as it is a label would lose, in nats.
    """

    probabilities: NDArray[np.float64]
    model: str
    networks: int
    epochs: int
    loss: float
    baseline: float


def held_out(
    data: Arrays,
    *,
    model: str | None = None,
    folds: int = FOLDS,
    repeats: int = REPEATS,
    seed: int = 0,
    settings: TrainConfig | None = None,
    recipe: str | Path | None = None,
    precision: PrecisionName = "float32",
    workers: int | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = lambda _: None,
) -> HeldOut:
    """Predict each example with networks trained on the noisy labels of the other folds.

    Parameters
    ----------
    data
        Examples; `labels` are the noisy ones.
    network
        Name of the network. Default: :func:`dilution.models.default_network`.
    folds
        Parts, each of which is predicted by networks trained on the others.
    repeats
        Times that all of it is done, with other parts and other initial weights.
    seed
        Root seed of the parts, the weights and the order.
    settings
        How to train. Default: Adam, batch 64, at a rate that falls linearly; the fewest epochs of
        `BUDGETS` that predict the first fold's held-out labels as well as any.
    recipe
        ``"advised"``, or the path of a recipe, whose settings but the order take the place of the default.
    precision
        What products are computed in, where `settings` do not say.
    workers
        Processes that train; default one a core. 0 trains in this process.
    device
        As for :func:`dilution.train`.
    say
        Called with lines on progress.

    Raises
    ------
    InputError
        If there are fewer examples than folds, or a name is unknown.
    """
    if len(data) < 2 * folds:
        raise InputError(
            f"there are {len(data)} examples; predicting each by networks that did not see it takes at "
            f"least {2 * folds}. Bring more of them."
        )
    check_precision(precision)
    way = _Way(recipe, precision, data.shape)
    name = model or default_model(data.shape)
    total = np.zeros((len(data), len(data.classes)))
    with Fleet(data, name, device, available_cores() if workers is None else workers) as fleet:
        if settings is None and kind_of(name, data.shape, len(data.classes)) == "estimator":
            settings = way.settings(BUDGETS[0], len(data))  # takes no steps
        elif settings is None:
            settings = _best_recipe(fleet, data, _parts(len(data), folds, seed, 0), seed, way, say)
        for repeat in range(repeats):
            say(f"predicting held-out labels with {name}: round {repeat + 1} of {repeats}, {folds} networks")
            parts = _parts(len(data), folds, seed, repeat)
            jobs = [_part(parts, held, seed + repeat, settings) for held in range(folds)]
            for rows, found in zip(parts, fleet.predict(jobs), strict=True):
                total[rows] += np.log(found.astype(np.float64) + _SURE)
    probabilities = softmax(total / repeats, axis=1)
    labels = data.labels.numpy()
    shares = np.bincount(labels) / len(labels)
    return HeldOut(
        probabilities,
        name,
        folds * repeats,
        _passes(settings, len(data) - len(data) // folds),
        -float(np.log(probabilities[np.arange(len(labels)), labels]).mean()),
        -float(np.log(shares[labels]).mean()),
    )


def _parts(n: int, folds: int, seed: int, repeat: int) -> list[NDArray[np.int64]]:
    order = rng.permutation(rng.stream(seed, f"folds/{repeat}"), n)
    return np.array_split(order.numpy(), folds)


@dataclass(frozen=True)
class _Way:
    """How networks train, but for the budget: by a recipe if one is given."""

    recipe: str | Path | None
    precision: PrecisionName
    shape: tuple[int, int, int]

    def settings(self, epochs: int, training: int) -> TrainConfig:
        """Return how to train for so many epochs of so many examples."""
        if self.recipe is None:
            batch = 64 if training >= 640 else 16
            given: dict[str, Any] = {
                "optimizer": "adam",
                "rate": 1e-3,
                "schedule": "linear",
                "batch_size": batch,
            }
        elif str(self.recipe) == ADVISED:  # how noisy the labels are is what is asked, so it cannot say
            given = advised(alpha=0.0, images=epochs * training, pooled=False, shape=self.shape)
        else:
            given = read_recipe(self.recipe)
        base = TrainConfig(precision=self.precision, n_evals=1, batch_size=1)
        taken = spent(base, epochs * training, given | {"order": "expected"})
        least = epochs * _LEAST_STEPS // BUDGETS[0]
        return taken.model_copy(update={"steps": max(least, taken.steps or 1)})


def _part(parts: list[NDArray[np.int64]], held: int, seed: int, settings: TrainConfig) -> Part:
    rows = np.concatenate([part for number, part in enumerate(parts) if number != held])
    return Part(rows, parts[held], seed, settings)


def _best_recipe(
    fleet: Fleet,
    data: Arrays,
    parts: list[NDArray[np.int64]],
    seed: int,
    way: _Way,
    say: Callable[[str], None],
) -> TrainConfig:
    """Return how to train: the fewest epochs that predict the first fold's labels as well as any.

    As well means within one standard error of the difference (Breiman et al. 1984); where more epochs do not
    pass that, no further ones are tried: they would learn wrong labels by heart.
    """
    labels, training = data.labels.numpy()[parts[0]], len(data) - len(parts[0])
    losses: list[NDArray[np.float64]] = []
    at_once = max(1, fleet.workers)
    for first in range(0, len(BUDGETS), at_once):
        recipes = [way.settings(epochs, training) for epochs in BUDGETS[first : first + at_once]]
        jobs = [_part(parts, 0, seed, recipe) for recipe in recipes]
        for found in fleet.predict(jobs):
            losses.append(-np.log(found[np.arange(len(labels)), labels].astype(np.float64) + _SURE))
        if _fewest(losses) < len(losses) - 1:
            break
    best = BUDGETS[_fewest(losses)]
    passes = {epochs: _passes(way.settings(epochs, training), training) for epochs in BUDGETS}
    tried = ", ".join(
        f"{passes[epochs]} epochs {loss.mean():.4f}" for epochs, loss in zip(BUDGETS, losses, strict=False)
    )
    say(f"cross entropy of held-out labels: {tried}; {passes[best]} epochs it is")
    return way.settings(best, training)


def _passes(settings: TrainConfig, training: int) -> int:
    """Return the passes over the examples that a training takes: of few, more than its budget is named."""
    return max(1, round(settings.total_steps(training) * settings.batch_size / training))


def _fewest(losses: list[NDArray[np.float64]]) -> int:
    """Return the place of the first budget that none after it surpasses by more than a standard error."""
    for place, loss in enumerate(losses):
        gains = [loss - other for other in losses[place + 1 :]]
        if all(gain.mean() <= gain.std() / math.sqrt(len(gain)) for gain in gains):
            return place
    return 0
