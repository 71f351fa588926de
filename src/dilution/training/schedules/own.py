"""Schedules of the user: a function ``module:name`` of the step and the number of steps."""

import math
from numbers import Real
from typing import Any, ClassVar

from dilution.errors import InputError, short_repr
from dilution.training.schedules.base import LrFactor, Schedule
from dilution.utils.named_setting import OwnSetting

_RULE = (
    "it is a function (step, steps) → factor of the learning rate, a finite number that is not negative; "
    "steps count from 0, and parameters follow by name"
)


class OwnSchedule(OwnSetting, Schedule):
    """A schedule of the user, ``module:function(parameters)``.

    The function is called before each step, with the number of steps taken, with the number of steps of the
    training, and with the parameters of the text. What it returns must depend on these alone: a resumed
    training continues with the step where it stopped.
    """

    kind: ClassVar[str] = "schedule"

    def check(self, steps: int) -> None:
        factor = self.of_training(steps)
        for step in sorted({0, steps // 2, steps - 1}):
            factor(step)

    def of_training(self, steps: int) -> LrFactor:
        function = self.function()

        def factor(step: int) -> float:
            return self._checked(self.call(function, step, steps, shown=f"{step}, {steps}", rule=_RULE), step)

        return factor

    def _checked(self, value: Any, step: int) -> float:
        try:
            factor = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
        except OverflowError:  # a whole number beyond floats
            factor = math.inf
        if not math.isfinite(factor) or factor < 0:
            raise InputError(
                f"schedule is {self.text!r}, which returned {short_repr(value)} for step {step:,}. Rule: "
                f"{_RULE}."
            )
        return factor
