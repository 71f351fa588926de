"""Optimizers, learning-rate schedules and weight averaging."""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer

from dilution.training.config import ScheduleName, TrainConfig

_DECAY_SHARE = 0.7
_Module = TypeVar("_Module", bound=nn.Module)


def optimizer(parameters: Iterable[Any], settings: TrainConfig, *, capturable: bool = False) -> Optimizer:
    """Return the optimizer of the settings.

    Parameters
    ----------
    parameters
        Parameters, or groups of them as ``torch.optim`` takes them: ``{"params": …, "lr": …}``.
    settings
        How to train.
    capturable
        Whether steps are captured in a CUDA graph. The groups' rates must be tensors then.
    """
    weights, rate, decay = list(parameters), settings.lr, settings.weight_decay
    match settings.optimizer:
        case "adadelta":
            return Adadelta(weights, lr=rate, weight_decay=decay, foreach=True, capturable=capturable)
        case "adam":
            return Adam(weights, lr=rate, weight_decay=decay, fused=True, capturable=capturable)
        case "adamw":
            return AdamW(weights, lr=rate, weight_decay=decay, fused=True, capturable=capturable)
        case "sgd":
            nesterov = settings.momentum > 0
            return SGD(
                weights,
                lr=rate,
                momentum=settings.momentum,
                nesterov=nesterov,
                weight_decay=decay,
                fused=True,
            )


def lr_factor(schedule: ScheduleName, step: int, steps: int) -> float:
    """Return what the learning rate is multiplied with at `step` of `steps`, in (0, 1]."""
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return min(1.0, (steps - step) / max(1.0, _DECAY_SHARE * steps))
    if schedule == "step":  # epochs 30, 60, 80 of 90, as ImageNet is trained since He et al. (2016)
        return math.prod(0.1 for ninth in (3, 6, 8) if 9 * step >= ninth * steps)
    return 0.5 * (1 + math.cos(math.pi * step / steps))


class Average(Generic[_Module]):
    """An exponential average of the weights of a module, which starts as their first value.

    Unlike torch's own it counts its updates on the host: asking a GPU for a number stops it.

    Parameters
    ----------
    module
        Whose weights are averaged; in `module` of this object they are kept.
    decay
        Share of the old average in the new one.
    """

    def __init__(self, module: _Module, decay: float) -> None:
        self.module = copy.deepcopy(module)
        self._decay = decay
        self._weights = [weight.detach() for weight in self.module.parameters()]
        self._source = [weight.detach() for weight in module.parameters()]
        # statistics of normalisation layers are averages already
        self._kept = list(zip(self.module.buffers(), module.buffers(), strict=True))
        self._begun = False

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from an average that has begun, as its ``module.state_dict()`` told it."""
        self.module.load_state_dict(state)
        self._begun = True

    def update(self) -> None:
        """Take the weights as they are now into the average."""
        if self._begun:
            torch._foreach_lerp_(self._weights, self._source, 1 - self._decay)
        else:
            torch._foreach_copy_(self._weights, self._source)
            self._begun = True
        for own, source in self._kept:
            own.copy_(source)
