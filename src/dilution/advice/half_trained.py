"""The model on which noise scales are measured: a short training, stopped halfway to its lowest loss."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from dilution.errors import InputError
from dilution.models import build_model, errors_of_model
from dilution.noise import Dilution
from dilution.training import BatchSampler, TrainConfig, is_custom
from dilution.training.config import PrecisionName
from dilution.training.ensemble_step import EnsembleStep
from dilution.training.evaluation import Normalise, predict_logits
from dilution.utils import rng
from dilution.utils.rng_state import RngState

_BATCH_SIZE = 128
_LR = 1e-3
_N_EVALS, _STEPS_PER_EVAL = 24, 5
_EVAL_IMAGES = 10 * _BATCH_SIZE


@dataclass(frozen=True)
class HalfTrainedModel:
    """A model that has learned half of what a short training teaches it, and its normalisation.

    Parameters
    ----------
    module
        The model.
    prepare
        Normalisation of its images.
    rng_state
        Random numbers of its layers; None if no layer draws any.
    precision
        Precision of products.
    """

    module: nn.Module
    prepare: Normalise
    rng_state: RngState | None
    precision: PrecisionName

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute as in a training: with the model's own random numbers, and in its precision."""
        low = self.precision != "float32"
        casting = torch.autocast("cpu", getattr(torch, self.precision)) if low else nullcontext()
        with self.drawing(), casting:
            yield

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw from the model's own random numbers."""
        with nullcontext() if self.rng_state is None else self.rng_state:
            yield


def train_halfway(
    model: str, noisy: Dilution, n_val: int, seed: int, precision: PrecisionName = "float32"
) -> HalfTrainedModel:
    """Train a model briefly, and return it at the step at which it had learned half.

    Half is of the decrease of the cross entropy on held-out labels. At the first step all gradients
    agree, at the last none do; noise scales are compared between these.

    Parameters
    ----------
    model
        Name of the model.
    noisy
        The set without the noise that is to be added.
    n_val
        Clean examples held out.
    seed
        Root seed of the weights and the batch order.
    precision
        Precision of products.

    Raises
    ------
    InputError
        If the loss is not finite before the first step.
    """
    training, held_out = noisy.hold_out(n_val)
    prepare = Normalise(training.data, training.clean_rows)
    rows = held_out.clean_rows[:_EVAL_IMAGES]
    images, labels = held_out.data.take(rows), held_out.labels(torch.arange(len(rows)))
    config = TrainConfig(
        optimizer="adam",
        lr=_LR,
        batch_size=_BATCH_SIZE,
        steps=_N_EVALS * _STEPS_PER_EVAL,
        precision=precision,
    )

    def train(steps: int, evaluate: Callable[[HalfTrainedModel], None]) -> HalfTrainedModel:
        """Train for so many steps, and evaluate before the first one and after every few."""
        module = build_model(model, noisy.data.shape, noisy.classes, seed=seed)
        rng_state = RngState(rng.stream(seed, "dropout")) if is_custom(model) else None
        ensemble = EnsembleStep([module], config, [_LR], None if rng_state is None else [rng_state])
        evaluate(HalfTrainedModel(ensemble.model(0), prepare, rng_state, precision))
        batches = BatchSampler(training, "sampled", _BATCH_SIZE, seed=seed).batches(steps)
        for step, batch in enumerate(batches, 1):
            ensemble.step(prepare(batch.images)[None], batch.targets[None], 1.0)
            if step % _STEPS_PER_EVAL == 0:
                evaluate(HalfTrainedModel(ensemble.model(0), prepare, rng_state, precision))
        return HalfTrainedModel(ensemble.model(0).train(), prepare, rng_state, precision)

    losses: list[float] = []

    def append_loss(trained: HalfTrainedModel) -> None:
        with trained.drawing():
            logits = predict_logits(trained.module, prepare, images)
        losses.append(float(nn.functional.cross_entropy(logits, labels)))

    with errors_of_model(model):
        train(_N_EVALS * _STEPS_PER_EVAL, append_loss)
        n_evals = _halfway_evaluation(losses, model)
        # Trained again up to there: keeping the model of every evaluation would take the memory of two dozen.
        return train(n_evals * _STEPS_PER_EVAL, lambda _: None)


def _halfway_evaluation(losses: list[float], model: str) -> int:
    """Return the first evaluation whose loss is at most halfway from the first to the lowest one."""
    if not math.isfinite(losses[0]):
        raise InputError(
            f"{model} has a loss of {losses[0]} before its first step; the gradient noise scale needs "
            "finite numbers. Check the model, and the data for extreme values."
        )
    halfway = (losses[0] + min(loss for loss in losses if math.isfinite(loss))) / 2
    return next(number for number, loss in enumerate(losses) if loss <= halfway)
