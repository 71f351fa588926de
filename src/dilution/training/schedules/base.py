"""What a schedule of the learning rate is: warm-up, and the factor of each step after it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import Field

from dilution.utils.named_setting import NamedSetting

LrFactor = Callable[[int], float]
"""Function of a step, from 0, that returns the factor of the learning rate at it."""


class Schedule(NamedSetting, ABC):
    """A schedule of the learning rate with its parameters."""

    kind: ClassVar[str] = "schedule"

    def check(self, steps: int) -> None:
        """Refuse a schedule that breaks a rule, before anything is computed.

        Parameters
        ----------
        steps
            Number of optimizer steps of the training.

        Raises
        ------
        InputError
            If one of the user breaks a rule.
        """

    @abstractmethod
    def of_training(self, steps: int) -> LrFactor:
        """Return the factors of the learning rate in a training.

        Parameters
        ----------
        steps
            Number of optimizer steps.

        Raises
        ------
        InputError
            If a function of the user does not exist; when a factor is computed, if it breaks a rule.
        """


class WarmedUpSchedule(Schedule):
    """A schedule that rises linearly for the first k steps, and then takes its course.

    The factor of step i, from 0, is (i + 1)/(k + 1) below k. k is a share of the steps, rounded.

    Parameters
    ----------
    warmup
        Share of the steps in which the learning rate rises, from 0 to below 1.
    """

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @abstractmethod
    def after_warmup(self, step: int, steps: int, rising: int) -> float:
        """Return the factor of the learning rate at a step after warm-up, in [0, 1].

        Parameters
        ----------
        step
            The step, from `rising` to `steps` − 1.
        steps
            Number of steps of the training.
        rising
            Steps of the warm-up, k.
        """

    def of_training(self, steps: int) -> LrFactor:
        rising = min(round(self.warmup * steps), steps - 1)
        return lambda step: (
            (step + 1) / (rising + 1) if step < rising else self.after_warmup(step, steps, rising)
        )
