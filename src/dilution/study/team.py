"""A team of worker processes: as many as are asked for at once, and a new one for each that dies."""

import math
from types import TracebackType
from typing import Self

import torch

from dilution.study.execute import Confusabilities
from dilution.study.timing import Probe
from dilution.study.workers import Worker


class Team:
    """Worker processes, which end with the ``with`` block.

    Parameters
    ----------
    root
        Folder that holds downloaded data.
    shared
        Confusabilities that runs need.
    device
        ``"cpu"``, or ``"cuda"``: the workers are spread over the GPUs.
    """

    def __init__(self, root: str | None, shared: Confusabilities, device: str) -> None:
        self.workers: list[Worker] = []
        self._root, self._shared = root, shared
        self._gpus = torch.cuda.device_count() if device == "cuda" else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.stop()

    def grow(self, size: int) -> None:
        """Start processes until there are so many.

        Raises
        ------
        WorkerError
            If one ended before it was ready.
        """
        fresh = [
            Worker(self._root, self._shared, i % self._gpus if self._gpus else None)
            for i in range(len(self.workers), size)
        ]
        self.workers += fresh
        for worker in fresh:
            worker.wait_until_ready()

    def replace(self, worker: Worker) -> int | None:
        """Put a new process in the place of one that died, and return the exit code of that one."""
        worker.stop()
        self.workers[self.workers.index(worker)] = fresh = worker.another()
        fresh.wait_until_ready()
        return worker.process.exitcode

    def measure(self, probe: Probe) -> float:
        """Return the seconds of a step, in as many processes at once as will train.

        They share caches and memory bandwidth. Infinity if one of them died of it, as the kernel ends what
        takes too much memory.
        """
        self.grow(probe.processes)
        asked = self.workers[: probe.processes]
        for worker in asked:
            worker.start(probe)
        times = [worker.answer() for worker in asked]
        for worker, time in zip(asked, times, strict=True):
            if time is None:
                self.replace(worker)
        return max(math.inf if time is None else float(time) for time in times)
