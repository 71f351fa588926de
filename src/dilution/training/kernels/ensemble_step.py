"""The optimizer step of a group of ConvNets by the kernels of this package."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton
from torch import Tensor, nn

from dilution.training.config import TrainConfig
from dilution.training.kernels import optimizer
from dilution.training.kernels.convnet import Rows, Step
from dilution.training.kernels.layers import find_layers
from dilution.training.losses import LossWithGradient, cross_entropy_with_gradient
from dilution.training.step_state import check_kind

_BLOCK = 1024


class KernelEnsembleStep:
    """R ConvNets and their optimizer.

    It has the interface of :class:`~dilution.training.ensemble_step.EnsembleStep`.

    Parameters
    ----------
    models
        One ConvNet per replica, all of one architecture that :func:`find_layers` accepts.
    image_shape
        Shape of the images: (channels, height, width).
    config
        Configuration of the training; its `lr` is not used.
    lrs
        Learning rate of each replica.
    loss
        Loss and its gradient by the logits.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        image_shape: tuple[int, int, int],
        config: TrainConfig,
        lrs: Sequence[float],
        loss: LossWithGradient = cross_entropy_with_gradient,
    ) -> None:
        layers = find_layers(models[0], image_shape, config.batch_size)
        assert layers is not None, "the caller asks find_layers first"
        self._convolutions, self._linear = layers
        self._config, self._model, self._loss = config, models[0], loss
        self._rows = Rows(models, self._convolutions, self._linear)
        weights = self._rows.weights
        self._first, self._second = torch.zeros_like(weights), torch.zeros_like(weights)
        self._average = torch.zeros_like(weights) if config.ema_decay else weights
        self._lrs = torch.tensor(lrs, device=weights.device, dtype=torch.float32)
        self._lr = self._lrs.clone()
        self._scalars = torch.zeros(3, device=weights.device)
        self._steps = 0
        self._pass: Step | None = None

    def step(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Take one optimizer step; see :meth:`EnsembleStep.step`."""
        self.set_lr(lr_factor)
        return self.update_weights(images, targets)

    def set_lr(self, lr_factor: float) -> None:
        """Set learning rates and bias corrections of the next step."""
        torch.mul(self._lrs, lr_factor, out=self._lr)
        self._steps += 1
        self._scalars[0].fill_(float(self._steps == 1))
        if self._config.optimizer in ("adam", "adamw"):
            self._scalars[1].fill_(1 - 0.9**self._steps)
            self._scalars[2].fill_(1 - 0.999**self._steps)

    def update_weights(self, images: Tensor, targets: Tensor) -> Tensor:
        """Update weights and their average at the rates that are set; return the losses before."""
        if self._pass is None:
            self._pass = Step(
                self._rows,
                self._convolutions,
                [layer.out_features for layer in self._linear],
                images.shape[1],
                getattr(torch, self._config.precision),
                weights_of_labels=targets.ndim == 3,
            )
        loss = None if self._loss is cross_entropy_with_gradient else self._loss
        losses = self._pass.run(images, targets, loss)
        weights, config = self._rows.weights, self._config
        optimizer.update[triton.cdiv(self._rows.length, _BLOCK), len(weights)](
            weights, self._pass.gradient, self._first, self._second, self._average, self._pass.low,
            self._lr, self._scalars, config.weight_decay, config.momentum, config.ema_decay,
            self._rows.length,
            OPTIMIZER=config.optimizer, MOMENTUM=config.momentum > 0, AVERAGE=config.ema_decay > 0,
            BLOCK=_BLOCK, **optimizer.LAUNCH,
        )  # fmt: skip
        return losses

    def update_average(self) -> None:
        """Do nothing: :meth:`update_weights` has updated the average."""

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, for :meth:`load`."""
        tensors = {"weights": self._rows.weights, "first": self._first, "second": self._second}
        return {name: tensor.cpu() for name, tensor in tensors.items()} | {
            "kind": "kernels", "average": self._average.cpu(), "steps": self._steps,
            "loss": self._loss.state_dict() if isinstance(self._loss, nn.Module) else None,
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state: the next step is the one that would have followed it.

        Raises
        ------
        OtherStepError
            If the state is of another kind of step.
        """
        check_kind(state, "kernels")
        for tensor, name in (
            (self._rows.weights, "weights"), (self._first, "first"), (self._second, "second"),
            (self._average, "average"),
        ):  # fmt: skip
            tensor.copy_(state[name])
        self._steps = state["steps"]
        if isinstance(self._loss, nn.Module):
            self._loss.load_state_dict(state["loss"])
        if self._pass is not None:
            self._pass.low.copy_(self._rows.weights)

    def model(self, replica: int) -> nn.Module:
        """Return the model of one replica, with averaged weights if they are averaged."""
        model = copy.deepcopy(self._model)
        self._rows.write_to(model, self._average[replica])
        return model
