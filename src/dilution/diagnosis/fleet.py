"""Networks trained on parts of one data set, several at a time, each in a process with one thread."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.data.arrays import LazyImages
from dilution.errors import WorkerError
from dilution.noise import Dilution
from dilution.training import Task, TrainConfig, train_together

_SHARE_ASIDE = 20  # one in so many training examples is set aside, which the training loop asks for


@dataclass(frozen=True)
class Part:
    """One training.

    Parameters
    ----------
    rows
        Examples to train on, int64.
    held
        Examples to predict, int64.
    seed
        Root seed of weights and order.
    settings
        How to train.
    """

    rows: NDArray[np.int64]
    held: NDArray[np.int64]
    seed: int
    settings: TrainConfig


class Fleet:
    """Trains parts of a data set, in worker processes that get the data once.

    Parameters
    ----------
    data
        Examples; `labels` are what is learned.
    network
        Name of the network.
    device
        As for :func:`dilution.train`. On a GPU all trainings are in this process.
    workers
        Processes; 0 trains in this one, with all its threads.
    """

    def __init__(self, data: Arrays, model: str, device: str, workers: int) -> None:
        self._data, self._model, self._device = data, model, device
        self.workers = workers if device == "cpu" else 0
        self._stack = ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.workers > 1:
            self._pool = self._stack.enter_context(
                ProcessPoolExecutor(
                    self.workers, get_context("spawn"), _open, (_plain(self._data), self._model)
                )
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None and kind is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._stack.close()

    def predict(self, parts: Sequence[Part]) -> list[NDArray[np.float32]]:
        """Train each part and return the probabilities of what it holds out: float32 (held, classes).

        Raises
        ------
        WorkerError
            If a worker process died.
        """
        if self._pool is None:
            return [_predict(self._data, self._model, self._device, part) for part in parts]
        try:
            return list(self._pool.map(_predict_here, parts))
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker process died, often for lack of memory, or because a script that uses workers "
                "lacks the guard if __name__ == '__main__'. Try fewer workers, or workers=0."
            ) from error


_Plain = tuple[NDArray[Any] | LazyImages, NDArray[np.int64], tuple[str, ...]]

_HERE: dict[str, tuple[Arrays, str]] = {}
"""In a worker process: what it trains on."""


def _plain(data: Arrays) -> _Plain:
    """Return data without tensors, whose memory torch would move away from under their views to share it."""
    images = data.images.numpy() if isinstance(data.images, Tensor) else data.images
    return images, data.labels.numpy(), data.classes


def _open(data: _Plain, model: str) -> None:
    torch.set_num_threads(1)
    images, labels, classes = data
    here = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    _HERE["fleet"] = (Arrays(here, torch.from_numpy(labels), classes), model)


def _predict_here(part: Part) -> NDArray[np.float32]:
    data, model = _HERE["fleet"]
    return _predict(data, model, "cpu", part)


def _predict(data: Arrays, model: str, device: str, part: Part) -> NDArray[np.float32]:
    aside = max(1, len(part.rows) // _SHARE_ASIDE)
    noisy = Dilution(data.subset(torch.from_numpy(part.rows)), alpha=0)
    held = data.subset(torch.from_numpy(part.held))
    (result,) = train_together([Task(model, noisy, held, part.seed, aside, part.settings)], device)
    found: NDArray[np.float32] = result.predict(held).numpy()
    return found
