"""What a loss is: its parameters, what it needs to know of a training, and its values with their gradient."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.losses.gradient import (
    ExampleLosses,
    LossWithGradient,
    OfEachReplica,
    mean_with_gradient,
    select_labels,
)
from dilution.utils.named_setting import NamedSetting


@dataclass(frozen=True)
class LossContext:
    """What a loss may know of the training of one replica.

    Parameters
    ----------
    classes
        Names of the classes.
    examples
        Number of training examples; their numbers are 0 … examples − 1.
    transition
        T[true, noisy] expected over all training labels, float64, shape (classes, classes).
    takes_weights
        Whether targets are weights of the labels: with pooled and expected targets, and with mixup.
    device
        Device of the training.
    replicas
        Number of models that train together.
    """

    classes: tuple[str, ...]
    examples: int
    transition: NDArray[np.float64]
    takes_weights: bool
    device: torch.device
    replicas: int = 1

    @classmethod
    def of(
        cls, training: Dilution, *, takes_weights: bool, device: torch.device, replicas: int = 1
    ) -> "LossContext":
        """Return the context of a training set."""
        names = tuple(map(str, training.data.classes))
        return cls(names, len(training), training.overall, takes_weights, device, replicas)


class Loss(NamedSetting, ABC):
    """A loss with its parameters. Equal losses have the same :attr:`text`, which identifies them in runs.

    A new loss that depends on logits and labels alone is a subclass of :class:`LabelLoss` with one method.
    Any other is a subclass of this class with :meth:`of_replica`.

    Attributes
    ----------
    is_linear
        Whether it depends on logits and one label alone. Then it is linear in the histogram of labels, and
        takes pooled and expected targets. None: not known before its module is imported.
    takes_index
        Whether it gets the numbers of the examples.
    """

    kind: ClassVar[str] = "loss"
    is_linear: ClassVar[bool | None] = True
    takes_index: ClassVar[bool] = False

    def check(self, context: LossContext) -> None:
        """Refuse a training that the loss cannot be used in, before anything is computed.

        Raises
        ------
        InputError
            If the rule of a loss is broken: a transition matrix of another size, a state that does not fit
            into memory, weights of labels for a loss that is not linear in them.
        """

    @abstractmethod
    def of_replica(self, context: LossContext) -> LossWithGradient:
        """Return mean loss and gradient of one replica, as a function of its logits and targets.

        A loss with a state returns an ``nn.Module`` that has it in buffers: they are saved in checkpoints.
        """

    def of_group(self, contexts: Sequence[LossContext]) -> LossWithGradient:
        """Return mean losses and gradients of replicas that train together."""
        return OfEachReplica([self.of_replica(context) for context in contexts])

    def of_examples(self, context: LossContext) -> ExampleLosses:  # noqa: ARG002
        """Return the losses of single examples, for a strategy that weighs or selects them.

        Raises
        ------
        InputError
            If the loss has none: it depends on more than logits and one label.
        """
        raise InputError(
            f"loss is {self.text!r}, which depends on more than logits and one label; a strategy needs "
            "losses of single examples. Give another loss, or leave strategy out."
        )


class LabelLoss(Loss):
    """A loss that depends on logits and one label alone: a vector of losses, one per possible label.

    The mean of ℓ over several labels of an image, w_k of them the label k, is Σ_k w_k ℓ_k: linear in the
    histogram w. So pooled targets give exactly the mean over the labels that sampled targets show one at a
    time, and expected targets give its expectation.
    """

    @abstractmethod
    def class_losses(self, logits: Tensor) -> Tensor:
        """Return the losses of all labels.

        Parameters
        ----------
        logits
            float, shape (…, b, classes).

        Returns
        -------
        Tensor
            float, shape (…, b, classes): entry k is the loss if the label is k.
        """

    def of_replica(self, context: LossContext) -> LossWithGradient:  # noqa: ARG002
        return self.of_group(())

    def of_group(self, contexts: Sequence[LossContext]) -> LossWithGradient:  # noqa: ARG002
        return mean_with_gradient(self.class_losses)

    def of_examples(self, context: LossContext) -> ExampleLosses:  # noqa: ARG002
        return lambda logits, labels: select_labels(self.class_losses(logits), labels)


def log_softmax(logits: Tensor) -> Tensor:
    """Return the logarithms of the softmax over the last dimension, finite for finite logits.

    Classes are put before examples: PyTorch's softmax over a last dimension of ten takes ten times as long.
    """
    return F.log_softmax(logits.mT, dim=-2).mT
