"""The optimizer step of an ensemble: gradients, weight update and weight average of all replicas."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dilution.training.config import TrainConfig
from dilution.training.distributed import WHOLE_BATCH, Shard
from dilution.training.ema import WeightEMA
from dilution.training.ensemble import make_ensemble
from dilution.training.losses import cross_entropy_with_gradient
from dilution.training.optimizers import make_optimizer
from dilution.utils.rng_state import RngState


class EnsembleStep:
    """An ensemble of R replicas and its optimizer.

    Parameters
    ----------
    models
        One model per replica, all of one architecture.
    config
        Configuration of the training; its `lr` is not used.
    lrs
        Learning rate of each replica.
    rng_states
        Random numbers for the layers of each replica; required where layers draw any.
    shard
        The part of each batch that this process computes; gradients are added up over all
        processes.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        config: TrainConfig,
        lrs: Sequence[float],
        rng_states: Sequence[RngState] | None = None,
        shard: Shard = WHOLE_BATCH,
    ) -> None:
        self._shard, self._batch_size = shard, config.batch_size
        self._ensemble = make_ensemble(models, getattr(torch, config.precision), rng_states)
        self._ensemble.train()
        # The weights of each replica are separate tensors: in parts of a stacked one, the last bits of
        # an element would depend on its position. Replicas of equal learning rate are one group, and
        # so one call.
        by_lr: dict[float, list[nn.Parameter]] = {}
        for replica, lr in enumerate(lrs):
            by_lr.setdefault(lr, []).extend(self._ensemble.replica_parameters(replica))
        self._parameters = [weight for weights in by_lr.values() for weight in weights]
        self._lrs = list(by_lr)
        groups: list[dict[str, Any]] = [{"params": weights} for weights in by_lr.values()]
        device = next(self._ensemble.parameters()).device
        on_gpu = device.type == "cuda"
        if on_gpu:  # in a CUDA graph a learning rate can only change if it is a tensor
            groups = [group | {"lr": torch.tensor(config.lr, device=device)} for group in groups]
        self._optimizer = make_optimizer(groups, config, capturable=on_gpu)
        self._ema = WeightEMA(self._ensemble, config.ema_decay) if config.ema_decay else None

    def step(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Take one optimizer step and return the losses before it.

        A replica whose loss is not finite spoils its own weights and no others'.

        Parameters
        ----------
        images
            Normalised images, float32, shape (R, b, channels, height, width).
        targets
            int64 of shape (R, b), or weights, float32 of shape (R, b, classes).
        lr_factor
            Factor of the learning rates at this step.

        Returns
        -------
        Tensor
            Losses, float32, shape (R,), detached.
        """
        self.set_lr(lr_factor)
        losses = self.update_weights(images, targets)
        self.update_average()
        return losses

    def set_lr(self, lr_factor: float) -> None:
        """Set the learning rates of the next step to `lr_factor` times those of the replicas."""
        for group, lr in zip(self._optimizer.param_groups, self._lrs, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * lr_factor)
            else:
                group["lr"] = lr * lr_factor

    def update_weights(self, images: Tensor, targets: Tensor) -> Tensor:
        """Update the weights at the learning rates that are set; return the losses before."""
        losses = self._ensemble.differentiate(images, targets, cross_entropy_with_gradient)
        if self._shard.size > 1:
            gradients = [weight.grad for weight in self._parameters if weight.grad is not None]
            losses = self._shard.reduce(gradients, losses, self._batch_size)
        self._optimizer.step()
        return losses

    def update_average(self) -> None:
        """Update the average of the weights, if there is one."""
        if self._ema is not None:
            self._ema.update()

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, for :meth:`load`."""
        return {
            "ensemble": self._ensemble.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "ema": None if self._ema is None else self._ema.module.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state: the next step is the one that would have followed it."""
        self._ensemble.load_state_dict(state["ensemble"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._ema is not None:
            self._ema.load(state["ema"])

    def model(self, replica: int) -> nn.Module:
        """Return the model of one replica, with averaged weights if they are averaged."""
        ensemble = self._ensemble if self._ema is None else self._ema.module
        return ensemble.model(replica)
