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

    @abstractmethod
    def of_training(self) -> Stops:
        """Return the rule as a function.

        Raises
        ------
        InputError
            If a function of the user does not exist; when it is called, if it breaks a rule.
        """
