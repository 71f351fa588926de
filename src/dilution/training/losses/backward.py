"""Backward correction: the losses of all labels, recombined so that their mean is the clean loss."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.errors import InputError
from dilution.training.losses.base import LossContext, log_softmax
from dilution.training.losses.gradient import (
    ExampleLosses,
    LossWithGradient,
    mean_with_gradient,
    select_labels,
)
from dilution.training.losses.transition import TransitionLoss

_MAX_CONDITION = 1e5  # of T; in float32 its inverse has then about two digits left


class Backward(TransitionLoss):
    """Backward correction: cross entropy corrected by the inverse of T (Patrini et al. 2017, theorem 1).

    ℓ(f, y) = −Σ_c T⁻¹[y, c] log f_c

    With the true T its mean over the noisy labels of an example is the cross entropy of the true class.
    Losses may be negative, and a large condition number of T makes their variance large.

    Parameters
    ----------
    T
        T[true, noisy], as for :class:`Forward`. It must have an inverse.
    """

    name: ClassVar[str] = "backward"

    def check(self, context: LossContext) -> None:
        self._inverse(context)

    def of_replica(self, context: LossContext) -> LossWithGradient:
        return mean_with_gradient(self._class_losses(context))

    def of_examples(self, context: LossContext) -> ExampleLosses:
        class_losses = self._class_losses(context)
        return lambda logits, labels: select_labels(class_losses(logits), labels)

    def _class_losses(self, context: LossContext) -> Callable[[Tensor], Tensor]:
        """Return the losses of all labels as a function of logits, both of shape (…, b, classes)."""
        columns = torch.from_numpy(self._inverse(context)).float().mT.contiguous().to(context.device)
        return lambda logits: -log_softmax(logits) @ columns.to(logits.dtype)

    def _inverse(self, context: LossContext) -> NDArray[np.float64]:
        transition = self.transition(context)
        condition = np.linalg.cond(transition)
        if not condition <= _MAX_CONDITION:
            raise InputError(
                f"loss is {self.text!r}, and its T has the condition number {condition:.3g}; backward "
                f"correction needs its inverse, which is lost in rounding above {_MAX_CONDITION:,.0f}. Some "
                "classes have nearly the same noisy labels: give less noise, or loss='forward', which does "
                "not invert T."
            )
        return np.linalg.inv(transition).astype(np.float64, copy=False)
