"""Optimizers, learning-rate schedules and weight averaging."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dilution.training.settings import ScheduleName, TrainSettings

_DECAY_SHARE = 0.7


def optimizer(parameters: Iterable[Any], settings: TrainSettings, *, capturable: bool = False) -> Optimizer:
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
    weights, rate, decay = list(parameters), settings.rate, settings.weight_decay
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


def rate_factor(schedule: ScheduleName, step: int, steps: int) -> float:
    """Return what the learning rate is multiplied with at `step` of `steps`, in (0, 1]."""
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return min(1.0, (steps - step) / max(1.0, _DECAY_SHARE * steps))
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential average of the weights of `module`: call ``update_parameters`` each step."""
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay))
