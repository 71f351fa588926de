"""Cross entropy with labels, histograms of labels, or expected histograms (H_alpha) as targets."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dilution.training.losses.base import LabelLoss, LossContext, log_softmax
from dilution.training.losses.gradient import LossWithGradient


class CrossEntropy(LabelLoss):
    """Cross entropy, the loss of the paper and of all figures.

    ℓ(f, y) = −log f_y

    It has no parameters. Its gradient is computed in closed form, for ConvNets on a GPU by a kernel.
    """

    name: ClassVar[str] = "cross_entropy"

    def class_losses(self, logits: Tensor) -> Tensor:
        return -log_softmax(logits)

    def of_group(self, contexts: Sequence[LossContext]) -> LossWithGradient:  # noqa: ARG002
        return cross_entropy_with_gradient


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy of a batch, in nats; one value per replica.

    Cross entropy is linear in the target, so a histogram of labels gives the mean over the labels.
    With the expected histogram it is H_alpha (Rolnick et al. 2017, section 5): −(1/b) Σ_i Σ_k p(k |
    y_i) log f_k(x_i).

    Parameters
    ----------
    logits
        float, shape (…, b, classes); dimensions before the batch are replicas.
    targets
        int64 of shape (…, b), or weights of shape (…, b, classes). Rows of weights need not sum to
        1: an image with more labels has a larger weight.

    Returns
    -------
    Tensor
        float, shape (…).
    """
    if targets.ndim == logits.ndim:
        return -(targets * F.log_softmax(logits, dim=-1)).sum(dim=(-2, -1)) / logits.shape[-2]
    losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return losses.view(targets.shape).mean(dim=-1)


@torch.no_grad()
def cross_entropy_with_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross entropy of a batch and its gradient by the logits.

    The gradient of −(1/b) Σ_i Σ_k w_ik log f_k(x_i) by the logits of example i is

    (f(x_i) Σ_k w_ik − w_i)/b,

    with f the softmax; a label is a w_i with a single one.

    Parameters
    ----------
    logits, targets
        As :func:`cross_entropy` takes them.

    Returns
    -------
    tuple of Tensor
        The losses, shape (…), and their gradients, shape (…, b, classes).
    """
    batch_size = logits.shape[-2]
    # Classes before examples: PyTorch's softmax over a last dimension of ten takes ten times as long.
    log_f = F.log_softmax(logits.mT, dim=-2)
    if targets.ndim == logits.ndim:
        weights = targets.mT
        losses = -(weights * log_f).sum(dim=(-2, -1)) / batch_size
        gradient = log_f.exp_().mul_(weights.sum(dim=-2, keepdim=True)).sub_(weights)
    else:
        index = targets.unsqueeze(-2)
        losses = -log_f.gather(-2, index).mean(dim=(-2, -1))
        gradient = log_f.exp_().scatter_add_(-2, index, log_f.new_full((), -1.0).expand_as(index))
    return losses, gradient.div_(batch_size).mT
