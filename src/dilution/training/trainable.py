"""Models and estimators by name: the one place that decides how a name is trained."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from dilution.errors import InputError
from dilution.models import MODELS, call_factory
from dilution.training.checkpoint import Checkpoint
from dilution.training.device import reproducible_convolutions
from dilution.training.distributed import Shard
from dilution.training.estimators import ESTIMATORS, check_model_name, fit_estimator
from dilution.training.result import TrainResult
from dilution.training.task import TrainTask
from dilution.training.trainer import train_models


@dataclass(frozen=True)
class Trainable(ABC):
    """A model or estimator by name, and how it is trained; :func:`resolve_trainable` returns one.

    Parameters
    ----------
    name
        Name of the model or estimator.

    Attributes
    ----------
    takes_steps
        Whether it is trained in optimizer steps by the settings of a :class:`TrainConfig`.
    """

    name: str
    takes_steps: ClassVar[bool]

    @abstractmethod
    def train(
        self,
        tasks: Sequence[TrainTask],
        device: torch.device,
        checkpoint: Checkpoint | None,
        shard: Shard,
    ) -> list[TrainResult]:
        """Train on each task and return the results in the order of the tasks.

        Parameters
        ----------
        tasks
            Trainings of this name.
        device
            Device of a model.
        checkpoint
            Checkpoint of a model.
        shard
            The part of each batch that this process computes.
        """


class TrainableModel(Trainable):
    """A model: tasks train together, in optimizer steps."""

    takes_steps = True

    def train(
        self,
        tasks: Sequence[TrainTask],
        device: torch.device,
        checkpoint: Checkpoint | None,
        shard: Shard,
    ) -> list[TrainResult]:
        """Train the models together; see :class:`Trainable`."""
        with reproducible_convolutions(device):
            return train_models(tasks, device, checkpoint, shard)


class TrainableEstimator(Trainable):
    """An estimator: tasks are fitted one after the other, each at once, on the CPU."""

    takes_steps = False

    def train(
        self,
        tasks: Sequence[TrainTask],
        device: torch.device,  # noqa: ARG002
        checkpoint: Checkpoint | None,  # noqa: ARG002
        shard: Shard,  # noqa: ARG002
    ) -> list[TrainResult]:
        """Fit the estimators in turn; see :class:`Trainable`."""
        return [fit_estimator(task) for task in tasks]


def resolve_trainable(name: str, shape: tuple[int, int, int], classes: int) -> Trainable:
    """Return how a name is trained: as a model or as an estimator.

    A custom name is decided by what its factory returns; the factory is called twice to check that
    it depends on the seed alone.

    Parameters
    ----------
    name
        Name of a model or estimator, or ``"module:factory"``.
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes.

    Raises
    ------
    InputError
        If there is neither a model nor an estimator of this name; if a factory breaks a rule, see
        :func:`dilution.models.custom.call_factory`, or returns different models for one seed.
    """
    check_model_name(name)
    if name in ESTIMATORS:
        return TrainableEstimator(name)
    if name in MODELS:
        return TrainableModel(name)
    first, second = (call_factory(name, shape, classes, seed=0) for _ in range(2))
    if not isinstance(first, nn.Module) or not isinstance(second, nn.Module):
        return TrainableEstimator(name)
    _check_reproducible(name, first, second)
    return TrainableModel(name)


def _check_reproducible(name: str, first: nn.Module, second: nn.Module) -> None:
    """Refuse a factory whose models share weights, or differ though they have the same seed."""
    weights, others = list(first.parameters()), list(second.parameters())
    if {id(weight) for weight in weights} & {id(weight) for weight in others}:
        raise InputError(
            f"model is {name!r}, and two calls returned models that share weights: the second run would "
            "continue the first. Create every layer within the factory."
        )
    if len(weights) != len(others) or not all(map(torch.equal, weights, others)):
        raise InputError(
            f"model is {name!r}, and two calls with the same seed returned different weights. Draw them from "
            "PyTorch's global generator, which is seeded for each run, not from NumPy or random."
        )
