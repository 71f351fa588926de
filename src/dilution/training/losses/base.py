"""What a loss is: its parameters, what it needs to know of a training, and its values with their gradient."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor
from torch.nn import functional as F

from dilution.errors import InputError, invalid, short_repr, unknown
from dilution.noise import Dilution
from dilution.training.losses.gradient import LossWithGradient, OfEachReplica, mean_with_gradient
from dilution.utils.named_call import format_call


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


class Loss(BaseModel, ABC):
    """A loss with its parameters. Equal losses have the same :attr:`text`, which identifies them in runs.

    A new loss that depends on logits and labels alone is a subclass of :class:`LabelLoss` with one method.
    Any other is a subclass of this class with :meth:`of_replica`.

    Attributes
    ----------
    name
        Name in settings.
    is_linear
        Whether it depends on logits and one label alone. Then it is linear in the histogram of labels, and
        takes pooled and expected targets. None: not known before its module is imported.
    takes_index
        Whether it gets the numbers of the examples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]
    is_linear: ClassVar[bool | None] = True
    takes_index: ClassVar[bool] = False

    if not TYPE_CHECKING:  # a checker of types knows the parameters

        def __init__(self, **parameters: Any) -> None:
            """Create the loss; a parameter that breaks its rule is an InputError."""
            names = type(self).model_fields
            for name in parameters:
                if name not in names and not names:
                    raise InputError(
                        f"loss {self.name!r} has no parameter {short_repr(name)}, nor any other. Give "
                        f"loss={self.name!r}."
                    )
                if name not in names:
                    raise InputError(f"loss {self.name!r}: {unknown('parameter of this loss', name, names)}")
            try:
                super().__init__(**parameters)
            except ValidationError as error:
                raise InputError(f"loss {self.name!r}: {invalid(error, names)}") from None

        __init__.__pydantic_base_init__ = True  # so that validation does not call it

    @property
    def text(self) -> str:
        """Canonical text: name and parameters, those with default values left out."""
        fields = type(self).model_fields.items()
        values = {name: getattr(self, name) for name, field in fields}
        return format_call(
            self.name, {name: values[name] for name, field in fields if values[name] != field.default}
        )

    @property
    def signature(self) -> str:
        """Names and values of all parameters: ``"q=0.7"``; of a matrix that is not given only the name."""
        values = [(name, getattr(self, name)) for name in type(self).model_fields]
        return ", ".join(name if value is None else f"{name}={value!r}" for name, value in values)

    def __str__(self) -> str:
        return self.text

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


def log_softmax(logits: Tensor) -> Tensor:
    """Return the logarithms of the softmax over the last dimension, finite for finite logits.

    Classes are put before examples: PyTorch's softmax over a last dimension of ten takes ten times as long.
    """
    return F.log_softmax(logits.mT, dim=-2).mT
