"""The engine of this machine: worker processes, each with one pack at a time, replaced when they die."""

import math
import os
from multiprocessing.connection import wait
from typing import Self

import torch

from dilution.study.executors.base import Ended, Executor, Job
from dilution.study.executors.workers import Worker
from dilution.study.planner import Pack
from dilution.study.timing import Probe


class Local(Executor):
    """Trains in processes of this machine. With one thread a result is the same whatever their number."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.cores = places(job.workers, job.device)
        self.workers: list[Worker] = []
        self._busy: dict[Worker, Pack] = {}
        self._gpus = torch.cuda.device_count() if job.device == "cuda" else 0

    def __enter__(self) -> Self:
        try:
            self.grow(min(self.cores, len(self.job.runs)))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def grow(self, size: int) -> None:
        """Start processes until there are so many, spread over the GPUs if that is the device.

        Raises
        ------
        WorkerError
            If one ended before it was ready.
        """
        fresh = [
            Worker(
                self.job.root,
                self.job.shared,
                self.job.checkpoints,
                i % self._gpus if self._gpus else None,
            )
            for i in range(len(self.workers), size)
        ]
        self.workers += fresh
        for worker in fresh:
            worker.wait_until_ready()

    def measure(self, probe: Probe) -> float:
        """Return the seconds of a step, in as many processes at once as will train.

        They share caches and memory bandwidth. Infinity if one of them died of it twice, as the kernel ends
        what takes too much memory; a single death may have other reasons.
        """
        found = self._measure(probe)
        return self._measure(probe) if math.isinf(found) else found

    def _measure(self, probe: Probe) -> float:
        self.grow(probe.processes)
        asked = self.workers[: probe.processes]
        for worker in asked:
            worker.start(probe)
        times = [worker.answer() for worker in asked]
        for worker, time in zip(asked, times, strict=True):
            if time is None:
                self._replace(worker)
        return max(math.inf if time is None else float(time) for time in times)

    def room(self, pack: Pack) -> bool:
        free = self.cores - sum(each.threads for each in self._busy.values())
        return pack.threads <= free and len(self._busy) < len(self.workers)

    def start(self, pack: Pack) -> None:
        worker = next(each for each in self.workers if each not in self._busy)
        self._busy[worker] = pack
        worker.start(pack)

    def wait(self) -> list[Ended]:
        ready = wait([worker.link for worker in self._busy])
        ended = []
        for worker in [each for each in self._busy if each.link in ready]:
            pack, outcomes = self._busy.pop(worker), worker.answer()
            code = self._replace(worker) if outcomes is None else None
            ended.append(Ended(pack, outcomes, _DIED.format(code)))
        return ended

    def _replace(self, worker: Worker) -> int | None:
        """Put a new process in the place of one that died, and return the exit code of that one."""
        worker.stop()
        self.workers[self.workers.index(worker)] = fresh = worker.another()
        fresh.wait_until_ready()
        return worker.process.exitcode


_DIED = (
    "the worker process died with exit code {} (-9: killed, often for lack of memory). Try fewer workers "
    "or a smaller batch, with --retry-failed."
)


def places(workers: int | None, device: str) -> int:
    """Return how many processes train at once; several may share a GPU, but not a core."""
    present = available_cores() if device == "cpu" else torch.cuda.device_count()
    if workers is None:
        return present
    return min(workers, present) if device == "cpu" else workers


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
