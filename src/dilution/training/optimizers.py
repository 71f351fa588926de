"""Optimizers and learning-rate schedules."""

import math
from collections.abc import Iterable
from typing import Any, assert_never

from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer

from dilution.training.config import ScheduleName, TrainConfig

_LINEAR_DECAY = 0.7  # share of the steps in which the schedule "linear" falls


def make_optimizer(parameters: Iterable[Any], config: TrainConfig, *, capturable: bool = False) -> Optimizer:
    """Return the optimizer of a configuration.

    Parameters
    ----------
    parameters
        Parameters, or groups of them as ``torch.optim`` takes them: ``{"params": …, "lr": …}``.
    config
        Configuration of the training.
    capturable
        Whether steps are captured in a CUDA graph. The learning rates of groups must then be
        tensors.
    """
    weights, lr, decay = list(parameters), config.lr, config.weight_decay
    match config.optimizer:
        case "adadelta":
            return Adadelta(weights, lr=lr, weight_decay=decay, foreach=True, capturable=capturable)
        case "adam":
            return Adam(weights, lr=lr, weight_decay=decay, fused=True, capturable=capturable)
        case "adamw":
            return AdamW(weights, lr=lr, weight_decay=decay, fused=True, capturable=capturable)
        case "sgd":
            return SGD(
                weights,
                lr=lr,
                momentum=config.momentum,
                nesterov=config.momentum > 0,
                weight_decay=decay,
                fused=True,
            )
        case _:
            assert_never(config.optimizer)


def lr_factor(schedule: ScheduleName, step: int, steps: int) -> float:
    """Return the factor of the learning rate at `step` (from 0) of `steps`, in (0, 1]."""
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return min(1.0, (steps - step) / max(1.0, _LINEAR_DECAY * steps))
    if schedule == "step":  # after 30, 60 and 80 of 90 epochs, as on ImageNet since He et al. (2016)
        return math.prod(0.1 for ninth in (3, 6, 8) if 9 * step >= ninth * steps)
    return 0.5 * (1 + math.cos(math.pi * step / steps))
