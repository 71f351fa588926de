"""Mean losses with their gradient by the logits, of all replicas together or of each on its own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

LossWithGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Function of logits (…, b, classes) and targets → losses (…) and their gradients by the logits.

Targets are labels, int64 of shape (…, b); labels with the numbers of their examples, int64 of shape
(…, b, 2); or weights of the labels, float32 of shape (…, b, classes)."""

ExampleLosses = Callable[[Tensor, Tensor], Tensor]
"""Function of logits (b, classes) and labels (b,) → losses (b,), differentiable by the logits."""

_ALIGNMENT = 16  # float32 numbers in the widest vector registers


class OfEachReplica(nn.Module):
    """The losses of replicas that are computed one after the other, such as those with a state.

    Parameters
    ----------
    losses
        Mean loss and gradient of each replica; those that are modules have their buffers saved.
    """

    def __init__(self, losses: Sequence[LossWithGradient]) -> None:
        super().__init__()
        self._losses = losses
        self._modules_of_losses = nn.ModuleDict(
            {str(number): loss for number, loss in enumerate(losses) if isinstance(loss, nn.Module)}
        )

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses, shape (R,), and their gradients, shape (R, b, classes)."""
        parts = [loss(x, y) for loss, x, y in zip(self._losses, logits, targets, strict=True)]
        losses, gradients = zip(*parts, strict=True)
        return torch.stack(losses), torch.stack(gradients)

    def of_replica(self, replica: int) -> LossWithGradient:
        """Return the loss of one replica, for its logits alone."""
        return self._losses[replica]


def of_replica(loss: LossWithGradient, replica: int) -> LossWithGradient:
    """Return the loss of one replica of an ensemble, for its logits alone."""
    return loss.of_replica(replica) if isinstance(loss, OfEachReplica) else loss


def mean_with_gradient(class_losses: Callable[[Tensor], Tensor]) -> LossWithGradient:
    """Return the mean loss of a batch and its gradient, from the losses of all labels.

    Parameters
    ----------
    class_losses
        Function of logits (…, b, classes) → losses (…, b, classes); entry k is the loss if the label is k.
    """

    def loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if logits.ndim > 2 and logits[0].numel() % _ALIGNMENT:
            # Only in whole vector registers is an element computed in the same way whatever its position.
            parts = [
                differentiate(lambda x, y=y: select_labels(class_losses(x), y), x)  # type: ignore[misc]
                for x, y in zip(logits.split(1), targets.split(1), strict=True)
            ]
            losses, gradients = (torch.cat(part) for part in zip(*parts, strict=True))
            return losses, gradients
        return differentiate(lambda x: select_labels(class_losses(x), targets), logits)

    return loss


def differentiate(losses_of: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of losses over a batch, shape (…), and their gradients by the logits.

    Parameters
    ----------
    losses_of
        Differentiable function of logits (…, b, classes) → losses (…, b).
    logits
        Logits, in which no gradient is kept.
    """
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        losses = losses_of(leaf).mean(dim=-1)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), gradient


def select_labels(losses: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each example, shape (…, b), from the losses of all labels."""
    if targets.ndim == losses.ndim:
        return (losses * targets).sum(dim=-1)
    return losses.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
