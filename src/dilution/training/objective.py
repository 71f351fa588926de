"""Cross entropy against labels, histograms of labels, or their expectation (H_alpha)."""

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
        picture with more labels weighs more.

    Returns
    -------
    Tensor
        float, shape (…).
    """
    if targets.ndim == logits.ndim:
        return -(targets * F.log_softmax(logits, dim=-1)).sum(dim=(-2, -1)) / logits.shape[-2]
    each = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return each.view(targets.shape).mean(dim=-1)
