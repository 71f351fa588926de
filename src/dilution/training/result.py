"""The result of a training: history, noise, trained model."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.noise import NoiseSummary
from dilution.training.evaluation import Normalise, predict_logits
from dilution.training.gradients import GradientComparison


@dataclass(frozen=True, repr=False)
class TrainResult:
    """The result of a training.

    Parameters
    ----------
    state
        ``"done"``, or ``"diverged"`` if a loss was not finite.
    history
        One row per evaluation: ``step``, ``train_loss`` (mean since the last evaluation, in nats),
        ``val_acc_clean`` (accuracy on clean validation labels), ``val_loss_noisy`` (mean cross
        entropy on noisy validation labels, in nats), ``val_acc_noisy`` (accuracy on noisy
        validation labels), ``test_acc`` and ``test_acc_top5`` (test accuracies). If training labels are
        wrong, ``memorised`` and ``recovered``: the shares of up to 1,000 wrongly labelled training examples
        of which the model predicts the wrong label, and the true class.
    noise_summary
        Noise expected and counted over the labels that were trained on.
    n_train, n_val, n_test
        Clean images trained on, held out for validation, and tested on.
    seconds
        Wall time of the training, evaluations included; models that trained together each have an
        equal share.
    diverged_at
        First step (from 1) whose loss was not finite, on its batch or in the evaluation after it.
    model
        The trained model in evaluation mode, with averaged weights if they were averaged, after the last step
        or at the evaluation that was to be kept.
    normalise
        The normalisation of images that the model was trained with.
    gradients
        The gradient over noisy labels beside that over clean ones; None if they were not compared.
    gradients_obstacle
        Why they could not be compared though the task asks for it; empty if there was no obstacle.
    """

    state: Literal["done", "diverged"]
    history: pd.DataFrame
    noise_summary: NoiseSummary
    n_train: int
    n_val: int
    n_test: int
    seconds: float
    diverged_at: int | None
    model: nn.Module
    normalise: Normalise
    gradients: GradientComparison | None = None
    gradients_obstacle: str = ""

    def __repr__(self) -> str:
        """Return the state and the accuracies that results report."""
        parts = [f"state={self.state!r}"]
        if self.diverged_at is not None:
            parts.append(f"diverged_at={self.diverged_at}")
        summary = self.summary()
        for name in ("test_acc_last", "test_acc_at_best_clean_val", "steps_done"):
            if name in summary:
                parts.append(f"{name}={summary[name]:.4g}")
        parts += [f"n_train={self.n_train}", f"seconds={self.seconds:.3g}"]
        return f"TrainResult({', '.join(parts)})"

    def predict(self, images: Tensor | Arrays) -> Tensor:
        """Return class probabilities, float32 of shape (b, classes), for images of the data's dtype."""
        return predict_logits(self.model, self.normalise, images).softmax(dim=1)

    def summary(self) -> dict[str, float | int | None]:
        """Return the accuracies that results report, and the steps at which they were measured.

        The step is chosen on validation data: ``test_acc_at_best_clean_val`` by the highest
        accuracy on clean labels, ``test_acc_at_best_noisy_val`` by the lowest cross entropy on
        noisy ones, in a tie the first such step. ``test_acc_top5`` is measured at the same step as
        ``test_acc_at_best_clean_val``. ``test_acc_max`` is the highest test accuracy of all
        evaluations; it is reported as an oracle and never used.

        ``test_acc_at_half_steps`` is what ``test_acc_at_best_clean_val`` was after half the steps, None
        without an evaluation up to there: it tells whether more steps would change much.
        ``val_loss_noisy`` is the lowest cross entropy on noisy validation labels, in nats.
        ``memorised_last`` and ``recovered_last`` are those of the last evaluation, if they were measured.
        """
        if self.state == "diverged" or self.history.empty or not self.n_val:
            return {}
        history = self.history
        clean = history.loc[history["val_acc_clean"].idxmax()]
        noisy = history.loc[history["val_loss_noisy"].idxmin()]
        half = history[history["step"] <= history["step"].iloc[-1] / 2]
        at_half = None if half.empty else float(half.loc[half["val_acc_clean"].idxmax(), "test_acc"])
        return {
            "test_acc_last": float(history["test_acc"].iloc[-1]),
            "test_acc_at_best_clean_val": float(clean["test_acc"]),
            "test_acc_top5": float(clean["test_acc_top5"]),
            "test_acc_at_best_noisy_val": float(noisy["test_acc"]),
            "test_acc_max": float(history["test_acc"].max()),
            "test_acc_at_half_steps": at_half,
            "val_acc_clean": float(clean["val_acc_clean"]),
            "val_loss_noisy": float(noisy["val_loss_noisy"]),
            "step_at_best_clean_val": int(clean["step"]),
            "step_at_best_noisy_val": int(noisy["step"]),
            "steps_done": int(history["step"].iloc[-1]),
            **{
                f"{name}_last": float(history[name].iloc[-1])
                for name in ("memorised", "recovered")
                if name in history
            },
        }
