"""Mean absolute error between the softmax and the label."""

from typing import ClassVar

from torch import Tensor

from dilution.training.losses.base import LabelLoss, log_softmax


class MAE(LabelLoss):
    """Mean absolute error (Ghosh et al. 2017): bounded, and symmetric over the labels.

    ℓ(f, y) = Σ_k |f_k − 1[k = y]| = 2 − 2 f_y

    It has no parameters.
    """

    name: ClassVar[str] = "mae"

    def class_losses(self, logits: Tensor) -> Tensor:
        return 2 - 2 * log_softmax(logits).exp()
