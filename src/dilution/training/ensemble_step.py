"""Networks of one shape that take every optimizer step together."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dilution.training.config import TrainConfig
from dilution.training.distributed import WHOLE, Share
from dilution.training.ensemble import together
from dilution.training.losses import with_gradient
from dilution.training.optimizers import Average, optimizer
from dilution.utils.rng_state import RngState


class Program:
    """R replicas and their optimizer.

    Parameters
    ----------
    networks
        One network for each replica, all of one shape.
    settings
        How to train; its lr is not used.
    rates
        Learning rate of each replica.
    draws
        Random numbers of the layers of each replica; needed where they draw any.
    share
        The part of each batch that it is given; gradients are added up over the others.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        settings: TrainConfig,
        rates: Sequence[float],
        draws: Sequence[RngState] | None = None,
        share: Share = WHOLE,
    ) -> None:
        self._share, self._batch = share, settings.batch_size
        self._together = together(networks, getattr(torch, settings.precision), draws)
        self._together.train()
        # Each replica's weights are tensors of their own: updated as parts of a stacked one, an element's
        # last bits would depend on its place among the others. One group, and so one call, for each rate.
        by_rate: dict[float, list[nn.Parameter]] = {}
        for replica, rate in enumerate(rates):
            by_rate.setdefault(rate, []).extend(self._together.leaves(replica))
        self._leaves = [leaf for leaves in by_rate.values() for leaf in leaves]
        self._rates = list(by_rate)
        groups: list[dict[str, Any]] = [{"params": weights} for weights in by_rate.values()]
        device = next(self._together.parameters()).device
        on_gpu = device.type == "cuda"
        if on_gpu:  # in a CUDA graph only a rate that is a tensor can change
            groups = [group | {"lr": torch.tensor(settings.lr, device=device)} for group in groups]
        self._optimizer = optimizer(groups, settings, capturable=on_gpu)
        self._average = Average(self._together, settings.ema_decay) if settings.ema_decay else None

    def step(self, images: Tensor, targets: Tensor, factor: float) -> Tensor:
        """Take one step and return the losses before it.

        A replica whose loss is not finite spoils its own weights and no others'.

        Parameters
        ----------
        images
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
        self.set_rates(factor)
        losses = self.advance(images, targets)
        self.average()
        return losses

    def set_rates(self, factor: float) -> None:
        """Set the learning rates of the next step to `factor` times what they are given as."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor

    def advance(self, images: Tensor, targets: Tensor) -> Tensor:
        """Take a step at the learning rates that are set, without averaging weights; return the losses."""
        losses = self._together.differentiate(images, targets, with_gradient)
        if self._share.size > 1:
            gradients = [leaf.grad for leaf in self._leaves if leaf.grad is not None]
            losses = self._share.add_up(gradients, losses, self._batch)
        self._optimizer.step()
        return losses

    def average(self) -> None:
        """Take the weights into their average, if there is one."""
        if self._average is not None:
            self._average.update()

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, for :meth:`load` of a program like this one."""
        average = None if self._average is None else self._average.module.state_dict()
        return {
            "networks": self._together.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": average,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: the next step is what it would have been."""
        self._together.load_state_dict(state["networks"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average.load(state["average"])

    def model(self, replica: int) -> nn.Module:
        """Return one replica, with its averaged weights if there is an average."""
        chosen = self._together if self._average is None else self._average.module
        return chosen.model(replica)
