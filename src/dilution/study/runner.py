"""Training of runs: from runs to the outcomes that the store keeps."""

import logging
import math
import os
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dilution.errors import DataError, DilutionError
from dilution.study.checkpoints import CheckpointFolder
from dilution.study.datasets import Confusabilities, dilute
from dilution.study.gradient_notes import NO_GRADIENTS
from dilution.study.grouping import RunGroup
from dilution.study.run_spec import Run
from dilution.study.weight_files import WeightSaver
from dilution.training import TrainResult, TrainTask, device_title, train_together
from dilution.training.checkpoint import TrainingStopped

_MAX_MATRIX_CLASSES = 20  # the store keeps no transition matrices of more classes


def train_group(
    group: RunGroup,
    root: str | None,
    confusabilities: Confusabilities,
    checkpoints: CheckpointFolder | None,
    weights: WeightSaver | None = None,
) -> list[dict[str, Any]]:
    """Train a run group in this process, with its number of threads; return one outcome per run."""
    with using_threads(group.threads):
        return train_runs(group.runs, root, confusabilities, group.device, checkpoints, weights)


def train_runs(
    runs: Sequence[Run],
    root: str | None,
    confusabilities: Confusabilities,
    device: str = "cpu",
    checkpoints: CheckpointFolder | None = None,
    weights: WeightSaver | None = None,
) -> list[dict[str, Any]]:
    """Train runs of one group key together and return their outcomes, which JSON can hold.

    After an error the runs train in smaller parts: halves if memory was short, otherwise one by
    one. So an error ends only the run that it belongs to, whose outcome is ``failed`` with the
    text of the error.

    At the time limit of `checkpoints` the outcome is ``stopped``, with the ``step`` of the checkpoint. The
    weights of runs that have ended are saved by `weights`, if they are asked for.
    """
    try:
        opened = [dilute(run, root, confusabilities) for run in runs]
        tasks = [
            TrainTask(run.model, noisy, data.test, run.seed, run.n_val, run.config, run.compare_gradients)
            for run, (data, noisy) in zip(runs, opened, strict=True)
        ]
        if weights is not None:
            tasks = [replace(task, keep=weights.kept_step) for task in tasks]
        checkpoint = checkpoints.checkpoint(runs, device) if checkpoints else None
        results = train_together(tasks, device, checkpoint)
        for run, task, result in zip(runs, tasks, results, strict=True):
            _save_weights(run, task, result, weights)
        common = {"group_size": len(runs), "device": device_title(device)}
        return [_outcome(task, result, common) for task, result in zip(tasks, results, strict=True)]
    except TrainingStopped as stop:
        return [{"state": "stopped", "step": stop.step}] * len(runs)
    except (Exception, SystemExit) as error:  # recorded and reported with the run, not swallowed
        if len(runs) == 1:
            text = str(error) if isinstance(error, DilutionError) else traceback.format_exc(limit=-8)
            return [{"state": "failed", "error": text}]
        size = len(runs) // 2 if isinstance(error, torch.OutOfMemoryError) else 1
        logging.getLogger("dilution").warning(
            "%d runs could not be trained together (%s); %s.",
            *(len(runs), _first_line(error), "each starts alone" if size == 1 else "they start in halves"),
        )
    parts = [runs[start : start + size] for start in range(0, len(runs), size)]
    return [
        outcome
        for part in parts
        for outcome in train_runs(part, root, confusabilities, device, checkpoints, weights)
    ]


def _save_weights(run: Run, task: TrainTask, result: TrainResult, weights: WeightSaver | None) -> None:
    """Save the weights of a run; a failure is a warning: its results must not be lost with them."""
    if weights is None:
        return
    data = task.noisy.data
    try:
        weights.save(run, data.shape, data.classes, result)
    except DataError as error:
        logging.getLogger("dilution").warning("%s", error)


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Compute with this number of threads: another order of summation changes the last bits.

    The number is that of the whole process, so blocks of several threads of Python take turns.
    """
    with _thread_count_lock:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


_thread_count_lock = threading.RLock()


def _unlock_in_child() -> None:
    """Replace the lock in a forked process: the thread that held it does not exist there."""
    global _thread_count_lock
    _thread_count_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def _outcome(task: TrainTask, result: TrainResult, common: dict[str, Any]) -> dict[str, Any]:
    """Return what the store keeps of a training."""
    noisy, test = task.noisy, task.test
    noise_summary = result.noise_summary
    measures: dict[str, Any] = {
        "alpha_expected": _number(noise_summary.alpha_expected),
        "alpha_empirical": _number(noise_summary.alpha_empirical),
        "noise_rate_expected": noise_summary.noise_rate_expected,
        "noise_rate_empirical": noise_summary.noise_rate_empirical,
        "n_available": len(noisy.data),
        "n_test": result.n_test,
        "majority_share": float(test.labels.bincount().max() / result.n_test),
        "image_note": noisy.image_source.note,
        "seconds": result.seconds,
        "diverged_at": result.diverged_at,
    }
    measures |= common | result.summary()
    if result.gradients is not None:
        measures["gradient_ratio"] = result.gradients.ratio
        measures["gradient_cosine"] = result.gradients.cosine
    if noisy.classes <= _MAX_MATRIX_CLASSES:
        measures["transition_expected"] = noise_summary.transition_expected.tolist()
        measures["transition_empirical"] = np.nan_to_num(noise_summary.transition_empirical).tolist()
    obstacle = result.gradients_obstacle
    return {
        "state": result.state,
        "result": measures,
        "history": result.history.to_dict(orient="records"),
        "error": f"{NO_GRADIENTS}: {obstacle}" if obstacle else None,
    }


def _first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return (
        text if text and isinstance(error, DilutionError) else f"{type(error).__name__}: {text}".rstrip(": ")
    )


def _number(value: float) -> float | None:
    """Return a number as JSON can hold it: the alpha of observed labels is NaN."""
    return None if math.isnan(value) else value
