"""The result of a training: history, noise, trained model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        or at the evaluation that was to be kept: :attr:`test_acc` is its accuracy.
    normalise
        The normalisation of images that the model was trained with.
    gradients
        The gradient over noisy labels beside that over clean ones; None if they were not compared.
    gradients_obstacle
        Why they could not be compared though the task asks for it; empty if there was no obstacle.
    model_step
        The step whose weights the model has; None if it has diverged.
    stopped_at
        Step after which early stopping ended the training; None if it did not.
    whole_test
        With `test_part`, by step: ``test_acc`` and ``test_acc_top5`` on all test images, of the steps that
        :meth:`summary` reports. The history has those on the part.
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
    model_step: int | None = None
    stopped_at: int | None = None
    whole_test: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def test_acc(self) -> float | None:
        """Test accuracy of the model, in [0, 1]; None if it has diverged or was not evaluated."""
        if self.model_step is None or "test_acc" not in self.history:
            return None
        return self._test_measure(self.model_step, "test_acc")

    def _test_measure(self, step: int, name: str) -> float:
        """Return a measure on the test split at a step, on all images if it was measured on them."""
        if step in self.whole_test:
            return self.whole_test[step][name]
        return float(self.history.set_index("step").loc[step, name])

    def __repr__(self) -> str:
        """Return the state, the accuracy of the model with its step, and those that results report."""
        parts = [f"state={self.state!r}"]
        parts += [
            f"{name}={getattr(self, name):.4g}"
            for name in ("diverged_at", "stopped_at", "test_acc", "model_step")
            if getattr(self, name) is not None
        ]
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
        noisy ones, ``test_acc_at_best_noisy_acc`` by the highest accuracy on noisy ones, in a tie the first
        such step. ``test_acc_top5`` is measured at the same step as
        ``test_acc_at_best_clean_val``. ``test_acc_max`` is the highest test accuracy of all
        evaluations; it is reported as an oracle and never used. With `test_part` it and
        ``test_acc_at_half_steps`` are accuracies on that part, the others on all test images.

        ``test_acc_at_half_steps`` is what ``test_acc_at_best_clean_val`` was after half the steps, None
        without an evaluation up to there: it tells whether more steps would change much.
        ``val_loss_noisy`` is the lowest cross entropy on noisy validation labels, in nats, and
        ``val_acc_noisy`` the highest accuracy on them.
        ``memorised_last`` and ``recovered_last`` are those of the last evaluation, if they were measured.
        ``stopped_at`` is the step at which early stopping ended the training, if it did.

        It is empty if the training diverged, or nothing was held out for validation; then a name that is
        looked up raises a KeyError that says so.
        """
        if self.state == "diverged":
            return _NoSummary(
                f"the training diverged at step {self.diverged_at}, where its loss was not finite; studies "
                "count it as accuracy at chance"
            )
        if self.history.empty or not self.n_val:
            return _NoSummary("nothing was held out for validation (n_val), which chooses the steps")
        history = self.history
        clean = history.loc[history["val_acc_clean"].idxmax()]
        noisy = history.loc[history["val_loss_noisy"].idxmin()]
        agreeing = history.loc[history["val_acc_noisy"].idxmax()]
        half = history[history["step"] <= history["step"].iloc[-1] / 2]
        at_half = None if half.empty else float(half.loc[half["val_acc_clean"].idxmax(), "test_acc"])
        return {
            "test_acc_last": self._test_measure(int(history["step"].iloc[-1]), "test_acc"),
            "test_acc_at_best_clean_val": self._test_measure(int(clean["step"]), "test_acc"),
            "test_acc_top5": self._test_measure(int(clean["step"]), "test_acc_top5"),
            "test_acc_at_best_noisy_val": self._test_measure(int(noisy["step"]), "test_acc"),
            "test_acc_at_best_noisy_acc": self._test_measure(int(agreeing["step"]), "test_acc"),
            "test_acc_max": float(history["test_acc"].max()),
            "test_acc_at_half_steps": at_half,
            "val_acc_clean": float(clean["val_acc_clean"]),
            "val_loss_noisy": float(noisy["val_loss_noisy"]),
            "val_acc_noisy": float(agreeing["val_acc_noisy"]),
            "step_at_best_clean_val": int(clean["step"]),
            "step_at_best_noisy_val": int(noisy["step"]),
            "step_at_best_noisy_acc": int(agreeing["step"]),
            "steps_done": int(history["step"].iloc[-1]),
            **{
                f"{name}_last": float(history[name].iloc[-1])
                for name in ("memorised", "recovered")
                if name in history
            },
            **({} if self.stopped_at is None else {"stopped_at": self.stopped_at}),
        }


class _NoSummary(dict[str, float | int | None]):
    """An empty summary that says why a measure is missing."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    def __missing__(self, name: str) -> float | int | None:
        raise KeyError(f"there is no {name}: {self._reason}")
