"""Soft bootstrapping: labels mixed with the model's own prediction."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dilution.training.losses.base import LabelLoss, log_softmax


class BootstrapSoft(LabelLoss):
    """Soft bootstrapping (Reed et al. 2015): cross entropy with a share of the prediction.

    ℓ(f, y) = −β log f_y − (1 − β) Σ_k f_k log f_k

    The second term is the entropy of the prediction, through which the gradient passes.

    Parameters
    ----------
    beta
        Weight of the label, from 0 to 1. Published: 0.95.
    """

    name: ClassVar[str] = "bootstrap_soft"

    beta: Annotated[float, Field(ge=0, le=1)] = 0.95

    def class_losses(self, logits: Tensor) -> Tensor:
        log_f = log_softmax(logits)
        entropy = -(log_f.exp() * log_f).sum(dim=-1, keepdim=True)
        return -self.beta * log_f + (1 - self.beta) * entropy
