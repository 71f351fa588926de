"""What a rule of early stopping is: its parameters, and whether a training stops after an evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from dilution.utils.named_setting import NamedSetting

Evaluations = Sequence[Mapping[str, float]]
"""The evaluations of a training up to now, named as in the history of a :class:`TrainResult`."""

Stops = Callable[[Evaluations], bool]
"""Function that returns whether a training stops after the last one of these evaluations."""


class EarlyStopping(NamedSetting, ABC):
    """A rule by which a training stops before its last step, with its parameters."""

    kind: ClassVar[str] = "early_stopping"

    def check(self) -> None:
        """Refuse a rule of the user that is none, before anything is computed.

        Raises
        ------
        InputError
            If it is none.
        """

    @property
    def least_evaluations(self) -> int:
        """The number of evaluations before which no training stops; the last evaluation never stops one."""
        return 1

    def never_stops(self, steps: int, n_evals: int) -> str:
        """Return why no training stops early, with a remedy; empty if one may.

        Parameters
        ----------
        steps
            Number of optimizer steps of the training.
        n_evals
            Number of evaluations that are asked for.
        """
        count = min(steps, n_evals)
        if self.least_evaluations < count:
            return ""
        more = f"n_evals={self.least_evaluations + 1} or more"
        if steps <= self.least_evaluations:
            more = f"more than {self.least_evaluations:,} steps, and as many n_evals"
        return (
            f"early_stopping is {self.text!r}, and no training stops early: that could be after "
            f"{self.least_evaluations:,} evaluations and before the last one, and there are {count:,}. Give "
            f"{more}{self._or_sooner(count)}"
        )

    def _or_sooner(self, count: int) -> str:  # noqa: ARG002
        """Return how the rule could stop a training of so many evaluations, as the end of a sentence."""
        return ""

    @abstractmethod
    def of_training(self) -> Stops:
        """Return the rule as a function.

        Raises
        ------
        InputError
            If a function of the user does not exist; when it is called, if it breaks a rule.
        """
