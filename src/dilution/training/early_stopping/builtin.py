"""The built-in rules of early stopping, by noisy and by clean validation labels."""

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from dilution.training.early_stopping.base import EarlyStopping, Evaluations, Stops


class NoStopping(EarlyStopping):
    """No early stopping: all steps are taken."""

    name: ClassVar[str] = "none"

    def never_stops(self, steps: int, n_evals: int) -> str:  # noqa: ARG002
        return ""  # as asked for

    def of_training(self) -> Stops:
        return lambda evaluations: False  # noqa: ARG005


class _Patience(EarlyStopping):
    """Stops when the last `patience` evaluations were no better than the best one before them.

    Parameters
    ----------
    patience
        Evaluations, 1 or more.
    """

    patience: Annotated[int, Field(ge=1)] = 5

    @property
    def least_evaluations(self) -> int:
        return self.patience + 1

    def _or_sooner(self, count: int) -> str:
        return f", or {self.name}(patience={count - 2})" if count > 2 else ""

    @abstractmethod
    def badness(self, evaluation: dict[str, float]) -> float:
        """Return a number that is lower the better an evaluation is."""

    def of_training(self) -> Stops:
        def stops(evaluations: Evaluations) -> bool:
            values = [self.badness(dict(evaluation)) for evaluation in evaluations]
            return len(values) - 1 - values.index(min(values)) >= self.patience

        return stops


class NoisyVal(_Patience):
    """Stop when the loss on noisy validation labels has not fallen for `patience` evaluations.

    Early stopping keeps a network from memorising wrong labels (Li, Soltanolkotabi and Oymak 2020). The loss
    is cross entropy. No clean label is used.

    Parameters
    ----------
    patience
        Evaluations, 1 or more; `n_evals` sets how many there are.
    """

    name: ClassVar[str] = "noisy_val"

    def badness(self, evaluation: dict[str, float]) -> float:
        return evaluation["val_loss_noisy"]


class NoisyValAccuracy(_Patience):
    """Stop when the accuracy on noisy validation labels has not risen for `patience` evaluations.

    For losses that bound what one label costs, such as GCE and MAE: cross entropy punishes their confident
    probabilities, so that `noisy_val` stops them early.

    Parameters
    ----------
    patience
        Evaluations, 1 or more; `n_evals` sets how many there are.
    """

    name: ClassVar[str] = "noisy_val_acc"

    def badness(self, evaluation: dict[str, float]) -> float:
        return -evaluation["val_acc_noisy"]


class CleanVal(_Patience):
    """Stop when the accuracy on clean validation labels has not risen for `patience` evaluations.

    Parameters
    ----------
    patience
        Evaluations, 1 or more; `n_evals` sets how many there are.
    """

    name: ClassVar[str] = "clean_val"

    def badness(self, evaluation: dict[str, float]) -> float:
        return -evaluation["val_acc_clean"]
