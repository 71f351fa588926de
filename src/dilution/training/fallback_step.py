"""A group step by the GPU kernels, or by torch if the first step shows that the GPU cannot run them."""

import subprocess
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dilution.errors import DataError
from dilution.training.group_step import GroupStep
from dilution.training.step_state import kind_of

_KINDS = (RuntimeError, ImportError, OSError, AssertionError, subprocess.SubprocessError)
"""What Triton raises beside its own errors: without a C compiler, a driver, a folder for what it compiles."""


def is_triton_failure(error: Exception) -> bool:
    """Return whether an error says that Triton cannot compile or launch a kernel on this machine.

    It is an error of Triton's own, or was raised in Triton's code. Too little memory is none, since torch
    needs no less.
    """
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower():
        return False
    if any(kind.__module__.partition(".")[0] == "triton" for kind in type(error).__mro__):
        return True
    frames = traceback.walk_tb(error.__traceback__)
    packages = [str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in frames]
    callers = [name for name in packages if name in ("dilution", "triton")]
    return isinstance(error, _KINDS) and callers[-1:] == ["triton"]


def first_line(error: Exception) -> str:
    """Return the first line of an error without its full stop, or its type if it has no text."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


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
    is_failure
        Function that says whether an error is of a kernel that cannot be compiled or launched.
    warn
        Function that tells the user why torch takes over.
    """

    def __init__(
        self,
        kernels: GroupStep,
        make_torch: Callable[[], GroupStep],
        is_failure: Callable[[Exception], bool],
        warn: Callable[[str], None],
    ) -> None:
        self._step, self._is_failure, self._warn = kernels, is_failure, warn
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
        except Exception as error:
            if not self._is_failure(error):
                raise
            reason = f"they cannot run on this machine ({first_line(error)})"
            if self._has_loaded:
                raise DataError(
                    f"the checkpoint was saved by the GPU kernels of run groups, and {reason}. Resume on the "
                    "machine that saved it, or delete it to train from the start."
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
