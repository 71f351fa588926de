"""Symmetric cross entropy: cross entropy plus its reverse."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dilution.training.losses.base import LabelLoss, log_softmax


class SCE(LabelLoss):
    """Symmetric cross entropy (Wang et al. 2019): cross entropy plus its reverse.

    ℓ(f, y) = −α log f_y − β Σ_{k ≠ y} A f_k = −α log f_y − β A (1 − f_y), where log 0 is defined as A

    Parameters
    ----------
    alpha, beta
        Weights of cross entropy and reverse cross entropy, at least 0. Published for CIFAR-10: 0.1 and 1; for
        CIFAR-100: 6 and 0.1; for MNIST: 0.01 and 1.
    A
        In place of log 0, below 0. Published: −4. The code of the authors cuts labels at 10⁻⁴ instead, which
        is A = −9.2.
    """

    name: ClassVar[str] = "sce"

    alpha: Annotated[float, Field(ge=0)] = 0.1
    beta: Annotated[float, Field(ge=0)] = 1.0
    A: Annotated[float, Field(lt=0)] = -4.0

    def class_losses(self, logits: Tensor) -> Tensor:
        log_f = log_softmax(logits)
        return -self.alpha * log_f + self.beta * self.A * log_f.expm1()
