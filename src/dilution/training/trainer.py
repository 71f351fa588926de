"""Training of models, step by step: sample, loss, step, evaluate, record."""

import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import DataError, DilutionError, InputError
from dilution.training.checkpoint import Checkpoint, TrainingStopped
from dilution.training.config import TrainConfig
from dilution.training.device import step_function
from dilution.training.distributed import Shard
from dilution.training.early_stopping import NONE
from dilution.training.ensemble_step import make_group_step
from dilution.training.evaluation import predict_logits
from dilution.training.group_batches import GroupBatches
from dilution.training.group_step import GroupStep
from dilution.training.losses import (
    CustomLoss,
    LossWithGradient,
    TransitionLoss,
    forward_corrected,
    resolve_loss,
)
from dilution.training.losses.gradient import OfEachReplica
from dilution.training.optimizers import is_own
from dilution.training.replica import Replica
from dilution.training.result import TrainResult
from dilution.training.schedules import resolve_schedule
from dilution.training.step_state import OtherStepError
from dilution.training.strategy_step import StrategyStep
from dilution.training.task import TrainTask


def train_models(
    tasks: Sequence[TrainTask], device: torch.device, checkpoint: Checkpoint | None, shard: Shard
) -> list[TrainResult]:
    """Train models that agree in everything but data, noise, seed and learning rate, as one ensemble.

    A model that diverges gets that state and does not affect the others.

    Parameters
    ----------
    tasks
        The trainings.
    device
        Device of data and models.
    checkpoint
        File from which an interrupted training resumes, and to which its state is saved.
    shard
        The part of each batch that this process computes.

    Raises
    ------
    InputError
        If a setting breaks its rule, or the tasks cannot train together.
    TrainingStopped
        At the time limit of the checkpoint, after saving it.
    """
    return Trainer(tasks, device, checkpoint, shard).run()


_NO_STATE = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What loading a state raises that is of no training, or of another one."""


class Trainer:
    """The replicas of a training, their ensemble, and memory for batches and losses.

    Its parameters are those of :func:`train_models`.
    """

    def __init__(
        self, tasks: Sequence[TrainTask], device: torch.device, checkpoint: Checkpoint | None, shard: Shard
    ) -> None:
        self._started = time.perf_counter()
        self._replicas = [Replica(task, device, shard) for task in tasks]
        check_alike([replica.kind for replica in self._replicas])
        self._checkpoint, self._shard, self._device = checkpoint, shard, device
        self._saves = checkpoint is not None  # no more after one that failed
        self._saved_step = 0  # of the checkpoint that there is; 0 without one
        first = self._replicas[0]
        self._config, self._steps = first.task.config, first.steps
        schedule = resolve_schedule(self._config.schedule)
        schedule.check(self._steps)
        self._lr_factor = schedule.of_training(self._steps)
        check_shardable(self._config, shard)
        rng_states = [replica.rng_state for replica in self._replicas if replica.rng_state is not None]
        is_plain = self._config.strategy == "plain"
        self._ensemble: GroupStep = (
            make_group_step(
                [replica.build_model().to(device) for replica in self._replicas],
                first.image_shape,
                self._config,
                [replica.task.config.lr for replica in self._replicas],
                rng_states or None,
                shard,
                _loss(self._replicas, device),
            )
            if is_plain
            else StrategyStep([replica.strategy_replica() for replica in self._replicas], self._config)
        )
        has_own_loss = isinstance(resolve_loss(self._config.loss), CustomLoss)
        is_custom = bool(rng_states) or has_own_loss or is_own(self._config) or not is_plain
        capturable = shard.size == 1 and not is_custom
        self._step_function = step_function(self._ensemble, device, capturable=capturable)
        n_evals = self._config.n_evals
        self._evaluation_steps = {round((i + 1) * self._steps / n_evals) for i in range(n_evals)}
        self._evaluation_steps.add(self._steps)
        part = shard.slice_of(self._config.batch_size)
        self._batches = GroupBatches(self._replicas, part.stop - part.start, device)
        gaps = itertools.pairwise(sorted({0, *self._evaluation_steps}))
        self._losses = torch.empty(len(tasks), max(high - low for low, high in gaps), device=device)
        self._n_losses = 0  # steps since the last evaluation

    def run(self) -> list[TrainResult]:
        """Train to the end."""
        start = self._resume()
        for step, (images, targets) in enumerate(self._batches.from_step(start), start=start + 1):
            if self._must_stop:
                self._stop(step - 1, is_saved=step - 1 == start)
            self._losses[:, self._n_losses] = self._step_function(images, targets, self._lr_factor(step - 1))
            self._n_losses += 1
            if step in self._evaluation_steps:
                self._evaluate(step)
                if all(replica.has_ended for replica in self._replicas):
                    break
                self._save(step)
        for number, replica in enumerate(self._replicas):
            replica.finish(self._ensemble.model(number))
        seconds = (time.perf_counter() - self._started) / len(self._replicas)
        self._compare_gradients()
        if self._checkpoint is not None:
            self._checkpoint.training_ended()
        return [
            replica.result(self._ensemble.model(number), seconds)
            for number, replica in enumerate(self._replicas)
        ]

    @property
    def n_steps(self) -> int:
        """Number of steps of the training."""
        return self._steps

    def steps(self) -> Iterator[Tensor]:
        """Take all steps at a constant learning rate, without evaluations; yield the losses of each, (R,)."""
        for images, targets in self._batches.from_step(0):
            yield self._step_function(images, targets, 1.0)

    def predict(self, images: Arrays) -> Tensor:
        """Return what the first model predicts as it is now: probabilities, float32, shape (n, classes)."""
        model, normalise = self._ensemble.model(0), self._replicas[0].normalise
        return predict_logits(model, normalise, images.to(self._device)).softmax(dim=1)

    def _resume(self) -> int:
        """Load the checkpoint, if there is one, and return the number of steps taken before."""
        start = 0
        if self._checkpoint is not None and (saved := self._checkpoint.load()) is not None:
            try:
                for replica, state in zip(self._replicas, saved["replicas"], strict=True):
                    replica.check(state)
                self._ensemble.load(saved["ensemble"])
                start = self._load(saved)
            except OtherStepError as error:
                logging.getLogger("dilution").warning(
                    "The checkpoint %s cannot be resumed: %s. The training starts again.",
                    *(self._checkpoint.path, error),
                )
            except (torch.OutOfMemoryError, InputError):  # the file is not to blame
                raise
            except _NO_STATE as error:  # of a file that somebody else made: its checksum is right
                reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                raise DataError(
                    f"the checkpoint {self._checkpoint.path} has no state of this training ({reason}). "
                    "Delete it to train from the start."
                ) from error
        self._shard.check_same_step(start)
        return start

    def _load(self, saved: Mapping[str, Any]) -> int:
        """Load what a checkpoint has beside the ensemble, and return the number of its steps."""
        self._started -= saved["seconds"]
        if "losses" in saved:  # those since the last evaluation
            self._n_losses = saved["losses"].shape[1]
            self._losses[:, : self._n_losses] = saved["losses"]
        for replica, state in zip(self._replicas, saved["replicas"], strict=True):
            replica.load(state)
        if not isinstance(saved["step"], int) or not 0 <= saved["step"] <= self._steps:
            raise ValueError(f"its step is {saved['step']!r}")
        self._saved_step = saved["step"]
        return self._saved_step

    @property
    def _must_stop(self) -> bool:
        """Whether the time limit is reached. It holds whether checkpoints can be saved or not."""
        return self._checkpoint is not None and self._checkpoint.must_stop

    def _compare_gradients(self) -> None:
        """Compare the gradients of the trained models whose tasks ask for it."""
        for number, replica in enumerate(self._replicas):
            for _ in replica.compare_gradients(self._ensemble.model(number)):
                if self._must_stop:
                    self._stop(self._steps, is_saved=False)

    def _evaluate(self, step: int) -> None:
        """Evaluate all replicas and record the losses since the last evaluation."""
        for number, replica in enumerate(self._replicas):
            losses = self._losses[number, : self._n_losses]
            replica.evaluate(self._ensemble.model(number), step, losses)
        self._n_losses = 0

    def _save(self, step: int) -> None:
        """Save a checkpoint if one is due; after a failure the training continues without checkpoints."""
        if self._checkpoint is None or not self._saves or step >= self._steps or not self._checkpoint.due():
            return
        try:
            self._checkpoint.save(self._state(step))
            self._saved_step = step
        except DilutionError as error:  # hours of training must not be lost because a copy cannot be saved
            logging.getLogger("dilution").warning("%s The training continues without checkpoints.", error)
            self._saves = False

    def _stop(self, step: int, *, is_saved: bool) -> None:
        """Save a checkpoint of this step, unless it is the one that was loaded, and stop.

        It is tried after a checkpoint that failed too: there may be room again.
        """
        if self._checkpoint is not None and not is_saved:
            try:
                self._checkpoint.save(self._state(step))
                self._saved_step = step
            except DilutionError as error:
                saved = self._saved_step
                rest = f"goes on from the checkpoint of step {saved:,}" if saved else "starts again"
                logging.getLogger("dilution").warning("%s The training %s next time.", error, rest)
        raise TrainingStopped(self._saved_step)

    def _state(self, step: int) -> dict[str, Any]:
        """Return everything that the training after this step depends on."""
        return {
            "step": step,
            "seconds": time.perf_counter() - self._started,
            "losses": self._losses[:, : self._n_losses].clone(),
            "ensemble": self._ensemble.state(),
            "replicas": [replica.state() for replica in self._replicas],
        }


def _loss(replicas: Sequence[Replica], device: torch.device) -> LossWithGradient:
    """Return the loss of an ensemble; with transition matrices of tasks cross entropy that they correct."""
    tasks = [replica.task for replica in replicas]
    loss = resolve_loss(tasks[0].config.loss)
    has_weights = any(task.label_weights is not None for task in tasks)
    if has_weights and isinstance(loss, TransitionLoss) and loss.T is None:
        raise InputError(
            f"loss is {loss.text!r}, and the noise of these labels is not known. Name a file with T[true, "
            "noisy], such as the transition.csv of dilution diagnose."
        )
    if all(task.transition is None for task in tasks):
        return loss.of_group([replica.loss_context(len(replicas)) for replica in replicas])
    if loss.text != "cross_entropy":
        raise InputError(
            f"loss is {loss.text!r}, and a transition matrix corrects cross entropy. Give "
            "loss='cross_entropy', or the method 'plain'."
        )
    identity = torch.eye(tasks[0].noisy.classes)
    transitions = [identity if task.transition is None else task.transition for task in tasks]
    if all(torch.equal(transition, transitions[0]) for transition in transitions):
        return forward_corrected(transitions[0].to(device))
    return OfEachReplica([forward_corrected(transition.to(device)) for transition in transitions])


def check_shardable(config: TrainConfig, shard: Shard) -> None:
    """Refuse settings that look at a whole batch, or remember examples, where processes divide batches.

    Raises
    ------
    InputError
        If the loss takes the numbers of examples, a strategy selects examples, mixup is on, or the training
        may stop early, and there are several processes.
    """
    if shard.size == 1:
        return
    for given, is_on in (
        (f"strategy is {config.strategy!r}", config.strategy != "plain"),
        (f"loss is {config.loss!r}", config.takes_index),
        (f"mixup is {config.mixup:g}", config.mixup > 0),
    ):
        if is_on:
            raise InputError(
                f"{given} and parallel is True; each of {shard.size} processes would see a part of a batch "
                "alone. Leave parallel out."
            )
    if config.early_stopping != NONE:
        raise InputError(
            f"early_stopping is {config.early_stopping!r} and parallel is True; processes whose last bits "
            "differ might stop at different steps, and wait for each other. Leave parallel out."
        )


def check_alike(kinds: Sequence[object]) -> None:
    """Refuse trainings that differ in more than data, noise, seed and learning rate."""
    if len(set(kinds)) > 1:
        raise InputError(
            f"{len(kinds)} trainings are of {len(set(kinds))} kinds; to train together they must agree in "
            "model, image shape, classes, steps and every setting but lr."
        )
