"""Training from the first batch to its record: sample, loss, step, evaluate."""

import itertools
import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from pydantic import ValidationError
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import DilutionError, InputError, invalid
from dilution.models import build
from dilution.noise import Dilution, NoiseSummary
from dilution.training.augment import Augmentation
from dilution.training.batches import BatchSampler
from dilution.training.checkpoint import Checkpoint
from dilution.training.config import TrainConfig, default_validation
from dilution.training.device import computing_on, device_of, step_of
from dilution.training.distributed import WHOLE, Share, join
from dilution.training.ensemble_step import Program
from dilution.training.estimators import kind_of, learn
from dilution.training.evaluation import Evaluator, Normalise
from dilution.training.optimizers import lr_factor
from dilution.training.result import TrainResult
from dilution.utils import rng
from dilution.utils.references import is_reference
from dilution.utils.rng_state import RngState


@dataclass(frozen=True)
class Task:
    """One training: what :func:`train` takes."""

    model: str
    noisy: Dilution
    test: Arrays
    seed: int
    n_val: int
    settings: TrainConfig


def train(
    model: str,
    noisy: Dilution,
    *,
    test: Arrays,
    seed: int = 0,
    n_val: int | None = None,
    settings: TrainConfig | None = None,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    parallel: bool = False,
    **changes: object,
) -> TrainResult:
    """Train a network, or a learner that takes no steps, on a diluted set.

    Validation examples are set aside first, by :meth:`Dilution.hold_out`, whose training half draws noisy
    labels of its own: ``delivered`` of the result, not of `noisy`, is the noise that was trained on.

    Parameters
    ----------
    network
        Name of a network: ``"perceptron"``, ``"mlp2"``, ``"conv4"`` …; of one of your own,
        ``"module:factory"``; or of a learner: ``"sklearn:logistic"``, ``"sklearn:knn"``,
        ``"sklearn:forest"``, ``"sklearn:boosting"``. Settings say nothing to a learner.
    noisy
        The diluted set. Its n clean examples include those set aside for validation.
    test
        Test images; they are evaluated and choose nothing.
    seed
        Root seed of the initial weights, the batch order and the augmentation.
    n_val
        Clean examples set aside for choosing the step. Default: a tenth of n, at most 5,000.
    settings
        How to train. Default: ``TrainSettings()``.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if there is one. Images, labels and noise are there
        too.
    checkpoint
        Where the training is written down; if it was cut off it goes on from there.
    parallel
        Divide each batch over the processes that ``torchrun`` has started; all of them call this alike and
        get the same result, which is that of one process but for rounding. A layer that looks at the batch as
        a whole, or draws, as batch normalisation and dropout do, sees the share of its process.
    **changes
        Single settings that differ, such as ``targets="pooled", epochs=4``.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If a name, a factory of one's own or a setting breaks its rule.
    """
    _check(noisy, test, seed)
    aside = default_validation(noisy.n) if n_val is None else n_val
    using = _changed(settings or TrainConfig(), changes)
    share = join(device_of(device).type, using.batch_size) if parallel else WHOLE
    return train_together([Task(model, noisy, test, seed, aside, using)], device, checkpoint, share)[0]


def _check(noisy: Dilution, test: Arrays, seed: int) -> None:
    """Refuse what is easily mixed up, in words of ours."""
    if not isinstance(noisy, Dilution):
        raise InputError(
            f"the data are a {type(noisy).__name__}; train takes a Dilution: dilution.Dilution(data.train, "
            "alpha=0) is one without noise."
        )
    if not isinstance(test, Arrays):
        raise InputError(
            f"test is a {type(test).__name__}; it must be Arrays of images and labels, such as the test "
            "half of dilution.load(name)."
        )
    ours, theirs = noisy.data.shape, test.shape
    if ours != theirs or len(test.classes) != noisy.classes:
        raise InputError(
            f"test images are {theirs} with {len(test.classes)} classes, training images {ours} with "
            f"{noisy.classes}; both must be the same. Take both halves from one data set."
        )
    rng.check(seed)


def train_together(
    tasks: Sequence[Task],
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    share: Share = WHOLE,
) -> list[TrainResult]:
    """Train replicas of one shape as one program; the results are those of training each alone.

    Replicas may differ in data, noise, seed and learning rate. A replica that diverges ends with that
    state and does not disturb the others. Learners are trained in turn. With a checkpoint a training that
    was cut off goes on exactly where it was written down last.

    Raises
    ------
    InputError
        If a setting breaks its rule, or the tasks are not of one shape: network, image shape, classes,
        number of steps and every setting but the rate must agree.
    """
    where, first = device_of(device), tasks[0]
    kind = kind_of(first.model, first.noisy.data.shape, first.noisy.classes)
    if kind == "estimator" and all(task.model == first.model for task in tasks):
        return [learn(task.model, task.noisy, task.test, seed=task.seed, n_val=task.n_val) for task in tasks]
    with computing_on(where):
        return _train(tasks, where, checkpoint, share)


def _train(
    tasks: Sequence[Task], where: torch.device, checkpoint: Checkpoint | None, share: Share
) -> list[TrainResult]:
    started = time.perf_counter()
    replicas = [_Replica(task, where, share) for task in tasks]
    shapes = {replica.shape for replica in replicas}
    if len(shapes) > 1:
        raise InputError(
            f"{len(tasks)} trainings have {len(shapes)} shapes; to train together they must agree in "
            "network, image shape, classes, steps and every setting but the rate."
        )
    first = replicas[0]
    settings, steps = first.task.settings, first.steps
    networks = [
        build(each.task.model, each.image, each.classes, seed=each.task.seed).to(where) for each in replicas
    ]
    draws = [each.draws for each in replicas] if first.own else None
    program = Program(networks, settings, [each.task.settings.lr for each in replicas], draws, share)
    stops = {round((i + 1) * steps / settings.n_evals) for i in range(settings.n_evals)} | {steps}
    # One place for the batch and one for the losses: small results that stay between large ones that come and
    # go would leave the heap of a process that keeps freed memory full of holes.
    part = share.of(settings.batch_size)
    images = torch.empty(len(replicas), part.stop - part.start, *first.image, device=where)
    targets: Tensor | None = None
    losses = torch.empty(
        len(replicas),
        max(high - low for low, high in itertools.pairwise(sorted({0, *stops}))),
        device=where,
    )
    take_step = program.step if share.size > 1 else step_of(program, first.task.model, where)
    since = start = 0
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        start = saved["step"]
        started -= saved["seconds"]
        program.load(saved["program"])
        for replica, state in zip(replicas, saved["replicas"], strict=True):
            replica.load(state)
    share.agree(start)
    streams = (each.augment.of(each.batches.batches(steps, start), start) for each in replicas)
    for step, parts in enumerate(zip(*streams, strict=True), start=start + 1):
        for replica, part, out in zip(replicas, parts, images, strict=True):
            replica.prepare.into(out, part.images)
        targets = torch.stack([part.targets for part in parts], out=targets)
        factor = lr_factor(settings.schedule, step - 1, steps)
        losses[:, since] = take_step(images, targets, factor)
        since += 1
        if step in stops:
            for number, replica in enumerate(replicas):
                replica.judge(program, number, step, losses[number, :since])
            since = 0
            if all(replica.diverged_at for replica in replicas):
                break
            if checkpoint is not None and step < steps and checkpoint.due():
                taken = time.perf_counter() - started
                told = [replica.state() for replica in replicas]
                state = {"step": step, "seconds": taken, "program": program.state(), "replicas": told}
                try:
                    checkpoint.save(state)
                except DilutionError as error:  # a training of hours does not end for want of a copy
                    logging.getLogger("dilution").warning("%s The training goes on without one.", error)
                    checkpoint = None
    if checkpoint is not None:
        checkpoint.remove()
    seconds = (time.perf_counter() - started) / len(replicas)
    return [replica.result(program, number, seconds) for number, replica in enumerate(replicas)]


@dataclass
class _Replica:
    """One of the networks that train together: its data, and what it leaves behind."""

    task: Task
    device: torch.device
    share: Share
    rows: list[dict[str, float]] = field(default_factory=list)
    diverged_at: int | None = None

    def __post_init__(self) -> None:
        settings, data = self.task.settings, self.task.noisy.data
        training, held_out = self.task.noisy.hold_out(self.task.n_val)
        self.training, self.held_out = training.to(self.device), held_out.to(self.device)
        self.batches = BatchSampler(
            self.training, settings.targets, settings.batch_size, seed=self.task.seed, share=self.share
        )
        self.augment = Augmentation(settings, data.shape, seed=self.task.seed, share=self.share)
        self.prepare = Normalise(self.training.data, self.training.clean_rows)
        self.steps = settings.total_steps(self.batches.length)
        self.image = data.shape
        self.classes = self.task.noisy.classes
        self._evaluator = Evaluator(self.prepare, self.held_out, self.task.test.to(self.device))
        # What the layers of a network of one's own draw; ours draw nothing.
        self.own = is_reference(self.task.model)
        self.draws = RngState(rng.stream(self.task.seed, "dropout"), self.device)

    @property
    def shape(self) -> tuple[object, ...]:
        """What replicas that train together have in common."""
        settings = self.task.settings.model_copy(update={"lr": 0.0, "epochs": None, "steps": self.steps})
        return self.task.model, self.image, self.classes, settings

    def judge(self, program: Program, number: int, step: int, losses: Tensor) -> None:
        """Evaluate after `step`, given the losses since the last evaluation, unless diverged before."""
        if self.diverged_at is not None:
            return
        with self.draws if self.own else nullcontext():
            judged = self._evaluator(program.model(number))
        finite = [*losses.isfinite().tolist(), math.isfinite(judged["val_loss_noisy"])]
        if not all(finite):
            self.diverged_at = min(step, step - len(losses) + 1 + finite.index(False))
            return
        self.rows.append({"step": step, "train_loss": float(losses.mean())} | judged)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it beside its weights."""
        return {"rows": self.rows, "diverged_at": self.diverged_at, "draws": self.draws.states}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.rows, self.diverged_at = list(state["rows"]), state["diverged_at"]
        self.draws.states = list(state["draws"])

    def _noise_summary(self) -> NoiseSummary:
        """Return the noise that was trained on: with H_alpha no label is drawn, so it is what was asked."""
        if self.task.settings.targets == "expected":
            return self.training.expected_noise_summary()
        return self.training.noise_summary(self.batches.drawn)

    def result(self, program: Program, number: int, seconds: float) -> TrainResult:
        """Return what the training leaves behind."""
        return TrainResult(
            state="done" if self.diverged_at is None else "diverged",
            history=pd.DataFrame(self.rows),
            noise_summary=self._noise_summary(),
            n_training=self.training.n,
            n_validation=self.held_out.n,
            n_test=len(self.task.test),
            seconds=seconds,
            diverged_at=self.diverged_at,
            module=program.model(number).cpu(),
            prepare=self.prepare.to(torch.device("cpu")),
        )


def _changed(settings: TrainConfig, changes: dict[str, object]) -> TrainConfig:
    try:
        return TrainConfig.model_validate(settings.model_dump() | changes)
    except ValidationError as error:
        raise invalid(error, TrainConfig.model_fields) from None
