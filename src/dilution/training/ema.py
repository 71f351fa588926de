"""The exponential moving average of the weights of a model."""

import copy
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


class WeightEMA(Generic[_Module]):
    """An exponential moving average of the weights of a module, which starts at their first values.

    Unlike the averages of ``torch.optim.swa_utils`` it counts its updates on the host: reading a
    number from a GPU would stop it.

    Parameters
    ----------
    module
        The module whose weights are averaged.
    decay
        Weight of the old average in the new one.

    Attributes
    ----------
    module
        A copy of the module that holds the averaged weights.
    """

    def __init__(self, module: _Module, decay: float) -> None:
        self.module = copy.deepcopy(module)
        self._decay = decay
        self._averages = [weight.detach() for weight in self.module.parameters()]
        self._weights = [weight.detach() for weight in module.parameters()]
        # Statistics of normalisation layers are averages already, so they are copied.
        self._buffers = list(zip(self.module.buffers(), module.buffers(), strict=True))
        self._started = False

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from the ``module.state_dict()`` of an average that has started."""
        self.module.load_state_dict(state)
        self._started = True

    def update(self) -> None:
        """Update the average with the current weights."""
        if self._started:
            torch._foreach_lerp_(self._averages, self._weights, 1 - self._decay)
        else:
            torch._foreach_copy_(self._averages, self._weights)
            self._started = True
        for average, buffer in self._buffers:
            average.copy_(buffer)
