"""Partially Huberised cross entropy: linear where the label has a small probability."""

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from dilution.training.losses.base import LabelLoss, log_softmax


class PHuber(LabelLoss):
    """Partially Huberised cross entropy (Menon et al. 2020): a gradient of at most τ by f_y.

    ℓ(f, y) = −log f_y if f_y > 1/τ, else log τ + 1 − τ f_y

    Parameters
    ----------
    tau
        Above 1. Published: 2 for CIFAR-10, 10 for MNIST and CIFAR-100.
    """

    name: ClassVar[str] = "phuber"

    tau: Annotated[float, Field(gt=1)] = 2.0

    def class_losses(self, logits: Tensor) -> Tensor:
        log_f = log_softmax(logits)
        is_linear = log_f <= -math.log(self.tau)
        return torch.where(is_linear, math.log(self.tau) + 1 - self.tau * log_f.exp(), -log_f)
