"""The paper preset: its budget in steps, and the choice of its learning rates.

Every training takes 10 passes over its n(1 + α) examples, rounded up to a length that many others have,
because only trainings of equal length train together. From 6 million examples on it is one length.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dilution.study.halving import Halving, Resumed, Score, resume_search
from dilution.study.run_spec import Run
from dilution.training.config import default_n_val
from dilution.training.estimators import ESTIMATORS

BATCH_SIZE = 128
PASSES = 10
SHORTEST, LONGEST = 3_000, 48_000
"""Steps of the shortest and the longest training; those between are 3,000 times a power of two."""

PAPER_SETTINGS: dict[str, Any] = {
    "targets": "sampled",
    "optimizer": "adadelta",
    "batch_size": BATCH_SIZE,
    "n_evals": 8,
}
"""Settings of the paper, as far as the paper states them, without learning rate and steps."""

TRIAL_SEED = 1_000
"""Seeds from this one on are those of trials, which choose a learning rate and are no result."""

PROVISIONAL_LR = 0.1
"""Learning rate of a planned run until its own is chosen: the middle of those that are tried first."""

HALVING = Halving(
    lr_factors=(0.1, 0.3, 1.0, 3.0, 10.0),
    budget_fractions=(1 / 8, 1 / 2),
    kept=0.4,
    max_extensions=4,
    extends_every_round=True,
)

STEPS_RULE = (
    f"Steps: {PASSES} passes over the n(1 + α) examples, rounded up to {SHORTEST:,} times a power of two, "
    "at most {longest:,}."
)
LR_RULE = (
    "Learning rate: chosen for each point by successive halving (five rates from 0.01 to 1 at an eighth of "
    "the steps; the best two at half of them; in both rounds up to four further ones, until the best one is "
    "not at an edge), by the accuracy on noisy validation labels of two further seeds; among rates within "
    "half a standard error of the most accurate one, by the loss on them."
)


def describe(longest: int = LONGEST, lr_rule: str = LR_RULE) -> str:
    """Return the description of a paper preset.

    Parameters
    ----------
    longest
        Steps of its longest training.
    lr_rule
        How its learning rates are chosen.
    """
    return (
        "Paper preset: sampled targets (one label at a time), Adadelta at a constant learning rate, batch "
        f"size {BATCH_SIZE}. {STEPS_RULE.format(longest=longest)} {lr_rule}"
    )


def paper_steps(n: int, alpha: float, longest: int = LONGEST) -> int:
    """Return the optimizer steps of a training with sampled targets, by the rule of this module.

    Parameters
    ----------
    n
        Clean examples, validation examples included.
    alpha
        Noise level.
    longest
        Steps of the longest training.
    """
    wanted = PASSES * (n - default_n_val(n)) * (1 + alpha) / BATCH_SIZE
    doublings = max(0, math.ceil(math.log2(wanted / SHORTEST)))
    return min(SHORTEST << doublings, longest)


def paper_grids(
    base: Mapping[str, Any],
    alphas: Sequence[float],
    axes: Mapping[str, list[Any]],
    longest: int = LONGEST,
) -> list[tuple[dict[str, Any], dict[str, list[Any]]]]:
    """Return one grid per noise level: settings of the paper, with the steps of that level.

    Parameters
    ----------
    base
        Settings that all runs share, `n` among them.
    alphas
        Noise levels.
    axes
        The values of each further setting that varies.
    longest
        Steps of the longest training.
    """
    return [
        (
            {
                **PAPER_SETTINGS,
                "lr": PROVISIONAL_LR,
                **base,
                "alpha": alpha,
                "steps": paper_steps(base["n"], alpha, longest),
            },
            dict(axes),
        )
        for alpha in alphas
    ]


def nearest(value: float, values: Sequence[float]) -> float:
    """Return the nearest of some values; of two equally near ones the smaller."""
    return min(sorted(values), key=lambda other: abs(other - value))


def _same_settings(run: Run, n_available: int) -> dict[str, Any]:
    del run, n_available
    return {}


def _without_seed(run: Run) -> Run:
    """Return a run that is the same for all seeds of a planned run: they share a search."""
    return run.model_copy(update={"seed": TRIAL_SEED})


@dataclass(frozen=True)
class LrSearch:
    """The choice of a learning rate for each point of a figure, by successive halving.

    Parameters
    ----------
    reference
        Function of a planned run, at any seed, and the number of training images → the settings in which the
        run that is searched differs from it, `n_val` among them where `n` is. Default: none, each point has a
        search of its own.
    seeds
        Number of seeds of a trial, by model. Default: those of :data:`HALVING`.
    """

    reference: Callable[[Run, int], dict[str, Any]] = _same_settings
    seeds: Mapping[str, int] = field(default_factory=dict)

    def next_runs(self, planned: Sequence[Run], scores: Mapping[str, Score], n_available: int) -> list[Run]:
        """Return trials that are missing; with all of them, the planned runs at their learning rates.

        Parameters
        ----------
        planned
            Runs at the provisional learning rate.
        scores
            How each run that has ended did on its noisy validation labels, by key.
        n_available
            Number of training images of the data set.
        """
        searches, keys = self._searches(planned, scores, n_available)
        missing = {key: trial for _, search in searches.values() for key, trial in search.trials.items()}
        if missing:
            return list(missing.values())
        results = []
        for run in planned:
            # an estimator has no learning rate
            lr = None if run.model in ESTIMATORS else searches[keys[_without_seed(run)]][1].lr
            results.append(run if lr is None else run.model_copy(update={"lr": lr}))
        return results

    def describe_edges(self, planned: Sequence[Run], scores: Mapping[str, Score], n_available: int) -> str:
        """Return how many searches chose a learning rate at an edge, as text; empty if none did.

        Parameters
        ----------
        planned, scores, n_available
            As for :meth:`next_runs`.
        """
        searches, _ = self._searches(planned, scores, n_available)
        edges = [(run, search.edge) for run, search in searches.values() if search.edge is not None]
        if not edges:
            return ""
        run, edge = edges[0]
        noise = "" if run.alpha is None else f", α = {run.alpha:g}"
        bound = "highest" if edge.lr == edge.highest else "lowest"
        n_train = run.n - run.n_val
        return (
            f"{len(edges)} of {len(searches)} searches chose a learning rate at an edge of those tried, the "
            f"first {edge.lr:g} ({run.model}, {n_train:,} training examples{noise}), the {bound} of "
            f"{edge.lowest:g} to {edge.highest:g}: a better one may lie beyond"
        )

    def _searches(
        self, planned: Sequence[Run], scores: Mapping[str, Score], n_available: int
    ) -> tuple[dict[str, tuple[Run, Resumed]], dict[Run, str]]:
        """Return the searches of planned runs by the key of the run that is searched, and the keys.

        A key is that of a planned run without its seed.
        """
        searches: dict[str, tuple[Run, Resumed]] = {}
        keys: dict[Run, str] = {}
        for run in dict.fromkeys(map(_without_seed, planned)):
            if run.model in ESTIMATORS:
                continue
            searched = self.searched(run, n_available)
            key = keys[run] = searched.key
            if key not in searches:
                rule = replace(HALVING, seeds=self.seeds.get(run.model, HALVING.seeds))
                searches[key] = searched, resume_search(searched, scores, rule)
        return searches, keys

    def searched(self, run: Run, n_available: int) -> Run:
        """Return the run whose learning rate is searched for a planned run."""
        settings = {"seed": TRIAL_SEED, "lr": PROVISIONAL_LR, **self.reference(run, n_available)}
        return Run.of(**(run.model_dump(exclude_none=True) | settings))
