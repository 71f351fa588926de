"""What a training leaves behind."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.noise import Delivered
from dilution.training.evaluation import Normalise, logits


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves behind.

    Parameters
    ----------
    state
        ``"done"``, or ``"diverged"`` if a loss was not finite.
    history
        One row an evaluation: ``step``, ``train_loss`` (mean since the last evaluation, nats),
        ``validation_clean`` (accuracy on clean validation labels), ``validation_noisy`` (mean cross
        entropy on noisy validation labels, nats), ``validation_agreement`` (share of those labels that the
        network names), ``test`` and ``test_top5`` (accuracies).
    delivered
        Noise asked for and delivered, over the labels that were trained on.
    n_training, n_validation, n_test
        Clean pictures trained on, set aside, and tested on.
    seconds
        Wall time of the training, evaluations included; of replicas that trained together each has an
        equal share.
    diverged_at
        First step (from 1) whose loss was not finite, on its batch or in the evaluation after it.
    module
        The trained network, or its averaged weights.
    prepare
        The normalisation that it was trained with.
    """

    state: Literal["done", "diverged"]
    history: pd.DataFrame
    delivered: Delivered
    n_training: int
    n_validation: int
    n_test: int
    seconds: float
    diverged_at: int | None
    module: nn.Module
    prepare: Normalise

    def predict(self, pictures: Tensor | Arrays) -> Tensor:
        """Return class probabilities, float32 of shape (b, classes), for uint8 pictures."""
        return logits(self.module, self.prepare, pictures).softmax(dim=1)

    def summary(self) -> dict[str, float | int | None]:
        """Return the accuracies that results report, and the steps that they belong to.

        The step is chosen on validation data: ``test_clean`` by the best accuracy on its clean labels,
        ``test_noisy`` by the lowest cross entropy on its noisy ones, the first such step in a tie.
        ``test_top5`` goes with ``test_clean``: the label is among the five classes that score highest.
        ``test_oracle`` is the best test accuracy seen, shown as an oracle and used for nothing.
        """
        if self.state == "diverged" or self.history.empty:
            return {}
        table = self.history
        clean = table.loc[table["validation_clean"].idxmax()]
        noisy = table.loc[table["validation_noisy"].idxmin()]
        return {
            "test_last": float(table["test"].iloc[-1]),
            "test_clean": float(clean["test"]),
            "test_top5": float(clean["test_top5"]),
            "test_noisy": float(noisy["test"]),
            "test_oracle": float(table["test"].max()),
            "validation_clean": float(clean["validation_clean"]),
            "step_clean": int(clean["step"]),
            "step_noisy": int(noisy["step"]),
            "steps_done": int(table["step"].iloc[-1]),
        }
