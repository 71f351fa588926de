"""Forward correction: cross entropy of noisy labels with their predicted distribution."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dilution.training.losses.base import LossContext
from dilution.training.losses.gradient import ExampleLosses, LossWithGradient
from dilution.training.losses.transition import TransitionLoss

_LEAST_LIKELIHOOD = 1e-6  # of a label under softmax · T; its logarithm and gradient stay bounded


class Forward(TransitionLoss):
    """Forward correction: cross entropy of the predicted noisy label (Patrini et al. 2017, theorem 2).

    ℓ(f, y) = −log (f T)_y = −log Σ_c f_c T[c, y]

    With the true T its minimum over all predictions is the distribution of the true classes. A likelihood
    (f T)_y below 10⁻⁶ counts as 10⁻⁶ in the loss and divides as such in the gradient, which is then not that
    of the loss. Only entries of T below that allow so small ones. In a training strategy, which takes the
    losses of single examples, the limit is for labels that T gives to no class alone.

    Parameters
    ----------
    T
        T[true, noisy]. Default: that of the training labels, as the noise of the run is expected to give it,
        which is the "known T" of the literature. A path or a matrix: an estimate, or a wrong T on purpose. A
        ``.csv`` file is the ``transition.csv`` of ``dilution diagnose`` or rows of numbers; an ``.npy`` file
        has the matrix.
    """

    name: ClassVar[str] = "forward"

    def of_replica(self, context: LossContext) -> LossWithGradient:
        transition = torch.from_numpy(self.transition(context))
        return forward_corrected(transition.float().to(context.device))

    def of_examples(self, context: LossContext) -> ExampleLosses:
        transition = torch.from_numpy(self.transition(context)).float().to(context.device)
        # A label that no class is mistaken for has a likelihood of 0 whatever the model predicts.
        of_labels = torch.where(transition.any(dim=0), transition, _LEAST_LIKELIHOOD).log().T.contiguous()

        def losses(logits: Tensor, labels: Tensor) -> Tensor:
            # In logarithms there is a gradient however small the likelihood of the label.
            logs = F.log_softmax(logits, dim=-1) + of_labels[labels].to(logits.dtype)
            return -logs.logsumexp(dim=-1)

        return losses


def forward_corrected(transitions: Tensor) -> LossWithGradient:
    """Return the cross entropy of noisy labels with their predicted distribution, softmax(logits) @ T.

    Its minimum over all predictions is the distribution of the true classes, if labels are distributed as
    T[true, noisy] tells (forward correction; Patrini et al. 2017). With the identity it is cross entropy.
    The gradient of −(1/b) Σ_i Σ_k w_ik log (f_i T)_k by logit c of example i is

    (f_ic Σ_k w_ik − f_ic Σ_k T[c, k] w_ik / (f_i T)_k)/b,

    with 10⁻⁶ in place of a smaller (f_i T)_k.

    Parameters
    ----------
    transitions
        T of all replicas, float32, shape (classes, classes); or of each, shape (R, classes, classes), for
        logits of all replicas at once.
    """

    @torch.no_grad()
    def loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        batch_size, classes = logits.shape[-2:]
        weights = targets if targets.ndim == logits.ndim else F.one_hot(targets, classes).to(logits.dtype)
        f = logits.softmax(dim=-1)
        table = transitions.to(logits.dtype)
        noisy = (f @ table).clamp_(min=_LEAST_LIKELIHOOD)
        losses = -(weights * noisy.log()).sum(dim=(-2, -1)) / batch_size
        ratio = (weights / noisy) @ table.mT
        return losses, (f * (weights.sum(dim=-1, keepdim=True) - ratio)).div_(batch_size)

    return loss
