"""One training from the first batch to its record: sample, loss, step, evaluate."""

import math
import time
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.errors import invalid
from dilution.nets import build
from dilution.noise import Delivered, Dilution, channel_moments
from dilution.training.batches import BatchOrderer
from dilution.training.objective import cross_entropy
from dilution.training.optimizers import averaged, optimizer, rate_factor, set_rate
from dilution.training.settings import TrainSettings, default_validation

_EVALUATION_BATCH = 1000


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
        entropy on noisy validation labels, nats), ``test`` (accuracy).
    delivered
        Noise asked for and delivered, over the labels that were trained on.
    n_training, n_validation, n_test
        Clean pictures trained on, set aside, and tested on.
    seconds
        Wall time of the training, evaluations included.
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
    prepare: "Normalise"

    def predict(self, pictures: Tensor) -> Tensor:
        """Return class probabilities, float32 of shape (b, classes), for uint8 pictures."""
        return logits(self.module, self.prepare, pictures).softmax(dim=1)

    def summary(self) -> dict[str, float | int | None]:
        """Return the accuracies that results report, and the steps that they belong to.

        The step is chosen on validation data: ``test_clean`` by the best accuracy on its clean labels,
        ``test_noisy`` by the lowest cross entropy on its noisy ones, the first such step in a tie.
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
            "test_noisy": float(noisy["test"]),
            "test_oracle": float(table["test"].max()),
            "validation_clean": float(clean["validation_clean"]),
            "step_clean": int(clean["step"]),
            "step_noisy": int(noisy["step"]),
            "steps_done": int(table["step"].iloc[-1]),
        }


def train(
    network: str,
    noisy: Dilution,
    *,
    test: Arrays,
    seed: int = 0,
    validation: int | None = None,
    settings: TrainSettings | None = None,
    **changes: object,
) -> TrainResult:
    """Train a network on a diluted set.

    Validation examples are set aside first, by :meth:`Dilution.hold_out`, whose training half draws noisy
    labels of its own: ``delivered`` of the result, not of `noisy`, is the noise that was trained on.

    Parameters
    ----------
    network
        Name of a network: ``"perceptron"``, ``"mlp2"``, ``"conv4"`` …
    noisy
        The diluted set. Its n clean examples include those set aside for validation.
    test
        Test pictures; they are evaluated and choose nothing.
    seed
        Root seed of the initial weights and of the batch order.
    validation
        Clean examples set aside for choosing the step. Default: a tenth of n, at most 5,000.
    settings
        How to train. Default: ``TrainSettings()``.
    **changes
        Single settings that differ, such as ``order="pooled", epochs=4``.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If a name or a setting breaks its rule.
    """
    settings = _changed(settings or TrainSettings(), changes)
    training, held_out = noisy.hold_out(default_validation(noisy.n) if validation is None else validation)
    batches = BatchOrderer(training, settings.order, settings.batch, seed=seed)
    started = time.perf_counter()
    shape = noisy.data.images.shape[1:]
    module = build(network, (shape[0], shape[1], shape[2]), noisy.classes, seed=seed)
    prepare = Normalise(noisy.data.images[training.clean_rows])
    referee = Referee(prepare, held_out, test)
    using = optimizer(module, settings)
    average = averaged(module, settings.averaging) if settings.averaging else None

    steps = settings.total_steps(batches.length)
    stops = {round((i + 1) * steps / settings.evaluations) for i in range(settings.evaluations)} | {steps}
    rows: list[dict[str, float]] = []
    losses: list[Tensor] = []
    diverged_at = None
    module.train()
    for step, batch in enumerate(batches.batches(steps), start=1):
        set_rate(using, settings.rate * rate_factor(settings.schedule, step - 1, steps))
        loss = cross_entropy(module(prepare(batch.pictures)), batch.targets)
        using.zero_grad(set_to_none=True)
        loss.backward()
        using.step()
        if average is not None:
            average.update_parameters(module)
        losses.append(loss.detach())
        if step in stops:
            recent = torch.stack(losses)
            judged = referee(average or module)
            finite = [*recent.isfinite().tolist(), math.isfinite(judged["validation_noisy"])]
            if not all(finite):
                diverged_at = min(step, step - len(losses) + 1 + finite.index(False))
                break
            rows.append({"step": step, "train_loss": float(recent.mean())} | judged)
            losses.clear()
    return TrainResult(
        state="done" if diverged_at is None else "diverged",
        history=pd.DataFrame(rows),
        delivered=_delivered(training, settings),
        n_training=training.n,
        n_validation=held_out.n,
        n_test=len(test),
        seconds=time.perf_counter() - started,
        diverged_at=diverged_at,
        module=average.module if average is not None else module,
        prepare=prepare,
    )


class Normalise:
    """uint8 pictures → float32 with mean 0 and deviation 1 in each channel of the training pictures."""

    def __init__(self, pictures: Tensor) -> None:
        mean, deviation = channel_moments(pictures)
        deviation = torch.where(deviation > 0, deviation, 1.0)  # a channel of one value stays finite
        self._scale = (1 / (255 * deviation)).float()[:, None, None]
        self._shift = (-mean / deviation).float()[:, None, None]

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return float32 pictures of the same shape, channels last in memory."""
        values = torch.addcmul(self._shift, pictures.float(), self._scale)
        return values.contiguous(memory_format=torch.channels_last)


class Referee:
    """Evaluates a network on clean and noisy validation data and on the test set."""

    def __init__(self, prepare: Normalise, held_out: Dilution, test: Arrays) -> None:
        place = torch.arange(held_out.n)
        self._prepare, self._test = prepare, test
        self._pictures = held_out.pictures(place)
        self._labels = held_out.labels(place)
        self._histogram = held_out.histogram(place).float() * (held_out.n / len(held_out))

    def __call__(self, module: nn.Module) -> dict[str, float]:
        """Return clean validation accuracy, noisy validation cross entropy and test accuracy."""
        validation = logits(module, self._prepare, self._pictures)
        test = logits(module, self._prepare, self._test.images)
        return {
            "validation_clean": accuracy(validation, self._labels),
            "validation_noisy": float(cross_entropy(validation, self._histogram)),
            "test": accuracy(test, self._test.labels),
        }


def logits(module: nn.Module, prepare: Normalise, pictures: Tensor) -> Tensor:
    """Evaluate a network on uint8 pictures: float32, shape (b, classes). Its mode is left as it was."""
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        parts = [module(prepare(part)) for part in pictures.split(_EVALUATION_BATCH)]
    module.train(was_training)
    return torch.cat(parts)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose largest logit is at the label, in [0, 1]."""
    return float((logits.argmax(dim=1) == labels).double().mean())


def _delivered(training: Dilution, settings: TrainSettings) -> Delivered:
    """Return the noise in what was trained on: with H_alpha no label is drawn, so it is what was asked."""
    return training.requested() if settings.order == "expected" else training.delivered()


def _changed(settings: TrainSettings, changes: dict[str, object]) -> TrainSettings:
    try:
        return TrainSettings.model_validate(settings.model_dump() | changes)
    except ValidationError as error:
        raise invalid(error, TrainSettings.model_fields) from None
