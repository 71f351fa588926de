"""Generalised cross entropy: from cross entropy to mean absolute error by one parameter."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dilution.training.losses.base import LabelLoss, log_softmax


class GCE(LabelLoss):
    """Generalised cross entropy (Zhang & Sabuncu 2018), without truncation.

    ℓ(f, y) = (1 − f_y^q)/q

    It tends to cross entropy as q → 0, and is half the mean absolute error at q = 1.

    Parameters
    ----------
    q
        Above 0, at most 1. Published: 0.7.
    """

    name: ClassVar[str] = "gce"

    q: Annotated[float, Field(gt=0, le=1)] = 0.7

    def class_losses(self, logits: Tensor) -> Tensor:
        # −expm1(q log f)/q is also exact for small q, and its gradient is finite where f is 0 in float32.
        return (self.q * log_softmax(logits)).expm1() / -self.q
