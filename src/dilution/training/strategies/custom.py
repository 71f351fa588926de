"""Strategies of the user: made by a factory ``module:name``, and checked before the first step."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dilution.errors import DilutionError, InputError
from dilution.training.strategies.base import Procedure, Strategy, StrategyContext, TrainingBatch
from dilution.training.strategies.examples import Examples
from dilution.training.strategies.networks import Network
from dilution.utils import rng
from dilution.utils.named_setting import OwnSetting
from dilution.utils.references import describe_exception
from dilution.utils.rng_state import RngState

_RULE = "a strategy is a function (networks, batch) → loss, a scalar with a gradient by the networks' weights"
_MOST_NETWORKS = 8
_EXAMPLES, _VALUES = 128, 1 << 22  # of the check before the first step; fewer examples if images are large


class CustomStrategy(OwnSetting, Strategy):
    """A strategy of the user, ``module:factory(parameters)``.

    The factory is called for each run, and beforehand to check what it returns, with the parameters of the
    text, and with `classes`, `examples`, `epochs` and `noise_rate` if it names them. It returns a function of
    the networks and a :class:`TrainingBatch` that returns the loss of the step. An attribute ``networks`` is
    the number of networks, by default 1. An ``nn.Module`` may have a method ``start_epoch(networks,
    examples, epoch)``, which is called before each epoch, and a state in buffers, which is saved in
    checkpoints; weights of its own are not trained.

    Parameters
    ----------
    reference
        ``module:factory``.
    parameters
        Parameters of the factory.
    """

    kind: ClassVar[str] = "strategy"
    networks: ClassVar[int | None] = None
    cost: ClassVar[float | None] = None

    def check(self, context: StrategyContext) -> None:
        most = min(_EXAMPLES, max(8, _VALUES // math.prod(context.shape)))
        few = replace(context, examples=min(most, context.examples), device=torch.device("cpu"))
        first, second = self._make(few), self._make(few)
        if first is second and isinstance(first, nn.Module) and any(True for _ in first.buffers()):
            raise InputError(
                f"strategy is {self.text!r}, and two calls of the factory returned the same module, whose "
                "buffers two trainings would share. Create the module within the factory."
            )
        _try_steps(self.text, _OwnProcedure(self.text, second), few)
        _check_state(self.text, second)

    def of_replica(self, context: StrategyContext) -> Procedure:
        return _OwnProcedure(self.text, self._make(context))

    def _make(self, context: StrategyContext) -> Any:
        """Call the factory."""
        factory = self.function()
        facts = {name: getattr(context, name) for name in ("classes", "examples", "epochs", "noise_rate")}
        named = _names(factory)
        arguments = {name: value for name, value in facts.items() if name in named} | self.parameters
        try:
            function = factory(**arguments)
        except Exception as error:
            called = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            hint = (
                f" It is a factory, which returns the strategy: {_RULE}."
                if {"networks", "batch"} <= set(named)
                else " Its parameters are those in brackets."
            )
            raise InputError(
                f"strategy is {self.text!r}; called as {self.reference.partition(':')[2]}({called}) it "
                f"raised {describe_exception(error)}.{hint}"
            ) from None
        if not callable(function) or isinstance(function, type):
            raise InputError(
                f"strategy is {self.text!r}, whose factory returned a {type(function).__name__}; it must "
                f"return the strategy: {_RULE}."
            )
        if isinstance(function, nn.Module) and any(True for _ in function.parameters()):
            raise InputError(
                f"strategy is {self.text!r}, a module with weights of its own, which nothing would train. "
                "Make them buffers (register_buffer), or part of the model."
            )
        return function


class _OwnProcedure(Procedure):
    """The procedure of a strategy of the user, whose results are checked."""

    def __init__(self, text: str, function: Any) -> None:
        super().__init__()
        self._text, self._function = text, function
        self.networks = getattr(function, "networks", 1)
        if not isinstance(self.networks, int) or not 1 <= self.networks <= _MOST_NETWORKS:
            raise InputError(
                f"strategy is {text!r}, and its attribute networks is {self.networks!r}; it must be a whole "
                f"number from 1 to {_MOST_NETWORKS}."
            )

    def start_epoch(self, networks: Sequence[Network], examples: Examples, epoch: int) -> None:
        start = getattr(self._function, "start_epoch", None)
        if start is not None:
            self._call("start_epoch(networks, examples, epoch)", start, networks, examples, epoch)

    def forward(self, networks: Sequence[Network], batch: TrainingBatch) -> Tensor:
        loss = self._call("strategy(networks, batch)", self._function, networks, batch)
        if not isinstance(loss, Tensor) or not loss.is_floating_point() or loss.ndim:
            kind = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise InputError(
                f"strategy is {self._text!r}, which returned {kind}; it must return a scalar loss, such "
                "as the mean of the losses."
            )
        if not loss.requires_grad:
            raise InputError(
                f"strategy is {self._text!r}, and its loss has no gradient by the networks' weights. It must "
                "neither detach it, nor compute it under torch.no_grad() or with predict()."
            )
        return loss

    def _call(self, form: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except DilutionError:
            raise
        except Exception as error:
            raise InputError(
                f"strategy is {self._text!r}; called as {form} it raised {describe_exception(error)}. Rule: "
                f"{_RULE}."
            ) from error


def _check_state(text: str, function: Any) -> None:
    """Refuse a state that checkpoints would not have."""
    if hasattr(function, "start_epoch") and not isinstance(function, nn.Module):
        raise InputError(
            f"strategy is {text!r}, whose start_epoch belongs to no nn.Module: what it keeps would be lost "
            "when a training is interrupted. Make it an nn.Module, and its state buffers (register_buffer)."
        )
    if not isinstance(function, nn.Module):
        return
    for name, value in vars(function).items():
        if isinstance(value, Tensor | np.ndarray):
            raise InputError(
                f"strategy is {text!r}, and its attribute {name} is no buffer: it would be lost when a "
                f"training is interrupted. Create it in the constructor by register_buffer({name!r}, …)."
            )


def _try_steps(text: str, procedure: Procedure, context: StrategyContext) -> None:
    """Take a step of the first epoch and one of the last, with small networks on random images."""
    cpu, count = context.device, context.examples
    generator = rng.generator(0, "strategy check")
    images = torch.randn(count, *context.shape, generator=generator)
    labels = torch.randint(context.classes, (count,), generator=generator)
    examples = Examples(count, context.classes, context.shape, cpu, images.__getitem__, labels.__getitem__)
    uses_loss = False

    def label_losses(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal uses_loss
        uses_loss = True
        return F.cross_entropy(logits, labels, reduction="none")

    with RngState(0):
        networks = [
            Network(nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), context.classes)))
            for _ in range(procedure.networks)
        ]
        index = torch.randperm(count, generator=generator)[: context.batch_size]
        last_epoch = max(math.ceil(context.epochs) - 1, 0)
        for step, epoch in enumerate((0, last_epoch)):  # strategies begin with simpler steps
            procedure.start_epoch(networks, examples, epoch)
            batch = TrainingBatch(
                images[index], labels[index], index, step, epoch, label_losses, lambda _: images[index], key=0
            )
            loss = procedure(networks, batch)
            loss.backward()
            _check_gradients(text, loss, networks)
    if context.loss != "cross_entropy" and not uses_loss:
        raise InputError(
            f"strategy is {text!r} and loss is {context.loss!r}, and the strategy does not call "
            "batch.losses, which computes it. Call it, or leave loss out."
        )


def _check_gradients(text: str, loss: Tensor, networks: Sequence[Network]) -> None:
    """Refuse a loss that is not finite, and one that leaves a network without a gradient."""
    if not bool(loss.isfinite()):
        raise InputError(
            f"strategy is {text!r}, whose loss is {float(loss.detach())} for random images; it must be "
            "finite. Use log_softmax in place of log, and take no mean over an empty selection."
        )
    for number, network in enumerate(networks):
        if all(weight.grad is None for weight in network.parameters()):
            raise InputError(
                f"strategy is {text!r}, and its loss does not depend on network {number} of {len(networks)}. "
                "Add the losses of all networks, or set networks to the number that it trains."
            )


def _names(function: Any) -> tuple[str, ...]:
    """Return the names of the parameters of a function."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some built-in functions have none
        return ()
