"""The optimizer of the replicas that train together, with a learning rate for each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dilution.training.optimizers.own import OwnOptimizer
from dilution.training.optimizers.registry import resolve_optimizer

if TYPE_CHECKING:
    from dilution.training.config import TrainConfig


def make_optimizer(
    parameters: Iterable[Any], config: "TrainConfig", *, capturable: bool = False
) -> Optimizer:
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

    Raises
    ------
    InputError
        If an optimizer of the user breaks a rule.
    """
    return resolve_optimizer(config.optimizer).make(
        list(parameters),
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        capturable=capturable,
    )


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any], config: "TrainConfig") -> None:
    """Load the state of a checkpoint into an optimizer that :func:`make_optimizer` returned.

    Parameters
    ----------
    optimizer
        The optimizer.
    state
        What its ``state_dict`` returned.
    config
        Configuration of the training.

    Raises
    ------
    InputError
        If the ``load_state_dict`` of an optimizer of the user raises.
    """
    setting = resolve_optimizer(config.optimizer)
    if isinstance(setting, OwnOptimizer):
        setting.load(optimizer, state)
    else:
        optimizer.load_state_dict(dict(state))


def is_own(config: "TrainConfig") -> bool:
    """Return whether the optimizer of a configuration is made by a factory of the user."""
    return isinstance(resolve_optimizer(config.optimizer), OwnOptimizer)


class GroupOptimizer:
    """The optimizer of R replicas.

    A built-in one updates each number on its own, so one optimizer serves all replicas, with a group for each
    learning rate. One of the user may look at all weights that it has, so each replica has its own.

    Parameters
    ----------
    replicas
        Parameters of each replica.
    lrs
        Learning rate of each replica.
    config
        Configuration of the training; its `lr` is not used.

    Attributes
    ----------
    parameters
        The parameters of all replicas.

    Raises
    ------
    InputError
        If an optimizer of the user breaks a rule.
    """

    def __init__(
        self, replicas: Sequence[list[nn.Parameter]], lrs: Sequence[float], config: "TrainConfig"
    ) -> None:
        self._config, self._is_own = config, is_own(config)
        if self._is_own:
            resolve_optimizer(config.optimizer).check(config.weight_decay)
            self.parameters = [weight for weights in replicas for weight in weights]
            self._optimizers = [
                make_optimizer([{"params": weights, "lr": lr}], config)
                for weights, lr in zip(replicas, lrs, strict=True)
            ]
            self._lrs = [float(group["lr"]) for group in self.param_groups]
            return
        # Replicas of equal learning rate are one group, and so one call.
        by_lr: dict[float, list[nn.Parameter]] = {}
        for weights, lr in zip(replicas, lrs, strict=True):
            by_lr.setdefault(lr, []).extend(weights)
        self.parameters = [weight for weights in by_lr.values() for weight in weights]
        self._lrs = list(by_lr)
        groups: list[dict[str, Any]] = [{"params": weights} for weights in by_lr.values()]
        device = self.parameters[0].device
        on_gpu = device.type == "cuda"
        if on_gpu:  # in a CUDA graph a learning rate can only change if it is a tensor
            groups = [group | {"lr": torch.tensor(config.lr, device=device)} for group in groups]
        self._optimizers = [make_optimizer(groups, config, capturable=on_gpu)]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all replicas, as those of an optimizer of torch."""
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def set_lr(self, factor: float) -> None:
        """Set the learning rates of the next step to `factor` times those of the replicas."""
        for group, lr in zip(self.param_groups, self._lrs, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * factor)
            else:
                group["lr"] = lr * factor

    def step(self) -> None:
        """Update the parameters by their gradients."""
        for optimizer in self._optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        states = [optimizer.state_dict() for optimizer in self._optimizers]
        return {"replicas": states} if self._is_own else states[0]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what :meth:`state_dict` returned."""
        # A learning rate may be a tensor, which torch would take from the state as it is: on the device that
        # it was saved on. Every step sets the rates anew.
        lrs = [group["lr"] for group in self.param_groups]
        states = state["replicas"] if self._is_own else [state]
        for optimizer, part in zip(self._optimizers, states, strict=True):
            load_optimizer(optimizer, part, self._config)
        for group, lr in zip(self.param_groups, lrs, strict=True):
            group["lr"] = lr
