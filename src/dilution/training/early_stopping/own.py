"""Rules of early stopping of the user: a function ``module:name`` of the history of a training."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from dilution.errors import InputError, short_repr
from dilution.training.early_stopping.base import EarlyStopping, Evaluations, Stops
from dilution.utils.named_setting import OwnSetting

VISIBLE = ("step", "train_loss", "val_acc_clean", "val_loss_noisy", "val_acc_noisy")
"""Columns of the history that a rule sees: the test set chooses nothing, nor do true training labels."""

_RULE = (
    f"it is a function of the history, a DataFrame with a row per evaluation and the columns "
    f"{', '.join(VISIBLE)}, which returns True or False; parameters follow by name"
)


class OwnEarlyStopping(OwnSetting, EarlyStopping):
    """A rule of the user, ``module:function(parameters)``.

    The function is called after each evaluation but the last one, with the history up to it and with the
    parameters of the text, and returns whether the training stops. What it returns must depend on these
    alone: a resumed training calls it with the whole history.
    """

    kind: ClassVar[str] = "early_stopping"

    def check(self) -> None:
        evaluation = dict.fromkeys(VISIBLE, 0.5)
        stops = self.of_training()
        for count in (1, 2, 3):
            stops([evaluation | {"step": 10 * number} for number in range(1, count + 1)])

    def of_training(self) -> Stops:
        function = self.function()

        def stops(evaluations: Evaluations) -> bool:
            history = pd.DataFrame([{name: row[name] for name in VISIBLE} for row in evaluations])
            return self._checked(self.call(function, history, shown="history", rule=_RULE))

        return stops

    def _checked(self, value: Any) -> bool:
        if not isinstance(value, bool | np.bool_):
            raise InputError(
                f"early_stopping is {self.text!r}, which returned {short_repr(value)}. Rule: {_RULE}."
            )
        return bool(value)
