"""On a node of a cluster: packs train, with data from Ray's object store, and steps are timed."""

import platform
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import ray
import torch

from dilution.data import Arrays, DataSet
from dilution.errors import WorkerError
from dilution.study.executors.workers import measure, train_pack
from dilution.study.planner import Pack
from dilution.study.run_spec import IMAGE_SOURCES, Run
from dilution.study.runner import Checkpoints, Confusabilities, provide
from dilution.study.timing import Probe
from dilution.training import keep_freed_memory
from dilution.utils.version import versions


@dataclass(frozen=True)
class Driver:
    """What a node must know of the driver: the folder that it runs in, and the versions that must agree."""

    folder: str
    versions: tuple[str, ...]

    @classmethod
    def here(cls) -> Self:
        """Return this process as a driver."""
        return cls(str(Path.cwd()), tuple(f"{name} {number}" for name, number in versions().items()))


@dataclass(frozen=True)
class Task:
    """What travels to a node: a pack, references to its data, where it is written down, whose it is."""

    pack: Pack
    data: dict[tuple[str, str], Any]
    checkpoints: Checkpoints | None
    driver: Driver


def needed(run: Run) -> list[tuple[str, str]]:
    """Return name and fingerprint of the data that a run reads."""
    others = [] if run.image_source in IMAGE_SOURCES else [(run.image_source, "")]
    return [(run.dataset, run.fingerprint), *others]


def train(task: Task, shared: Confusabilities) -> list[dict[str, Any]]:
    """Train a pack on a node."""
    _prepare(task.driver)
    for (name, fingerprint), reference in task.data.items():
        provide(name, fingerprint, _opened(reference))
    outcomes = train_pack(task.pack, None, shared, task.checkpoints)
    return [outcome | {"host": platform.node()} for outcome in outcomes]


def measure_step(probe: Probe, driver: Driver) -> float:
    """Measure a step on a node."""
    _prepare(driver)
    return measure(probe)


def _agree(one: str, other: str) -> bool:
    """Return whether two versions agree; where only one names its revision, as far as both tell."""
    if "(" in one and "(" in other:
        return one == other
    return one.partition(" (")[0] == other.partition(" (")[0]


@lru_cache(maxsize=1)
def _prepare(driver: Driver) -> None:
    """Make a process of Ray what a worker process is: networks of one's own are found, memory is kept.

    Raises
    ------
    WorkerError
        If it has other versions than the driver: a run says by what it was trained.
    """
    here = Driver.here().versions
    if not all(map(_agree, here, driver.versions)):
        raise WorkerError(
            f"{platform.node()} has {', '.join(here)}; the driver has {', '.join(driver.versions)}. Install "
            "the same on every node."
        )
    keep_freed_memory()
    if Path(driver.folder).is_dir() and driver.folder not in sys.path:
        sys.path.insert(0, driver.folder)


_Half = tuple[Any, np.ndarray[Any, Any], tuple[str, ...], np.ndarray[Any, Any] | None]


def plain(data: DataSet) -> tuple[str, _Half, _Half, tuple[str, ...]]:
    """Return data without tensors: the arrays of NumPy lie in Ray's object store once for all processes."""
    return data.name, _half(data.train), _half(data.test), data.notes


def _half(arrays: Arrays) -> _Half:
    images = arrays.images.numpy() if isinstance(arrays.images, torch.Tensor) else arrays.images
    observed = None if arrays.observed is None else arrays.observed.numpy()
    return images, arrays.labels.numpy(), arrays.classes, observed


@lru_cache(maxsize=4)
def _opened(reference: Any) -> DataSet:
    """Return the data of a reference; images stay in the object store, which nobody writes to."""
    name, train, test, notes = ray.get(reference)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return DataSet(name, _arrays(*train), _arrays(*test), notes)


def _arrays(
    images: Any, labels: np.ndarray[Any, Any], classes: tuple[str, ...], observed: np.ndarray[Any, Any] | None
) -> Arrays:
    images = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    seen = None if observed is None else torch.from_numpy(observed)
    return Arrays(images, torch.from_numpy(labels), classes, seen)
