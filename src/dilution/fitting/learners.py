"""Learners: the kinds of models that are fitted to weighted labels at several budgets, such as networks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.diagnosis.many_classes import has_many_classes
from dilution.errors import InputError
from dilution.fitting.fitted_model import Member, Network
from dilution.models import build_model, errors_of_model
from dilution.noise import Dilution
from dilution.training import TrainConfig, TrainTask, train_together
from dilution.training.ensemble import is_stackable
from dilution.training.recipes import ADVISED, built_in_recipe, config_with_recipe, read_recipe
from dilution.utils.stage_log import advance_stage, begin_stage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EPOCHS = (2, 4, 8, 16, 32)
"""Budgets of a network: under much noise few epochs are best, because more memorise the wrong labels."""

_STEPS_PER_EPOCH = 30  # at least: a hundred rows in two epochs would teach nothing
_MOST_TOGETHER = 16  # networks that train as one ensemble
_LEAST_ROWS = (
    1024  # fewer are repeated: a new order for every pass over a hundred rows takes longer than the pass
)


@dataclass(frozen=True)
class Targets:
    """What models learn in place of the labels.

    Parameters
    ----------
    weights
        Weight of each class for each example, float64, shape (n, classes). With verified labels beside a
        transition matrix, shape (n, 2 · classes): noisy labels first, then true ones.
    transition
        T[true, noisy] of forward correction, float64, shape (classes, classes), or (classes, 2 · classes)
        with the identity behind it. None: cross entropy with the weights.
    """

    weights: Floats
    transition: Floats | None = None


@dataclass(frozen=True)
class Job:
    """One model to fit.

    Parameters
    ----------
    rows
        Examples to learn from, int64.
    seed
        Root seed of weights, batch order and trees.
    """

    rows: Ints
    seed: int


def begin_models(what: str, first: int, at_once: int, total: int) -> None:
    """Begin the stage of some of the models of a fit in the log.

    Parameters
    ----------
    what
        Their kind, with the budget.
    first
        Number of the first one, from 0.
    at_once
        How many are fitted together, at most.
    total
        Number of models.
    """
    last = min(first + at_once, total)
    models = f"model {last}" if last == first + 1 else f"models {first + 1} to {last}"
    begin_stage(f"fitting {what}, {models} of {total}")
    if at_once < total:
        advance_stage(first, total)


class Learner(Protocol):
    """A kind of model."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def takes_transition(self) -> bool:
        """Whether forward correction applies to it."""

    @property
    def takes_weights(self) -> bool:
        """Whether examples may have different weights."""

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets in ascending order."""

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget a fitted model per job."""

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words."""


@dataclass(frozen=True)
class NetworkLearner:
    """A network by name, trained by a recipe; small ones train together.

    Parameters
    ----------
    name
        Name of the network.
    recipe
        ``"advised"``, the path of a recipe, or None: the built-in one.
    device
        As for :func:`dilution.train`.
    budgets
        Epochs.
    loss
        Canonical text of the loss. Default: that of the recipe, or cross entropy.
    """

    name: str
    recipe: Any = None
    device: str = "cpu"
    budgets: tuple[int, ...] = EPOCHS
    loss: str | None = None
    takes_weights: ClassVar[bool] = True

    @property
    def takes_transition(self) -> bool:
        """Whether forward correction can be trained: not with another loss than cross entropy."""
        if self.loss is not None or self.recipe in (None, ADVISED):
            return self.loss in (None, "cross_entropy")
        return bool(read_recipe(self.recipe).get("loss", "cross_entropy") == "cross_entropy")

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget a network per job; see :class:`Learner`."""
        # With many classes a network fills the processor alone, and weights per example and class the memory.
        at_once = _MOST_TOGETHER if self.is_stackable(data) and not has_many_classes(len(data.classes)) else 1
        weights = torch.from_numpy(targets.weights).float()
        transition = None if targets.transition is None else torch.from_numpy(targets.transition).float()
        for epochs in budgets:
            config = self._config(min(len(job.rows) for job in jobs), epochs, data.shape)
            members: list[Member] = []
            for first in range(0, len(jobs), at_once):
                begin_models(f"{self.name}, {epochs} epochs", first, at_once, len(jobs))
                tasks = [
                    self._task(data, weights, transition, job, config)
                    for job in jobs[first : first + at_once]
                ]
                with errors_of_model(self.name):
                    results = train_together(tasks, self.device)
                for result in results:
                    if result.state == "diverged":
                        raise InputError(
                            f"{self.name} diverged at step {result.diverged_at}; its loss must stay finite. "
                            "Pass a recipe with a smaller learning rate, or recipe='advised'."
                        )
                    members.append(Network(result.model, result.normalise))
            yield members

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words; see :class:`Learner`."""
        return f"{budget} epochs"

    def is_stackable(self, data: Arrays) -> bool:
        """Return whether networks of this name compute together: several cost little more than one."""
        return is_stackable(build_model(self.name, data.shape, len(data.classes), seed=0))

    def _config(self, n: int, epochs: int, shape: tuple[int, int, int]) -> TrainConfig:
        if self.recipe in (None, ADVISED):
            settings = built_in_recipe(alpha=0.0, images=epochs * n, pooled=False, shape=shape)
        else:
            settings = read_recipe(self.recipe)
        if self.loss is not None:
            settings = settings | {"loss": self.loss}
        base = TrainConfig(n_evals=1, batch_size=1)
        config = config_with_recipe(base, epochs * n, settings | {"targets": "pooled"})
        return config.model_copy(update={"steps": max(_STEPS_PER_EPOCH * epochs, config.steps or 1)})

    def _task(
        self, data: Arrays, weights: Tensor, transition: Tensor | None, job: Job, config: TrainConfig
    ) -> TrainTask:
        rows = torch.from_numpy(job.rows)
        rows = rows[weights[rows].sum(dim=1) > 0]
        rows = rows.repeat(-(-_LEAST_ROWS // len(rows)))
        part = replace(data.subset(rows), groups=None, observed=None)
        own = weights[rows]
        own *= len(own) / own.sum()  # so that the learning rate does not depend on the weights
        return TrainTask(
            self.name,
            Dilution(part, alpha=0, seed=job.seed),
            part,
            job.seed,
            0,
            config,
            label_weights=own,
            transition=transition,
            compress=data.dtype == torch.float32,
        )
