"""The built-in optimizers: those of ``torch.optim``, with its parameters and defaults."""

from collections.abc import Sequence
from inspect import unwrap
from typing import Annotated, Any, ClassVar, TypeVar, cast

import torch
from pydantic import Field
from torch import optim

from dilution.training.optimizers.base import OptimizerSetting

_Positive = Annotated[float, Field(gt=0)]
_Decay = Annotated[float, Field(ge=0, lt=1)]
_Kind = TypeVar("_Kind", bound=optim.Optimizer)


def _without_compiler(kind: type[_Kind]) -> type[_Kind]:
    """Return an optimizer of torch that computes the same and does not import ``torch._dynamo``.

    The decorators of its methods import it at their first call, for programs that compile them; that takes a
    second or two of every process that trains. `step` disables gradients, as its decorator does.
    """
    decorated = "add_param_group", "state_dict", "load_state_dict", "zero_grad"
    methods: dict[str, Any] = {name: unwrap(getattr(kind, name)) for name in decorated}
    step = torch.no_grad()(unwrap(kind.step))
    name = {"__qualname__": f"_{kind.__name__}"}  # in this module, by which it is pickled
    return cast("type[_Kind]", type(kind.__name__, (kind,), {**methods, **name, "step": step}))


_Adadelta, _SGD = _without_compiler(optim.Adadelta), _without_compiler(optim.SGD)
_Adam, _AdamW = _without_compiler(optim.Adam), _without_compiler(optim.AdamW)


class Adadelta(OptimizerSetting):
    """Adadelta (Zeiler 2012).

    s ← ρ s + (1 − ρ) g²; d = g √(u + ε)/√(s + ε); u ← ρ u + (1 − ρ) d²; w ← w − lr d

    Parameters
    ----------
    rho
        ρ, from 0 to below 1.
    eps
        ε, above 0.
    """

    name: ClassVar[str] = "adadelta"

    rho: _Decay = 0.9
    eps: _Positive = 1e-6

    def make(
        self, weights: Sequence[Any], *, lr: float, momentum: float, weight_decay: float, capturable: bool
    ) -> optim.Optimizer:
        del momentum
        return _Adadelta(
            weights,
            lr=lr,
            rho=self.rho,
            eps=self.eps,
            weight_decay=weight_decay,
            foreach=True,
            capturable=capturable,
        )


class SGD(OptimizerSetting):
    """Stochastic gradient descent with the momentum of the setting `momentum`.

    v ← momentum v + g; w ← w − lr (g + momentum v) with Nesterov's momentum, w ← w − lr v without.

    Parameters
    ----------
    nesterov
        Whether momentum is Nesterov's.
    """

    name: ClassVar[str] = "sgd"

    nesterov: bool = True

    def make(
        self, weights: Sequence[Any], *, lr: float, momentum: float, weight_decay: float, capturable: bool
    ) -> optim.Optimizer:
        del capturable  # it always is
        nesterov = self.nesterov and momentum > 0
        return _SGD(
            weights, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
        )


class Adam(OptimizerSetting):
    """Adam (Kingma and Ba 2015).

    m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²; w ← w − lr m̂/(√v̂ + ε), with bias-corrected m̂ and v̂

    Parameters
    ----------
    beta1, beta2
        Decays, from 0 to below 1.
    eps
        ε, above 0.
    """

    name: ClassVar[str] = "adam"

    beta1: _Decay = 0.9
    beta2: _Decay = 0.999
    eps: _Positive = 1e-8

    def make(
        self, weights: Sequence[Any], *, lr: float, momentum: float, weight_decay: float, capturable: bool
    ) -> optim.Optimizer:
        del momentum
        return self._adam(
            weights,
            lr=lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=weight_decay,
            fused=True,
            capturable=capturable,
        )

    _adam: ClassVar[type[optim.Adam]] = _Adam


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): first w ← (1 − lr · weight_decay) w.

    Parameters
    ----------
    beta1, beta2
        Decays, from 0 to below 1.
    eps
        ε, above 0.
    """

    name: ClassVar[str] = "adamw"
    _adam: ClassVar[type[optim.Adam]] = _AdamW
