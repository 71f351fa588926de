"""What a training leaves behind."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.noise import NoiseSummary
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
        ``val_acc_clean`` (accuracy on clean validation labels), ``val_loss_noisy`` (mean cross
        entropy on noisy validation labels, nats), ``val_acc_noisy`` (share of those labels that the
        network names), ``test_acc`` and ``test_acc_top5`` (accuracies).
    delivered
        Noise asked for and delivered, over the labels that were trained on.
    n_training, n_validation, n_test
        Clean images trained on, set aside, and tested on.
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
    noise_summary: NoiseSummary
    n_training: int
    n_validation: int
    n_test: int
    seconds: float
    diverged_at: int | None
    module: nn.Module
    prepare: Normalise

    def predict(self, images: Tensor | Arrays) -> Tensor:
        """Return class probabilities, float32 of shape (b, classes), for uint8 images."""
        return logits(self.module, self.prepare, images).softmax(dim=1)

    def summary(self) -> dict[str, float | int | None]:
        """Return the accuracies that results report, and the steps that they belong to.

        The step is chosen on validation data: ``test_acc_at_best_clean_val`` by the best accuracy on its clean labels,
        ``test_acc_at_best_noisy_val`` by the lowest cross entropy on its noisy ones, the first such step in a tie.
        ``test_acc_top5`` goes with ``test_acc_at_best_clean_val``: the label is among the five classes that score highest.
        ``test_acc_max`` is the best test accuracy seen, shown as an oracle and used for nothing.
        """
        if self.state == "diverged" or self.history.empty:
            return {}
        table = self.history
        clean = table.loc[table["val_acc_clean"].idxmax()]
        noisy = table.loc[table["val_loss_noisy"].idxmin()]
        return {
            "test_acc_last": float(table["test_acc"].iloc[-1]),
            "test_acc_at_best_clean_val": float(clean["test_acc"]),
            "test_acc_top5": float(clean["test_acc_top5"]),
            "test_acc_at_best_noisy_val": float(noisy["test_acc"]),
            "test_acc_max": float(table["test_acc"].max()),
            "val_acc_clean": float(clean["val_acc_clean"]),
            "step_at_best_clean_val": int(clean["step"]),
            "step_at_best_noisy_val": int(noisy["step"]),
            "steps_done": int(table["step"].iloc[-1]),
        }
