"""Networks of one shape that take every optimizer step together."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from dilution.nets import Together, together
from dilution.training.objective import with_gradient
from dilution.training.optimizers import averaged, optimizer
from dilution.training.settings import TrainSettings


class Program:
    """R replicas and their optimizer.

    Parameters
    ----------
    networks
        One network for each replica, all of one shape.
    settings
        How to train; its rate is not used.
    rates
        Learning rate of each replica.
    """

    def __init__(
        self, networks: Sequence[nn.Module], settings: TrainSettings, rates: Sequence[float]
    ) -> None:
        self._together = together(networks)
        self._together.train()
        # Each replica's weights are tensors of their own: updated as parts of a stacked one, an element's
        # last bits would depend on its place among the others. One group, and so one call, for each rate.
        by_rate: dict[float, list[nn.Parameter]] = {}
        for replica, rate in enumerate(rates):
            by_rate.setdefault(rate, []).extend(self._together.leaves(replica))
        self._rates = list(by_rate)
        self._optimizer = optimizer([{"params": weights} for weights in by_rate.values()], settings)
        self._average = averaged(self._together, settings.averaging) if settings.averaging else None

    def step(self, pictures: Tensor, targets: Tensor, factor: float) -> Tensor:
        """Take one step and return the losses before it.

        A replica whose loss is not finite spoils its own weights and no others'.

        Parameters
        ----------
        pictures
            Normalised, float32, shape (R, b, channels, height, width).
        targets
            int64 of shape (R, b), or weights, float32 of shape (R, b, classes).
        factor
            What the learning rates are multiplied with at this step.

        Returns
        -------
        Tensor
            float32, shape (R,), without a gradient.
        """
        losses = self._together.differentiate(pictures, targets, with_gradient)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self._together)
        return losses

    def network(self, replica: int) -> nn.Module:
        """Return one replica, with its averaged weights if there is an average."""
        chosen = self._together if self._average is None else self._average.module
        return cast("Together", chosen).network(replica)
