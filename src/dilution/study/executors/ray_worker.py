"""On a node of a cluster: run groups train with data from Ray's object store."""

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
from dilution.noise import IMAGE_SOURCES
from dilution.study.checkpoints import CheckpointFolder
from dilution.study.datasets import Confusabilities, provide_data
from dilution.study.grouping import RunGroup
from dilution.study.run_spec import Run
from dilution.study.runner import train_group
from dilution.study.weight_files import WeightSaver
from dilution.training import keep_freed_memory
from dilution.utils.references import search_modules_in
from dilution.utils.version import versions


@dataclass(frozen=True)
class DriverInfo:
    """What a node must know of the driver.

    Parameters
    ----------
    folder
        Its current folder.
    path
        The folders that it searches for modules.
    versions
        Versions that must agree.
    """

    folder: str
    path: tuple[str, ...]
    versions: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the information of this process."""
        agreeing = tuple(f"{name} {number}" for name, number in versions().items())
        return cls(str(Path.cwd()), tuple(filter(None, sys.path)), agreeing)


@dataclass(frozen=True)
class GroupTask:
    """What travels to a node: a run group, references to its data, where its files go, its driver."""

    group: RunGroup
    data: dict[tuple[str, str], Any]
    checkpoints: CheckpointFolder | None
    weights: WeightSaver | None
    driver: DriverInfo


def required_data(run: Run) -> list[tuple[str, str]]:
    """Return name and fingerprint of the data sets that a run reads."""
    names = [run.dataset] if run.image_source in IMAGE_SOURCES else [run.dataset, run.image_source]
    return [(name, run.fingerprint) for name in names]


def train(task: GroupTask, confusabilities: Confusabilities) -> list[dict[str, Any]]:
    """Train a run group on a node and return its outcomes."""
    _prepare_process(task.driver)
    for (name, fingerprint), reference in task.data.items():
        provide_data(name, fingerprint, _fetch(reference))
    outcomes = train_group(task.group, None, confusabilities, task.checkpoints, task.weights)
    return [outcome | {"host": platform.node()} for outcome in outcomes]


def _versions_agree(first: str, second: str) -> bool:
    """Return whether two versions agree; revisions are compared only if both are known."""
    if "(" in first and "(" in second:
        return first == second
    return first.partition(" (")[0] == second.partition(" (")[0]


@lru_cache(maxsize=1)
def _prepare_process(driver: DriverInfo) -> None:
    """Make a process of Ray equal to a worker process: it finds custom models, and keeps freed memory.

    Raises
    ------
    WorkerError
        If its versions differ from those of the driver, which are stored with the run.
    """
    node_versions = DriverInfo.of_this_process().versions
    if not all(map(_versions_agree, node_versions, driver.versions)):
        raise WorkerError(
            f"{platform.node()} has {', '.join(node_versions)}; the driver has {', '.join(driver.versions)}. "
            "Install the same versions on every node."
        )
    keep_freed_memory()
    if Path(driver.folder).is_dir():
        search_modules_in(driver.folder)
    # last: what is installed is found before a file of the same name
    sys.path.extend(folder for folder in driver.path if folder not in sys.path and Path(folder).is_dir())


_Numbers = np.ndarray[Any, Any]
_NumpyArrays = tuple[Any, _Numbers, tuple[str, ...], _Numbers | None, _Numbers | None]


def to_numpy(data: DataSet) -> tuple[str, _NumpyArrays, _NumpyArrays, tuple[str, ...]]:
    """Return data without tensors: all processes of a node share NumPy arrays of the object store."""
    return data.name, _split_to_numpy(data.train), _split_to_numpy(data.test), data.notes


def _split_to_numpy(arrays: Arrays) -> _NumpyArrays:
    images = arrays.images.numpy() if isinstance(arrays.images, torch.Tensor) else arrays.images
    observed, groups = (
        None if values is None else values.numpy() for values in (arrays.observed, arrays.groups)
    )
    return images, arrays.labels.numpy(), arrays.classes, observed, groups


@lru_cache(maxsize=4)
def _fetch(reference: Any) -> DataSet:
    """Return the data set of a reference; its images stay in the object store, which is read-only."""
    name, train_split, test_split, notes = ray.get(reference)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return DataSet(name, _from_numpy(*train_split), _from_numpy(*test_split), notes)


def _from_numpy(
    images: Any,
    labels: _Numbers,
    classes: tuple[str, ...],
    observed: _Numbers | None,
    groups: _Numbers | None,
) -> Arrays:
    images = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    observed_tensor, group_tensor = (
        None if values is None else torch.from_numpy(values) for values in (observed, groups)
    )
    return Arrays(images, torch.from_numpy(labels), classes, observed_tensor, group_tensor)
