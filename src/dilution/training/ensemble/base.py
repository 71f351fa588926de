"""The interface of ensembles: replicas of one model architecture that compute together."""

from torch import Tensor, nn

from dilution.training.losses import LossWithGradient

__all__ = ["Ensemble", "LossWithGradient"]


class Ensemble(nn.Module):
    """R replicas of one model architecture; no replica reads a number of another.

    A new way to compute replicas together, such as a GPU kernel with a replica axis, is a subclass
    with the three methods below and a condition in :func:`make_ensemble`. :class:`EnsembleStep`
    updates the parameters, so a subclass only computes gradients. Tests require every subclass to
    give the losses and gradients that each replica has alone: to float tolerance those of a plain
    loop, and to the bit the same whatever the other replicas are.

    Attributes
    ----------
    replicas
        Number of replicas, R.
    """

    replicas: int

    def differentiate(self, images: Tensor, targets: Tensor, loss: LossWithGradient) -> Tensor:
        """Compute the loss of each replica and set the gradients of its parameters.

        Parameters
        ----------
        images
            float32, shape (R, b, channels, height, width).
        targets
            Targets as the loss takes them, with R in front.
        loss
            Loss and gradient by the logits, which keeps neither of its arguments. It takes the logits of all
            replicas; :func:`dilution.training.losses.of_replica` returns the one that takes those of one.

        Returns
        -------
        Tensor
            Losses, float32, shape (R,), detached.
        """
        raise NotImplementedError

    def replica_parameters(self, replica: int) -> list[nn.Parameter]:
        """Return the parameters of one replica, for the optimizer; updates of them change the ensemble."""
        raise NotImplementedError

    def model(self, replica: int) -> nn.Module:
        """Return one replica as a model, for evaluation only: it may share memory with the ensemble."""
        raise NotImplementedError
