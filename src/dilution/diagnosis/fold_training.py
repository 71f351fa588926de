"""Models trained on the folds of one data set, several at a time, each in a process with one thread."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.data.arrays import LazyImages
from dilution.models import can_be_sent, errors_of_model
from dilution.noise import Dilution
from dilution.study.execution import Execution
from dilution.study.executors.processes import count_processes, trains_inline
from dilution.training import TrainConfig, TrainTask, train_together
from dilution.utils.process_pool import Handler, ProcessPool
from dilution.utils.references import register_object, registered_object
from dilution.utils.stage_log import advance_stage, track

_VAL_EVERY = 20  # one training example in so many is held out for validation, which a training needs


@dataclass(frozen=True)
class Fold:
    """One training of a cross-validation.

    Parameters
    ----------
    train_rows
        Examples to train on, int64.
    held_out_rows
        Examples to predict, int64.
    seed
        Root seed of weights and batch order.
    config
        Configuration of the training.
    """

    train_rows: NDArray[np.int64]
    held_out_rows: NDArray[np.int64]
    seed: int
    config: TrainConfig


def count_workers(model: str | None, execution: Execution) -> int:
    """Return in how many processes folds are trained: 0, which is in this one, or at least 2.

    Parameters
    ----------
    model
        Name of the model; None for a registered one.
    execution
        What the user asked for.
    """
    inline = trains_inline(execution) or execution.device_type != "cpu"
    if inline or (model is not None and not can_be_sent(model)):
        return 0
    count = count_processes(execution)
    return count if count > 1 else 0


class FoldTrainer:
    """Trains models on folds of a data set, in worker processes that receive the data once.

    Parameters
    ----------
    data
        Examples; the models learn their `labels`.
    model
        Name of the model.
    device
        As for :func:`dilution.train`. On a GPU all models train in this process.
    workers
        Number of processes, as :func:`count_workers` returns it. With 0 models train in this process, with
        all its threads.
    """

    def __init__(self, data: Arrays, model: str, device: str, workers: int) -> None:
        self._predict = partial(_train_and_predict, data, model, device)
        self._stack = ExitStack()
        self._pool: ProcessPool | None = None
        self.workers = workers
        if workers:
            self._pool = ProcessPool(
                _open_worker, [(_without_tensors(data), model, registered_object(model))] * self.workers
            )

    def __enter__(self) -> Self:
        if self._pool is not None:
            self._stack.enter_context(self._pool)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def predict(self, folds: Sequence[Fold]) -> list[NDArray[np.float32]]:
        """Train a model per fold and return its held-out probabilities, shape (held-out rows, classes).

        Raises
        ------
        WorkerError
            If a worker process died.
        """
        if self._pool is None:
            return [self._predict(fold) for fold in track(folds, len(folds))]
        predictions = list[NDArray[np.float32]]()
        advance_stage(0, len(folds))
        for prediction in self._pool.imap(folds):
            predictions.append(prediction)
            advance_stage(len(predictions), len(folds))
        return predictions


_PlainData = tuple[NDArray[Any] | LazyImages, NDArray[np.int64], tuple[str, ...], NDArray[np.int64] | None]


def _without_tensors(data: Arrays) -> _PlainData:
    """Return data without tensors: to share a tensor torch moves its memory, and NumPy views of it dangle."""
    images = data.images.numpy() if isinstance(data.images, Tensor) else data.images
    return images, data.labels.numpy(), data.classes, None if data.groups is None else data.groups.numpy()


def _open_worker(data: _PlainData, model: str, factory: Any) -> Handler:
    """Prepare a worker process and return its handler, which trains a fold."""
    torch.set_num_threads(1)
    if factory is not None:  # an object of the user's program, which this process knows by no name
        register_object(model, factory)
    images, labels, classes, groups = data
    pixels = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    arrays = Arrays(
        pixels,
        torch.from_numpy(labels),
        classes,
        groups=None if groups is None else torch.from_numpy(groups),
    )
    return partial(_train_and_predict, arrays, model, "cpu")


def _train_and_predict(data: Arrays, model: str, device: str, fold: Fold) -> NDArray[np.float32]:
    n_val = max(1, len(fold.train_rows) // _VAL_EVERY)
    noisy = Dilution(data.subset(torch.from_numpy(fold.train_rows)), alpha=0)
    held_out = data.subset(torch.from_numpy(fold.held_out_rows))
    task = TrainTask(model, noisy, held_out, fold.seed, n_val, fold.config)
    with errors_of_model(model):
        (result,) = train_together([task], device)
        pred_probs: NDArray[np.float32] = result.predict(held_out).numpy()
    return pred_probs
