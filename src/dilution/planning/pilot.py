"""The pilot: the user's data at several sizes and noise levels, chosen where the answer needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from dilution.planning.accuracy_law import Floats, Law
from dilution.study.run_spec import Run
from dilution.training.config import PrecisionName, default_n_val

Labels = Literal["added", "replaced"]

_EPOCHS, _LEAST_STEPS = 5, 140  # as Figures 8 and 9 train: fewer steps do not learn, more learn by heart
_BATCH = 64
_LEAST_N = 60
LEAST = 4 * _LEAST_N
"""Training examples that a pilot takes at least: three sizes, each twice the one before."""
_SIZES = 5  # of the first runs, each twice the one before
_SEEDS = 2
_TOGETHER = 4  # runs that are asked for at a time


@dataclass(frozen=True)
class Scope:
    """What a pilot may use.

    Parameters
    ----------
    dataset
        Name or path of the data.
    network
        Name of the network.
    largest
        The most clean examples of a run.
    alphas
        Noise levels, ascending, the first of them 0.
    labels
        Whether noisy labels are added to the clean ones or replace them.
    precision
        What products are computed in.
    """

    dataset: str
    model: str
    largest: int
    alphas: tuple[float, ...]
    labels: Labels = "added"
    precision: PrecisionName = "float32"

    def run(self, n: int, alpha: float, seed: int) -> Run:
        """Return the run with n clean examples' worth of labels at a noise level.

        Where labels are replaced, n(1 + α) images have one label each: as many labels, and in the mean as
        many clean ones, as n images with α labels added to each.
        """
        images = n if self.labels == "added" else round(n * (1 + alpha))
        training = images - default_n_val(images)
        settings: dict[str, Any] = {
            "dataset": self.dataset,
            "model": self.model,
            "n": images,
            "alpha": alpha,
            "targets": "pooled",
            "optimizer": "adam",
            "lr": 1e-3,
            "schedule": "linear",
            "batch_size": _BATCH,
            "steps": max(_LEAST_STEPS, round(_EPOCHS * training / _BATCH)),
            "n_evals": 3,
            "precision": self.precision,
            "seed": seed,
        }
        return Run.of(**settings, label_mode=self.labels)

    @property
    def sizes(self) -> list[int]:
        """Sizes of runs, ascending, four for each doubling."""
        steps = int(4 * np.log2(self.largest / _LEAST_N))
        return sorted({round(self.largest * 2 ** (-step / 4)) for step in range(steps + 1)})

    def allowed(self, n: int, alpha: float) -> bool:
        """Return whether there are images enough for a run."""
        return self.labels == "added" or n * (1 + alpha) <= self.largest


def first_runs(scope: Scope) -> list[Run]:
    """Return the runs that a pilot begins with: sizes doubling up to the largest, at each noise level."""
    runs = []
    for alpha in scope.alphas:
        sizes = [n for n in scope.sizes if scope.allowed(n, alpha)][::-4][:_SIZES]
        runs += [scope.run(n, alpha, seed) for n in sizes for seed in range(_SEEDS)]
    return runs


def next_runs(scope: Scope, law: Law, done: pd.DataFrame, goals: Sequence[tuple[float, float]]) -> list[Run]:
    """Return the runs that would tell most about the examples needed for some accuracies, for their cost.

    A run's logit, were it known, would narrow the logarithm of n needed by its squared correlation with it
    over the draws of the law, less what the run's own scatter takes away; a run costs its steps.

    Parameters
    ----------
    scope
        What may be used.
    law
        As fitted so far.
    done
        The runs so far: ``n`` and ``alpha`` in clean examples, ``seed``.
    goals
        Accuracy and noise level of each n wanted.
    """
    wanted = [_log_needed(law, *goal) for goal in goals]
    found = []
    for alpha in scope.alphas:
        for n in scope.sizes:
            if not scope.allowed(n, alpha):
                continue
            accuracy = law.accuracy(n, alpha).clip(1e-3, 1 - 1e-3)
            outcome = np.log(accuracy / (1 - accuracy))
            spread = float(outcome.var() + np.median(law.sigma) ** 2)
            told = sum(
                float(np.cov(outcome, each)[0, 1]) ** 2 / spread / max(each.var(), 1e-9) for each in wanted
            )
            found.append((told / (scope.run(n, alpha, 0).steps or 1), n, alpha))
    best = sorted(found, reverse=True)[:_TOGETHER]
    seed = int(done["seed"].max()) + 1
    return [scope.run(n, alpha, seed + place) for place, (_, n, alpha) in enumerate(best)]


def _log_needed(law: Law, accuracy: float, alpha: float) -> Floats:
    """Return log n needed; where it is never reached, the largest that is."""
    n = law.needed(accuracy, alpha)
    finite = np.isfinite(n)
    if not finite.any():
        return np.zeros_like(n)
    return np.log(np.where(finite, n, n[finite].max()))
