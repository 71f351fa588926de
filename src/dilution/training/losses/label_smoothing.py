"""Label smoothing: a part of every label is spread over all classes."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dilution.training.losses.base import LabelLoss, log_softmax


class LabelSmoothing(LabelLoss):
    """Cross entropy with smoothed labels (Szegedy et al. 2016, section 7; under noise: Lukasik et al. 2020).

    ℓ(f, y) = −(1 − ε) log f_y − (ε/K) Σ_k log f_k, with K classes

    Parameters
    ----------
    epsilon
        Share of a label that is spread, from 0 to below 1. Published: 0.1.
    """

    name: ClassVar[str] = "label_smoothing"

    epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def class_losses(self, logits: Tensor) -> Tensor:
        log_f = log_softmax(logits)
        return -(1 - self.epsilon) * log_f - self.epsilon * log_f.mean(dim=-1, keepdim=True)
