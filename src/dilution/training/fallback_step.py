"""A group step by the GPU kernels, or by torch if the first step shows that the GPU cannot run them."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from dilution.errors import DataError
from dilution.training.group_step import GroupStep
from dilution.training.step_state import kind_of


class FallbackStep:
    """A group step that torch takes over if the kernels cannot be launched.

    A kernel is compiled when it is launched first, so the first step tells. The kernel that updates the
    weights is the last one: when another one fails, the weights are those before the step.

    Parameters
    ----------
    kernels
        The group step by the kernels.
    make_torch
        Function that returns the same group step by torch, at the same initial weights.
    failures
        Errors of a kernel that cannot be compiled or launched.
    warn
        Function that tells the user why torch takes over.
    """

    def __init__(
        self,
        kernels: GroupStep,
        make_torch: Callable[[], GroupStep],
        failures: tuple[type[Exception], ...],
        warn: Callable[[str], None],
    ) -> None:
        self._step, self._failures, self._warn = kernels, failures, warn
        self._make_torch: Callable[[], GroupStep] | None = make_torch  # until the first step
        self._has_loaded = False
        self._lr_factor = 1.0

    def step(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Take one optimizer step; see :meth:`GroupStep.step`."""
        self.set_lr(lr_factor)
        losses = self.update_weights(images, targets)
        self.update_average()
        return losses

    def set_lr(self, lr_factor: float) -> None:
        """Set the learning rates of the next step."""
        self._lr_factor = lr_factor
        self._step.set_lr(lr_factor)

    def update_weights(self, images: Tensor, targets: Tensor) -> Tensor:
        """Update the weights at the learning rates that are set; return the losses before.

        Raises
        ------
        DataError
            If the kernels fail after a checkpoint of theirs was loaded: torch cannot resume from it.
        """
        if self._make_torch is None:
            return self._step.update_weights(images, targets)
        try:
            losses = self._step.update_weights(images, targets)
        except self._failures as error:
            reason = f"this GPU cannot run them ({str(error).strip().splitlines()[0].rstrip('.')})"
            if self._has_loaded:
                raise DataError(
                    f"the checkpoint was saved by the GPU kernels of run groups, and {reason}. Resume on the "
                    "GPU that saved it, or delete it to train from the start."
                ) from error
            self._warn(reason)
            self._step = self._make_torch()
            self._step.set_lr(self._lr_factor)
            losses = self._step.update_weights(images, targets)
        self._make_torch = None
        return losses

    def update_average(self) -> None:
        """Update the average of the weights, if there is one."""
        self._step.update_average()

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, for :meth:`load`."""
        return self._step.state()

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state; from one of torch, which took over in the training before, by torch."""
        if self._make_torch is not None and kind_of(state) == "torch":
            self._warn("the checkpoint is of a training by torch, which goes on")
            self._step, self._make_torch = self._make_torch(), None
        self._step.load(state)
        self._has_loaded = True

    def model(self, replica: int) -> nn.Module:
        """Return the model of one replica."""
        return self._step.model(replica)
