"""Hard bootstrapping: labels mixed with the class that the model predicts."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dilution.training.losses.base import LabelLoss, log_softmax


class BootstrapHard(LabelLoss):
    """Hard bootstrapping (Reed et al. 2015): cross entropy with a share of the predicted class.

    ℓ(f, y) = −β log f_y − (1 − β) log max_k f_k

    Parameters
    ----------
    beta
        Weight of the label, from 0 to 1. Published: 0.8.
    """

    name: ClassVar[str] = "bootstrap_hard"

    beta: Annotated[float, Field(ge=0, le=1)] = 0.8

    def class_losses(self, logits: Tensor) -> Tensor:
        log_f = log_softmax(logits)
        predicted = log_f.detach().argmax(dim=-1, keepdim=True)
        return -self.beta * log_f - (1 - self.beta) * log_f.gather(-1, predicted)
