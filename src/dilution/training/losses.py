"""Cross entropy against labels, histograms of labels, or their expectation (H_alpha)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy of a batch, in nats; one for each replica.

    Cross entropy is linear in the target, so a histogram of labels gives the mean over the labels. With
    the expected histogram it is H_alpha (Rolnick et al. 2017, section 5): −(1/b) Σ_i Σ_k p(k | y_i)
    log f_k(x_i).

    Parameters
    ----------
    logits
        float, shape (…, b, classes); dimensions before the batch are replicas.
    targets
        int64 of shape (…, b), or weights of shape (…, b, classes). Rows of weights need not sum to 1: a
        image with more labels weighs more.

    Returns
    -------
    Tensor
        float, shape (…).
    """
    if targets.ndim == logits.ndim:
        return -(targets * F.log_softmax(logits, dim=-1)).sum(dim=(-2, -1)) / logits.shape[-2]
    each = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return each.view(targets.shape).mean(dim=-1)


@torch.no_grad()
def with_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross entropy of a batch and its gradient by the logits.

    The gradient of −(1/b) Σ_i Σ_k w_ik log f_k(x_i) by the logits of example i is (f(x_i) Σ_k w_ik − w_i)/b,
    with f the softmax and, for a label, w_i one at its place.

    Parameters
    ----------
    logits, targets
        As :func:`cross_entropy` takes them.

    Returns
    -------
    tuple of Tensor
        The losses, shape (…), and the gradient of each, shape (…, b, classes).
    """
    batch = logits.shape[-2]
    # Classes before examples: PyTorch's softmax over a last dimension of ten takes ten times as long.
    log_f = F.log_softmax(logits.mT, dim=-2)
    if targets.ndim == logits.ndim:
        weights = targets.mT
        losses = -(weights * log_f).sum(dim=(-2, -1)) / batch
        gradient = log_f.exp_().mul_(weights.sum(dim=-2, keepdim=True)).sub_(weights)
    else:
        place = targets.unsqueeze(-2)
        losses = -log_f.gather(-2, place).mean(dim=(-2, -1))
        gradient = log_f.exp_().scatter_add_(-2, place, log_f.new_full((), -1.0).expand_as(place))
    return losses, gradient.div_(batch).mT
