"""The interface of the optimizer step of a run group."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class GroupStep(Protocol):
    """R replicas and their optimizer: by torch, or by the kernels of a GPU."""

    def step(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Take one optimizer step and return the losses before it."""

    def set_lr(self, lr_factor: float) -> None:
        """Set the learning rates of the next step to `lr_factor` times those of the replicas."""

    def update_weights(self, images: Tensor, targets: Tensor) -> Tensor:
        """Update the weights at the learning rates that are set; return the losses before."""

    def update_average(self) -> None:
        """Update the average of the weights, if there is one."""

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, for :meth:`load`."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state: the next step is the one that would have followed it.

        Raises
        ------
        OtherStepError
            If the state is of another kind of step.
        """

    def model(self, replica: int) -> nn.Module:
        """Return the model of one replica, with averaged weights if they are averaged."""
