"""The engine of many machines: packs as tasks of Ray, data once a node in its object store.

It joins a cluster by its address, or starts one on this machine. Ray schedules and carries; what happens to a
pack whose worker or machine went away is decided by the driver, as for every engine.
"""

import math
import os
import signal
import socket
import threading
from typing import Any, Self

import ray
import torch
from ray.exceptions import (
    GetTimeoutError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RaySystemError,
    WorkerCrashedError,
)

from dilution.errors import InputError, WorkerError
from dilution.study.executors.base import Ended, Executor, Job
from dilution.study.executors.processes import places
from dilution.study.executors.ray_worker import Driver, Task, measure_step, needed, plain, train
from dilution.study.memory import bytes_of
from dilution.study.planner import Pack
from dilution.study.runner import open_data
from dilution.study.timing import Probe

_AHEAD = 2  # tasks handed over for each place: the next is there when one ends, and no more than that
_PROBES = 64  # tasks that measure a step at once, at most
_FETCH = 60  # seconds for the outcomes of a pack
_ANSWER = 10.0  # seconds for a cluster to answer at its address
_LOOK = 60.0  # seconds without an end after which to see what machines are left
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_worker_niceness": "0",  # 15 otherwise: beside other work nothing would get done
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Settings of a cluster that is started here, unless the user has set them."""
_GONE = "the cluster went away: {} Finished runs are kept; start it and give the same command again."


class Cluster(Executor):
    """Trains as tasks of Ray.

    Raises
    ------
    InputError
        If there is no cluster at the address, or nothing to train on in it.
    """

    shares_cores = False

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._busy: dict[Any, Pack] = {}
        self._data: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        if ray.is_initialized():
            raise InputError("Ray runs in this process already. End it first: ray.shutdown().")
        before = signal.getsignal(signal.SIGTERM)
        try:
            self._connect()
            self._take_stock()
            self._shared = ray.put(self.job.shared)
            # once: each is sent to the whole cluster, and kept there
            self._training, self._measuring = ray.remote(train), ray.remote(measure_step)
            for each in dict.fromkeys(need for run in self.job.runs for need in needed(run)):
                self._data[each] = ray.put(plain(open_data(*each, self.job.root)))
        except BaseException:
            self.close()
            raise
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray puts one of its own there
        return self

    def _connect(self) -> None:
        """Join the cluster at the address, or start one here."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        try:
            if self.job.address is not None:
                _reach(self.job.address)
                ray.init(address=self.job.address, **quiet)
                return
            gpus = torch.cuda.device_count() if self.job.device == "cuda" else 0
            here = places(self.job.workers, self.job.device)
            ray.init("local", num_cpus=max(here, gpus), num_gpus=gpus, include_dashboard=False, **quiet)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            where = "this machine" if self.job.address is None else f"address {self.job.address!r}"
            raise InputError(
                f"no cluster could be had at {where}: {_line(error)} Start one: `ray start --head`; if it "
                "asks for a token, set RAY_AUTH_MODE=token; or leave out --address for one on this machine."
            ) from None

    def _take_stock(self) -> None:
        """See what there is to train on."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        kind = "GPU" if self.job.device == "cuda" else "CPU"
        present = int(sum(node.get(kind, 0) for node in nodes))
        if present == 0:
            raise InputError(
                f"the cluster has no {kind} to train on; device is {self.job.device!r}. Add nodes, or take "
                "another --device."
            )
        wanted = present if self.job.workers is None else self.job.workers
        self.cores = wanted if kind == "GPU" else min(wanted, present)
        self._each = math.ceil(self.cores / present)  # packs on one GPU
        # Ray trains at once all that it is handed and has room for: one ahead only where it has none.
        self._most = _AHEAD * self.cores if self.cores >= present else self.cores
        self._memory = int(max(node.get("memory", 0) for node in nodes))
        self._cpus = int(max(node.get("CPU", 0) for node in nodes))
        models = [f"{node.get('CPU', 0):g} CPUs" for node in nodes]
        models += [name for node in nodes for name in node if name.startswith("accelerator_type")]
        self._place = "/".join(["ray", torch.__version__, *sorted(models)])

    def close(self) -> None:
        try:
            self._cancel()
        finally:
            ray.shutdown()

    def _cancel(self) -> None:
        try:
            for task in self._busy:
                ray.cancel(task, force=True)
        except (RayError, ValueError, TypeError):
            pass  # the cluster is gone, and with it what trained
        self._busy = {}

    @property
    def place(self) -> str:
        return self._place

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def measure(self, probe: Probe) -> float:
        found = self._measure(probe)
        return self._measure(probe) if math.isinf(found) else found  # one death may have other reasons

    def _measure(self, probe: Probe) -> float:
        count = min(probe.processes, self.cores, _PROBES)
        ask = self._measuring.options(**self._needs(1, 0))
        asked = [ask.remote(probe, Driver.here()) for _ in range(count)]
        try:
            return max(float(time) for time in ray.get(asked))
        except (WorkerCrashedError, OutOfMemoryError, NodeDiedError, ObjectLostError):
            return math.inf
        except RayError as error:
            raise WorkerError(f"a step could not be measured on the cluster: {_line(error)}") from None

    def room(self, pack: Pack) -> bool:
        del pack  # Ray keeps what does not fit yet
        return len(self._busy) < self._most

    def start(self, pack: Pack) -> None:
        data = {each: self._data[each] for run in pack.runs for each in needed(run)}
        task = Task(pack, data, self.job.checkpoints, Driver.here())
        options = self._needs(pack.threads, bytes_of(pack, self.job.root))
        self._busy[self._training.options(**options).remote(task, self._shared)] = pack

    def wait(self) -> list[Ended]:
        try:
            while True:
                done, _ = ray.wait(list(self._busy), num_returns=1, timeout=_LOOK)
                if done:
                    more, _ = ray.wait(list(self._busy), num_returns=len(self._busy), timeout=0)
                    return [self._ended(task) for task in dict.fromkeys([*done, *more])]
                if stranded := self._stranded():
                    return stranded
        except RayError as error:
            raise WorkerError(_GONE.format(_line(error))) from None

    def _stranded(self) -> list[Ended]:
        """Return all packs, if the machines that are left have less room than some may have asked for.

        Ray would wait for a machine that has it.
        """
        memory, cpus = self._memory, self._cpus
        self._take_stock()
        if self._memory >= memory and self._cpus >= cpus:
            return []
        packs = list(self._busy.values())
        self._cancel()
        return [Ended(pack, None, "the largest machine went away.", blamed=False) for pack in packs]

    def _ended(self, task: Any) -> Ended:
        pack = self._busy.pop(task)
        try:
            return Ended(pack, ray.get(task, timeout=_FETCH))
        except OutOfMemoryError as error:
            return Ended(pack, None, f"Ray ended the worker process for lack of memory. {_line(error)}")
        except WorkerCrashedError as error:
            return Ended(pack, None, f"the worker process died. {_line(error)}")
        except (NodeDiedError, ObjectLostError, GetTimeoutError) as error:
            return Ended(pack, None, f"the machine went away. {_line(error)}", blamed=False)
        except (LocalRayletDiedError, RaySystemError) as error:
            raise WorkerError(_GONE.format(_line(error))) from None
        except WorkerError as error:  # a node that differs: no pack is to blame, and none is safe there
            raise WorkerError(_line(error)) from None
        except RayError as error:
            return Ended(pack, None, _line(error))

    def _needs(self, threads: int, memory: int) -> dict[str, Any]:
        """Return what a task asks the cluster for, no more than its largest node has: Ray would wait for it.

        Ray itself repeats nothing.
        """
        gpu = {"num_gpus": 1 / self._each} if self.job.device == "cuda" else {}
        memory = min(memory, self._memory * 9 // 10)
        return {"num_cpus": min(threads, self._cpus), "memory": memory or None, "max_retries": 0} | gpu


def _reach(address: str) -> None:
    """Raise OSError if nothing answers at host:port; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()


def _line(error: BaseException) -> str:
    """Return what an error says in one line; of one that was raised on a node, what it said there."""
    cause = getattr(error, "cause", None) or error
    said = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return said[-1 if cause is not error else 0] if said else type(cause).__name__
