"""The executor of a cluster: run groups as tasks of Ray, data once per node in its object store.

It joins a cluster by its address, or starts one on this machine. Ray schedules and transports; the
scheduler decides what happens to a group whose process or machine went away, as for every executor.
"""

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
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
from ray.job_config import JobConfig

from dilution.errors import InputError, WorkerError
from dilution.study.datasets import open_data
from dilution.study.executors.base import Executor, FinishedGroup, Workload
from dilution.study.executors.processes import count_processes
from dilution.study.executors.ray_local import (
    check_demands_token,
    check_has_token_authentication,
    private_cluster,
)
from dilution.study.executors.ray_memory import estimate_memory
from dilution.study.executors.ray_worker import DriverInfo, GroupTask, required_data, to_numpy, train
from dilution.study.grouping import RunGroup

_TASKS_PER_CORE = 2  # tasks handed to Ray per core: the next is there when one ends
_FETCH_SECONDS = 60  # for the outcomes of a group
_CONNECT_SECONDS = 10.0
_CHECK_SECONDS = 60.0  # without a finished group after which to check which machines are left
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no statistics are sent
    "RAY_worker_niceness": "0",  # 15 otherwise: beside other work nothing would get done
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Settings of a cluster that is started here, unless the user has set them."""
_CLUSTER_LOST = "the cluster went away: {} Finished runs are kept; start it and give the same command again."


class RayExecutor(Executor):
    """Trains as tasks of Ray.

    Raises
    ------
    InputError
        If there is no cluster at the address, or nothing to train on in it.
    """

    shares_cores = False

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._execution = workload.execution
        self._groups: dict[Any, RunGroup] = {}
        self._data: dict[tuple[str, str], Any] = {}
        self._surroundings = ExitStack()

    def __enter__(self) -> Self:
        if ray.is_initialized():
            raise InputError("Ray runs in this process already. End it first: ray.shutdown().")
        sigterm_handler = signal.getsignal(signal.SIGTERM)
        try:
            self._connect()
            self._read_resources()
            self._confusabilities = ray.put(self.workload.confusabilities)
            # once: Ray sends each remote function to the whole cluster and keeps it there
            self._train = ray.remote(train)
            put: dict[int, Any] = {}  # once, also for several fingerprints, such as those of several models
            for data in dict.fromkeys(data for run in self.workload.runs for data in required_data(run)):
                opened = open_data(*data, self._execution.root)
                if id(opened) not in put:
                    put[id(opened)] = opened, ray.put(to_numpy(opened))
                _, self._data[data] = put[id(opened)]
        except BaseException:
            self.close()
            raise
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, sigterm_handler)  # Ray installs its own
        return self

    def _connect(self) -> None:
        """Join the cluster at the address, or start one here."""
        check_has_token_authentication()
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        options["job_config"] = config = JobConfig()
        config._py_driver_sys_path = _NoFolders()
        address, device = self._execution.address, self._execution.device_type
        try:
            if address is not None:
                _check_address(address)
                ray.init(address=address, **options)
            else:
                gpus = torch.cuda.device_count() if device == "cuda" else 0
                cpus = max(count_processes(self._execution), gpus)
                options |= self._surroundings.enter_context(private_cluster())
                ray.init("local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, **options)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            place = "this machine" if address is None else f"address {address!r}"
            raise InputError(
                f"there is no cluster at {place}: {_one_line(error)} Start one: `ray start --head`; if it "
                "asks for a token, set RAY_AUTH_MODE=token; or leave out --address for one on this machine."
            ) from None
        if address is not None:
            check_demands_token(ray.get_runtime_context().gcs_address)

    def _read_resources(self) -> None:
        """Read the resources of the cluster."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        device = self._execution.device_type
        resource = "GPU" if device == "cuda" else "CPU"
        available = int(sum(node.get(resource, 0) for node in nodes))
        if available == 0:
            raise InputError(
                f"the cluster has no {resource} to train on; device is {device!r}. Add nodes, or choose "
                "another --device."
            )
        workers = self._execution.workers
        requested = available if workers is None else workers
        self.cores = requested if resource == "GPU" else min(requested, available)
        self._groups_per_gpu = math.ceil(self.cores / available)
        # Ray trains all tasks that it has room for at once: hand over one ahead only if it has none.
        self._max_tasks = _TASKS_PER_CORE * self.cores if self.cores >= available else self.cores
        self._node_memory = int(max(node.get("memory", 0) for node in nodes))
        self._node_cpus = int(max(node.get("CPU", 0) for node in nodes))

    def close(self) -> None:
        try:
            self._cancel()
        finally:
            ray.shutdown()
            self._surroundings.close()

    def _cancel(self) -> None:
        try:
            for reference in self._groups:
                ray.cancel(reference, force=True)
        except (RayError, ValueError, TypeError):
            pass  # the cluster is gone, and its tasks with it
        self._groups = {}

    @property
    def is_busy(self) -> bool:
        return bool(self._groups)

    def has_room(self, group: RunGroup) -> bool:
        del group  # Ray keeps what does not fit yet
        return len(self._groups) < self._max_tasks

    def start(self, group: RunGroup) -> None:
        data = {key: self._data[key] for run in group.runs for key in required_data(run)}
        load = self.workload
        task = GroupTask(group, data, load.checkpoints, load.weights, DriverInfo.of_this_process())
        resources = self._resources(group.threads, estimate_memory(group, self._execution.root))
        self._groups[self._train.options(**resources).remote(task, self._confusabilities)] = group

    def wait(self, timeout: float | None = None) -> list[FinishedGroup]:
        end = math.inf if timeout is None else time.monotonic() + timeout
        try:
            while True:
                pause = min(_CHECK_SECONDS, max(0.0, end - time.monotonic()))
                done, _ = ray.wait(list(self._groups), num_returns=1, timeout=pause)
                if done:
                    more, _ = ray.wait(list(self._groups), num_returns=len(self._groups), timeout=0)
                    return [self._finished(reference) for reference in dict.fromkeys([*done, *more])]
                if time.monotonic() >= end:
                    return []
                if stranded := self._stranded():
                    return stranded
        except RayError as error:
            raise WorkerError(_CLUSTER_LOST.format(_one_line(error))) from None

    def _stranded(self) -> list[FinishedGroup]:
        """Return all groups if the largest machine left is smaller than what some may have requested.

        Ray would wait for a machine that is large enough.
        """
        memory, cpus = self._node_memory, self._node_cpus
        self._read_resources()
        if self._node_memory >= memory and self._node_cpus >= cpus:
            return []
        groups = list(self._groups.values())
        self._cancel()
        reason = "the largest machine went away."
        return [FinishedGroup(group, None, reason, runs_may_be_cause=False) for group in groups]

    def _finished(self, reference: Any) -> FinishedGroup:
        group = self._groups.pop(reference)
        try:
            return FinishedGroup(group, ray.get(reference, timeout=_FETCH_SECONDS))
        except OutOfMemoryError as error:
            reason = f"Ray ended the worker process for lack of memory. {_one_line(error)}"
        except WorkerCrashedError as error:
            reason = f"the worker process died. {_one_line(error)}"
        except (NodeDiedError, ObjectLostError, GetTimeoutError) as error:
            reason = f"the machine went away. {_one_line(error)}"
            return FinishedGroup(group, None, reason, runs_may_be_cause=False)
        except (LocalRayletDiedError, RaySystemError) as error:
            raise WorkerError(_CLUSTER_LOST.format(_one_line(error))) from None
        except WorkerError as error:  # a node that differs, where no group can train
            raise WorkerError(_one_line(error)) from None
        except RayError as error:
            reason = _one_line(error)
        return FinishedGroup(group, None, reason)

    def _resources(self, threads: int, memory: int) -> dict[str, Any]:
        """Return what a task requests, no more than the largest node has: Ray would wait for it."""
        gpu = {"num_gpus": 1 / self._groups_per_gpu} if self._execution.device_type == "cuda" else {}
        memory = min(memory, self._node_memory * 9 // 10)
        # max_retries: the scheduler decides what is trained again
        return {"num_cpus": min(threads, self._node_cpus), "memory": memory or None, "max_retries": 0} | gpu


class _NoFolders(list[str]):
    """The folders that Ray would have every worker search first, the current one among them: none.

    A file there that is named like an installed module would run. Modules that a run names are found by
    ray_worker.py.
    """

    def extend(self, folders: Iterable[str]) -> None:
        del folders


def _check_address(address: str) -> None:
    """Raise OSError if nothing answers at host:port; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


def _one_line(error: BaseException) -> str:
    """Return the message of an error in one line; that of its cause if it was raised on a node."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1 if cause is not error else 0] if lines else type(cause).__name__
