"""The pilot: runs on the user's data at several sizes and noise levels, placed where they inform most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dilution.noise.single_label import LabelMode
from dilution.planning.accuracy_law import AccuracyLaw, Floats
from dilution.study.run_spec import Run
from dilution.training.config import PrecisionName, default_n_val

_EPOCHS, _MIN_STEPS = 5, 140  # as in Figures 8 and 9: fewer steps do not learn, more memorise
_BATCH_SIZE = 64
_MIN_N = 60
MIN_EXAMPLES = 4 * _MIN_N
"""Training examples that a pilot needs: three sizes, each twice the one before."""
_FIRST_SIZES = 5  # of the first runs, each twice the one before
_FIRST_SEEDS = 2
_RUNS_PER_ROUND = 4


@dataclass(frozen=True)
class PilotScope:
    """What the runs of a pilot may use.

    Parameters
    ----------
    dataset
        Name or path of the data.
    model
        Name of the model.
    max_n
        Largest number of clean examples of a run.
    alphas
        Noise levels, ascending, the first of them 0.
    label_mode
        Whether noisy labels are added to the clean ones or replace them.
    precision
        Precision of products.
    """

    dataset: str
    model: str
    max_n: int
    alphas: tuple[float, ...]
    label_mode: LabelMode = "added"
    precision: PrecisionName = "float32"

    def run(self, n: int, alpha: float, seed: int) -> Run:
        """Return the run with the labels of n clean examples at a noise level.

        If labels are replaced, n(1 + α) images have one label each: as many labels, and on average
        as many clean ones, as n images with α labels added to each.
        """
        n_images = n if self.label_mode == "added" else round(n * (1 + alpha))
        n_train = n_images - default_n_val(n_images)
        settings: dict[str, Any] = {
            "dataset": self.dataset,
            "model": self.model,
            "n": n_images,
            "alpha": alpha,
            "targets": "pooled",
            "optimizer": "adam",
            "lr": 1e-3,
            "schedule": "linear",
            "batch_size": _BATCH_SIZE,
            "steps": max(_MIN_STEPS, round(_EPOCHS * n_train / _BATCH_SIZE)),
            "n_evals": 3,
            "precision": self.precision,
            "seed": seed,
        }
        return Run.of(**settings, label_mode=self.label_mode)

    @property
    def sizes(self) -> list[int]:
        """Sizes of runs, ascending, four per doubling."""
        quarters = int(4 * np.log2(self.max_n / _MIN_N))
        return sorted({round(self.max_n * 2 ** (-quarter / 4)) for quarter in range(quarters + 1)})

    def allows(self, n: int, alpha: float) -> bool:
        """Return whether there are enough images for a run."""
        return self.label_mode == "added" or n * (1 + alpha) <= self.max_n


def first_runs(scope: PilotScope) -> list[Run]:
    """Return the first runs of a pilot: at each noise level, sizes that double up to the largest."""
    runs = []
    for alpha in scope.alphas:
        sizes = [n for n in scope.sizes if scope.allows(n, alpha)][::-4][:_FIRST_SIZES]
        runs += [scope.run(n, alpha, seed) for n in sizes for seed in range(_FIRST_SEEDS)]
    return runs


def next_runs(
    scope: PilotScope, law: AccuracyLaw, done: pd.DataFrame, goals: Sequence[tuple[float, float]]
) -> list[Run]:
    """Return the next runs of a pilot: those that inform most, for their cost, about the examples needed.

    A run that measures its logit would reduce the variance of the log n needed by their squared
    correlation over the draws of the law, less the scatter of the run itself; its cost is its steps.

    Parameters
    ----------
    scope
        What the runs may use.
    law
        The law as fitted so far.
    done
        The runs so far, with the column ``seed``.
    goals
        Accuracy and noise level of each n that is wanted.
    """
    log_needed = [_log_n_needed(law, accuracy, alpha) for accuracy, alpha in goals]
    candidates = []
    for alpha in scope.alphas:
        for n in scope.sizes:
            if scope.allows(n, alpha):
                information = _information(law, n, alpha, log_needed)
                candidates.append((information / (scope.run(n, alpha, 0).steps or 1), n, alpha))
    best = sorted(candidates, reverse=True)[:_RUNS_PER_ROUND]
    seed = int(done["seed"].max()) + 1
    return [scope.run(n, alpha, seed + number) for number, (_, n, alpha) in enumerate(best)]


def _information(law: AccuracyLaw, n: int, alpha: float, log_needed: Sequence[Floats]) -> float:
    """Return the share of the variance of each log n needed that a run would explain, summed."""
    accuracy = law.accuracy(n, alpha).clip(1e-3, 1 - 1e-3)
    outcome = np.log(accuracy / (1 - accuracy))
    variance = float(outcome.var() + np.median(law.sigma) ** 2)
    return sum(
        float(np.cov(outcome, needed)[0, 1]) ** 2 / variance / max(float(needed.var()), 1e-9)
        for needed in log_needed
    )


def _log_n_needed(law: AccuracyLaw, accuracy: float, alpha: float) -> Floats:
    """Return log n needed; the largest finite one in draws where the accuracy is out of reach."""
    n = law.n_needed(accuracy, alpha)
    finite = np.isfinite(n)
    if not finite.any():
        return np.zeros_like(n)
    return np.log(np.where(finite, n, n[finite].max()))
