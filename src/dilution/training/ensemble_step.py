"""The optimizer step of a run group: gradients, weight update and weight average of all replicas."""

import importlib
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from dilution.training.config import PrecisionName, TrainConfig
from dilution.training.distributed import WHOLE_BATCH, Shard
from dilution.training.ema import WeightEMA
from dilution.training.ensemble import make_ensemble
from dilution.training.fallback_step import FallbackStep, first_line, is_triton_failure
from dilution.training.group_step import GroupStep
from dilution.training.kernels.layers import find_layers
from dilution.training.losses import LossWithGradient, cross_entropy_with_gradient
from dilution.training.optimizers import OPTIMIZERS, GroupOptimizer, is_own
from dilution.training.step_state import check_kind
from dilution.utils.rng_state import RngState


def make_group_step(
    models: Sequence[nn.Module],
    image_shape: tuple[int, int, int],
    config: TrainConfig,
    lrs: Sequence[float],
    rng_states: Sequence[RngState] | None = None,
    shard: Shard = WHOLE_BATCH,
    loss: LossWithGradient = cross_entropy_with_gradient,
) -> GroupStep:
    """Return the step of a run group in the way that is fastest for its models and device.

    ConvNets in bfloat16 on a GPU are computed by the kernels of :mod:`dilution.training.kernels`, all
    others by torch. Where the kernels could have been used and are not, a warning says so once. A machine
    that cannot run them shows it at the first step; then torch takes all steps.

    Parameters
    ----------
    models, config, lrs, rng_states, shard, loss
        As :class:`EnsembleStep` takes them.
    image_shape
        Shape of the images: (channels, height, width).
    """
    if _is_on_gpu(models[0]) and rng_states is None and shard.size == 1:
        obstacle = _obstacle_to_kernels(
            models[0], image_shape, config.precision, config.optimizer, config.batch_size
        )
        obstacle = obstacle or _obstacle_to_triton()
        if obstacle is None:
            return _kernel_step(models, image_shape, config, lrs, loss)
        if _is_convnet(models[0]):
            _warn_once(obstacle)
    return EnsembleStep(models, config, lrs, rng_states, shard, loss)


def _kernel_step(
    models: Sequence[nn.Module],
    image_shape: tuple[int, int, int],
    config: TrainConfig,
    lrs: Sequence[float],
    loss: LossWithGradient,
) -> GroupStep:
    """Return the step by the kernels, which torch takes over if the machine cannot run them."""
    from dilution.training.kernels.ensemble_step import KernelEnsembleStep  # imports Triton

    # A first step that fails behind the loss has changed its state, if it has one. Zeros, of which ELR has
    # gigabytes, are not copied before they are needed.
    state = loss.state_dict() if isinstance(loss, nn.Module) else {}
    first_state = {name: value.to("cpu", copy=True) if value.any() else None for name, value in state.items()}

    def by_torch() -> EnsembleStep:
        if isinstance(loss, nn.Module):
            changed = loss.state_dict()
            loss.load_state_dict(
                {
                    name: torch.zeros_like(changed[name], device="cpu") if value is None else value
                    for name, value in first_state.items()
                }
            )
        return EnsembleStep(models, config, lrs, loss=loss)

    return FallbackStep(
        KernelEnsembleStep(models, image_shape, config, lrs, loss),
        by_torch,
        is_triton_failure,
        _warn_once,
    )


def _is_on_gpu(model: nn.Module) -> bool:
    """Return whether a model is on a GPU."""
    return next(model.parameters()).device.type == "cuda"


def _is_convnet(model: nn.Module) -> bool:
    """Return whether a model is one after another of layers, convolutions among them."""
    return type(model) is nn.Sequential and any(isinstance(layer, nn.Conv2d) for layer in model)


def _obstacle_to_kernels(
    model: nn.Module,
    image_shape: tuple[int, int, int],
    precision: PrecisionName,
    optimizer: str = "adadelta",
    batch_size: int = 1,
) -> str | None:
    """Return why the kernels cannot compute a model, or None if they can."""
    if optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        return f"they know the optimizers {known} without parameters, and the optimizer is {optimizer!r}"
    if find_layers(model, image_shape) is None:
        return (
            "they compute 3×3 convolutions of 16, 32, 64, 128 or 256 channels followed by two dense layers, "
            f"and not this model on images of shape {image_shape}"
        )
    if find_layers(model, image_shape, batch_size) is None:
        return (
            f"a map of a batch may have up to 2³¹ elements, and batch_size is {batch_size:,} on images of "
            f"shape {image_shape} (give a smaller batch_size)"
        )
    if precision != "bfloat16":
        return f"they compute in bfloat16, and precision is {precision!r} (give precision 'bfloat16')"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    return None


def _obstacle_to_triton() -> str | None:
    """Return why Triton cannot be imported, or None if it can."""
    try:
        importlib.import_module("triton.language")
    except (ImportError, OSError, RuntimeError) as error:  # of Triton or of a library that it loads
        return f"Triton cannot be imported ({first_line(error)})"
    return None


@lru_cache
def _warn_once(obstacle: str) -> None:
    """Say that ConvNets train without the kernels; the cache drops repeated calls."""
    logging.getLogger("dilution").warning(
        "ConvNets train by torch, slower than by the GPU kernels of run groups: %s.", obstacle
    )


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
    loss
        Loss and its gradient by the logits.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        config: TrainConfig,
        lrs: Sequence[float],
        rng_states: Sequence[RngState] | None = None,
        shard: Shard = WHOLE_BATCH,
        loss: LossWithGradient = cross_entropy_with_gradient,
    ) -> None:
        self._shard, self._batch_size, self._loss = shard, config.batch_size, loss
        # An optimizer of the user may depend on the shapes of weights, which stacking replaces by rows.
        self._ensemble = make_ensemble(
            models, getattr(torch, config.precision), rng_states, stacks=not is_own(config)
        )
        self._ensemble.train()
        # The weights of each replica are separate tensors: in parts of a stacked one, the last bits of
        # an element would depend on its position.
        replicas = [self._ensemble.replica_parameters(replica) for replica in range(len(models))]
        self._optimizer = GroupOptimizer(replicas, lrs, config)
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
        self._optimizer.set_lr(lr_factor)

    def update_weights(self, images: Tensor, targets: Tensor) -> Tensor:
        """Update the weights at the learning rates that are set; return the losses before."""
        losses = self._ensemble.differentiate(images, targets, self._loss)
        if self._shard.size > 1:
            gradients = [weight.grad for weight in self._optimizer.parameters if weight.grad is not None]
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
            "kind": "torch",
            "ensemble": self._ensemble.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "ema": None if self._ema is None else self._ema.module.state_dict(),
            "loss": self._loss.state_dict() if isinstance(self._loss, nn.Module) else None,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state: the next step is the one that would have followed it.

        Raises
        ------
        OtherStepError
            If the state is of another kind of step.
        """
        check_kind(state, "torch")
        self._ensemble.load_state_dict(state["ensemble"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._ema is not None:
            self._ema.load(state["ema"])
        if isinstance(self._loss, nn.Module):
            self._loss.load_state_dict(state["loss"])

    def model(self, replica: int) -> nn.Module:
        """Return the model of one replica, with averaged weights if they are averaged."""
        ensemble = self._ensemble if self._ema is None else self._ema.module
        return ensemble.model(replica)
