"""The engine of many machines: packs as tasks of Ray, data once a node in its object store.

It joins a cluster by its address, or starts one on this machine. Ray schedules and carries; what happens to a
pack whose worker or machine went away is decided by the driver, as for every engine.
"""

import math
import os
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
from ray.exceptions import GetTimeoutError, NodeDiedError, OutOfMemoryError, RayError, WorkerCrashedError

from dilution.data import Arrays, DataSet
from dilution.errors import InputError, WorkerError
from dilution.study.engines.interface import Ended, Engine, Job
from dilution.study.engines.local import places
from dilution.study.engines.workers import measure, train_pack
from dilution.study.execute import Checkpoints, Confusabilities, open_data, provide
from dilution.study.memory import bytes_of
from dilution.study.planner import Pack
from dilution.study.spec import IMAGE_SOURCES, Run
from dilution.study.timing import Probe
from dilution.training import keep_freed_memory

_AHEAD = 2  # tasks handed over for each place: the next is there when one ends, and no more than that
_PROBES = 64  # tasks that measure a step at once, at most
_JOIN = 60  # seconds
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_worker_niceness": "0",  # 15 otherwise: beside other work nothing would get done
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Settings of a cluster that is started here, unless the user has set them."""


class Cluster(Engine):
    """Trains as tasks of Ray.

    Raises
    ------
    InputError
        If there is no cluster at the address.
    """

    name = "ray"
    shares_cores = False

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._busy: dict[Any, Pack] = {}
        self._data: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "include_dashboard": False}
        try:
            if self.job.address is None:
                here = places(self.job.workers, self.job.device)
                gpu = self.job.device == "cuda"
                ray.init(num_cpus=here, num_gpus=torch.cuda.device_count() if gpu else 0, **quiet)
            else:
                quiet.pop("include_dashboard")
                ray.init(address=self.job.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"address is {self.job.address!r}, and no cluster answers there: {_line(error)} Start one "
                "with `ray start --head`, or leave out --address for one on this machine."
            ) from None
        there = ray.cluster_resources()
        self._gpus = there.get("GPU", 0.0)
        present = int(self._gpus if self.job.device == "cuda" else there.get("CPU", 0.0))
        wanted = present if self.job.workers is None else self.job.workers
        self.cores = wanted if self.job.device == "cuda" else min(wanted, present)
        if present == 0 or self.cores == 0:
            raise InputError(
                f"the cluster has {there.get('CPU', 0):g} CPUs and {self._gpus:g} GPUs; device is "
                f"{self.job.device!r}, and there is none to train on. Add nodes, or take another --device."
            )
        self._shared = ray.put(self.job.shared)
        for run in self.job.runs:
            for name, fingerprint in _needed(run):
                if (name, fingerprint) not in self._data:
                    data = open_data(name, fingerprint, self.job.root)
                    self._data[name, fingerprint] = ray.put(_plain(data))
        return self

    def close(self) -> None:
        for task in self._busy:
            ray.cancel(task, force=True)
        self._busy = {}
        ray.shutdown()

    @property
    def place(self) -> str:
        nodes = sorted(f"{node['Resources'].get('CPU', 0):g}" for node in ray.nodes() if node["Alive"])
        return "" if self.job.address is None else f"ray/{self.job.address}/{'+'.join(nodes)}"

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def measure(self, probe: Probe) -> float:
        count = min(probe.processes, self.cores, _PROBES)
        tasks = [ray.remote(_measure).options(**self._needs(1, 0)).remote(probe) for _ in range(count)]
        try:
            return max(float(time) for time in ray.get(tasks))
        except RayError:
            return math.inf

    def room(self, pack: Pack) -> bool:
        del pack  # Ray keeps what does not fit yet
        return len(self._busy) < _AHEAD * self.cores

    def start(self, pack: Pack) -> None:
        wanted = {each for run in pack.runs for each in _needed(run)}
        here = str(Path.cwd())
        options = self._needs(pack.threads, bytes_of(pack, self.job.root))
        data = {each: self._data[each] for each in wanted}
        task = (
            ray.remote(_train)
            .options(**options)
            .remote(_Task(pack, here, data, self.job.checkpoints), self._shared)
        )
        self._busy[task] = pack

    def wait(self) -> list[Ended]:
        done, _ = ray.wait(list(self._busy), num_returns=1)
        more, _ = ray.wait(list(self._busy), num_returns=len(self._busy), timeout=0)
        return [self._ended(task) for task in dict.fromkeys([*done, *more])]

    def _ended(self, task: Any) -> Ended:
        pack = self._busy.pop(task)
        try:
            return Ended(pack, ray.get(task, timeout=_JOIN))
        except OutOfMemoryError as error:
            return Ended(pack, None, f"Ray ended the worker for lack of memory. {_line(error)}")
        except WorkerCrashedError as error:
            return Ended(pack, None, f"the worker process died. {_line(error)}")
        except (NodeDiedError, GetTimeoutError) as error:
            return Ended(pack, None, f"the machine went away. {_line(error)}", blamed=False)
        except RayError as error:
            if not ray.is_initialized():
                raise WorkerError(f"the cluster went away: {_line(error)} Finished runs are kept.") from None
            return Ended(pack, None, _line(error))

    def _needs(self, threads: int, memory: int) -> dict[str, Any]:
        """Return what a task asks the cluster for; Ray itself repeats nothing."""
        gpu = {"num_gpus": min(1.0, self._gpus / self.cores)} if self.job.device == "cuda" else {}
        return {"num_cpus": threads, "memory": memory or None, "max_retries": 0} | gpu


@dataclass(frozen=True)
class _Task:
    """What travels to a node: the pack, where the driver runs, and references to its data."""

    pack: Pack
    folder: str
    data: dict[tuple[str, str], Any]
    checkpoints: Checkpoints | None


def _needed(run: Run) -> list[tuple[str, str]]:
    """Return name and fingerprint of the data that a run reads."""
    others = [] if run.images in IMAGE_SOURCES else [(run.images, "")]
    return [(run.dataset, run.fingerprint), *others]


def _train(task: _Task, shared: Confusabilities) -> list[dict[str, Any]]:
    """Train a pack on a node."""
    _prepare(task.folder)
    for (name, fingerprint), reference in task.data.items():
        provide(name, fingerprint, _opened(reference))
    outcomes = train_pack(task.pack, None, shared, task.checkpoints)
    return [outcome | {"host": platform.node()} for outcome in outcomes]


def _measure(probe: Probe) -> float:
    return measure(probe)


@lru_cache(maxsize=1)
def _prepare(folder: str) -> None:
    """Make a process of Ray what a worker process is: networks of one's own are found, memory is kept."""
    keep_freed_memory()
    if Path(folder).is_dir() and folder not in sys.path:
        sys.path.insert(0, folder)


_Half = tuple[Any, np.ndarray[Any, Any], tuple[str, ...], np.ndarray[Any, Any] | None]


def _plain(data: DataSet) -> tuple[str, _Half, _Half, tuple[str, ...]]:
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
    pictures = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    seen = None if observed is None else torch.from_numpy(observed)
    return Arrays(pictures, torch.from_numpy(labels), classes, seen)


def _line(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__
