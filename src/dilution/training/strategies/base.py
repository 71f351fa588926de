"""What a strategy is: its parameters, what it needs to know of a training, and what it does in it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.losses import Loss
from dilution.training.strategies.examples import Examples
from dilution.training.strategies.networks import Network
from dilution.utils import rng
from dilution.utils.named_setting import NamedSetting


@dataclass(frozen=True)
class StrategyContext:
    """What a strategy may know of the training of one replica.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes.
    examples
        Number of training examples; their numbers are 0 … examples − 1.
    batch_size
        Examples per batch.
    epochs
        Passes over the examples in the whole training.
    noise_rate
        Expected share of wrong labels among the training examples.
    loss
        Canonical text of the setting `loss`.
    device
        Device of the training.
    """

    shape: tuple[int, int, int]
    classes: int
    examples: int
    batch_size: int
    epochs: float
    noise_rate: float
    loss: str
    device: torch.device

    @classmethod
    def of(
        cls, training: Dilution, *, batch_size: int, epochs: float, loss: str, device: torch.device
    ) -> "StrategyContext":
        """Return the context of a training set."""
        data, noise_rate = training.data, training.expected_noise_summary().noise_rate_expected
        return cls(data.shape, training.classes, len(training), batch_size, epochs, noise_rate, loss, device)


@dataclass(frozen=True)
class TrainingBatch:
    """The examples of one optimizer step of one replica, as a strategy sees them.

    Parameters
    ----------
    images
        Normalised and augmented images, float32, shape (b, channels, height, width).
    labels
        Labels, int64, shape (b,).
    index
        Numbers of the examples, int64, shape (b,).
    step
        Number of the step, from 0.
    epoch
        Number of passes over the examples that are complete before this step.
    label_losses
        Function of logits and labels that returns the losses of the setting `loss`.
    augmented
        Function of a number from 1 that returns the same images, augmented anew.
    key
        Root seed of the random numbers.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    step: int
    epoch: int
    label_losses: Callable[[Tensor, Tensor], Tensor]
    augmented: Callable[[int], Tensor]
    key: int

    def losses(self, logits: Tensor) -> Tensor:
        """Return the losses of the labels, float32, shape (b,), for logits of shape (b, classes)."""
        return self.label_losses(logits, self.labels)

    def view(self, number: int) -> Tensor:
        """Return the images in the `number`-th augmentation; 0 is `images`, and all are equal without any."""
        return self.augmented(number) if number else self.images

    @cached_property
    def random(self) -> np.random.Generator:
        """Random numbers that depend on the seed of the training and the step alone."""
        return np.random.default_rng(rng.stream(self.key, f"strategy/{self.step}") & (2**63 - 1))


class Procedure(nn.Module):
    """What a strategy does in the training of one replica.

    A state is in buffers: they are saved in checkpoints. It does not hold the networks.

    Attributes
    ----------
    networks
        Number of networks that it trains.
    """

    networks: int = 1

    def start_epoch(self, networks: Sequence[Network], examples: Examples, epoch: int) -> None:
        """Prepare for the epoch with this number, from 0, whose first example is in the next batch."""

    def forward(self, networks: Sequence[Network], batch: TrainingBatch) -> Tensor:
        """Return the loss of a step: a scalar, of which all networks get their gradients.

        The loss of several networks is the sum of theirs.
        """
        raise NotImplementedError


class Strategy(NamedSetting, ABC):
    """A training strategy with its parameters. Equal strategies have the same :attr:`text`.

    A new one is a subclass with :meth:`of_replica`, which returns a :class:`Procedure`.

    Attributes
    ----------
    networks
        Number of networks that are trained; None: not known before its module is imported.
    cost
        Time of a step, in steps of plain training, by counting passes through the network: a backward pass
        counts as two forward passes. None: not known.
    """

    kind: ClassVar[str] = "strategy"
    networks: ClassVar[int | None] = 1
    cost: ClassVar[float | None] = 1.0

    def check_loss(self, loss: Loss) -> None:
        """Refuse a loss that the strategy cannot train with.

        Raises
        ------
        InputError
            If it depends on more than logits and one label.
        """
        if loss.is_linear is False:
            raise InputError(
                f"strategy is {self.text!r} and loss is {loss.text!r}, which depends on more than logits and "
                "one label; a strategy needs losses of single examples. Give loss='cross_entropy', or "
                "strategy='plain'."
            )

    def check(self, context: StrategyContext) -> None:
        """Refuse a training that the strategy cannot be used in, before anything is computed.

        Raises
        ------
        InputError
            If the rule of a strategy is broken: fewer epochs than it needs, a function of the user that
            returns no loss.
        """

    @abstractmethod
    def of_replica(self, context: StrategyContext) -> Procedure:
        """Return the procedure of one replica, on the CPU."""
