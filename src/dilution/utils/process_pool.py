"""A pool of worker processes that outlives the death of its processes.

:class:`concurrent.futures.ProcessPoolExecutor` breaks as a whole when a process dies, does not tell which
task the process was working on, and leaves its processes behind when the parent is killed. This pool replaces
the process and reports its task, and its processes end with their parent.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from dilution.errors import WorkerError
from dilution.utils.worker_process import (
    Handler,
    Setup,
    WorkerProcess,
    can_start_workers,
    check_importable_script,
    pickle_setup,
)

__all__ = [
    "FinishedTask",
    "Handler",
    "ProcessPool",
    "Setup",
    "WorkerDiedError",
    "available_cores",
    "can_start_workers",
]

_MAX_WAIT = 86_400.0  # seconds; the system counts milliseconds in 32 bits
_PAUSE = 1.0  # seconds after which a wait looks for signals


class WorkerDiedError(WorkerError):
    """A worker process died of its task."""


@dataclass(frozen=True)
class FinishedTask:
    """A task that a worker process has finished, or that the process died of.

    Parameters
    ----------
    task
        The task, as it was started.
    answer
        The answer of the handler; None after an error or a death.
    error
        The exception that the handler raised.
    exit_code
        Exit code of the process if it died; negative for the number of a signal.
    position
        Position of the task, as it was started.
    """

    task: Any
    answer: Any = None
    error: BaseException | None = None
    exit_code: int | None = None
    position: int = 0

    @property
    def died(self) -> bool:
        """Whether the process died instead of answering."""
        return self.exit_code is not None


class ProcessPool:
    """Worker processes that handle tasks; use it as a context manager, in one thread.

    Parameters
    ----------
    setup
        Called by each process as it starts; see :data:`Setup`.
    arguments
        Arguments of `setup` per process; their number is that of the processes.

    Raises
    ------
    WorkerError
        On entering, if the processes cannot be started or set up.
    """

    def __init__(self, setup: Setup, arguments: Sequence[tuple[Any, ...]]) -> None:
        self._setup, self.arguments = setup, arguments
        self.workers: list[WorkerProcess] = []
        self._tasks: dict[WorkerProcess, tuple[Any, int]] = {}

    def __enter__(self) -> Self:
        check_importable_script()
        # processes with the same arguments get the same bytes: data are pickled once
        pickled = {id(arguments): pickle_setup(self._setup, arguments) for arguments in self.arguments}
        try:
            # all start at once, then each is waited for
            for arguments in self.arguments:
                self.workers.append(WorkerProcess(self._setup, arguments))
            for worker, arguments in zip(self.workers, self.arguments, strict=True):
                worker.send_setup(pickled[id(arguments)])
            del pickled
            for worker in self.workers:
                worker.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the processes, whatever they are doing."""
        for worker in self.workers:
            worker.kill()

    @property
    def tasks(self) -> list[Any]:
        """Tasks that were started and have not been returned by :meth:`wait`."""
        return [task for task, _ in self._tasks.values()]

    @property
    def has_free_worker(self) -> bool:
        """Whether :meth:`start` may be called."""
        return len(self._tasks) < len(self.workers)

    def start(self, task: Any, position: int = 0) -> None:
        """Hand a task to a free worker; `position` comes back with the finished task.

        Raises
        ------
        WorkerError
            If the worker had died, and another process cannot be started in its place.
        """
        worker = next(worker for worker in self.workers if worker not in self._tasks)
        if worker.is_closed:  # replaced now, and not as it died: often no task follows
            place = self.workers.index(worker)
            self.workers[place] = worker = worker.restarted()
        self._tasks[worker] = task, position
        worker.send(task)

    def wait(self, timeout: float | None = None) -> list[FinishedTask]:
        """Wait until a task has finished and return all that have; :meth:`start` replaces a dead process.

        After `timeout` seconds an empty list is returned, after a day at the latest. Default: no limit.
        """
        timeout = None if timeout is None else min(timeout, _MAX_WAIT)
        handles = [
            handle for worker in self._tasks for handle in (worker.connection, worker.process.sentinel)
        ]
        ready = set(_wait(handles, timeout))
        finished = []
        for worker in list(self._tasks):
            if ready.isdisjoint((worker.connection, worker.process.sentinel)):
                continue
            (task, position), answer = self._tasks.pop(worker), worker.receive()
            if answer is None:
                worker.kill()
                exit_code = worker.process.exitcode
                finished.append(FinishedTask(task, exit_code=exit_code, position=position))
            else:
                finished.append(FinishedTask(task, *answer, position=position))
        return finished

    def map(self, tasks: Sequence[Any]) -> list[Any]:
        """Return the answers of tasks, in their order; for errors see :meth:`imap`."""
        return list(self.imap(tasks))

    def imap(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield the answers of tasks in their order, each as soon as it is there.

        After an error other tasks may still be running: leave the pool.

        Raises
        ------
        WorkerDiedError
            If a process died. An error of a handler is raised as it is.
        """
        answers: dict[int, Any] = {}
        waiting = deque(enumerate(tasks))
        following = 0  # position of the answer to yield next
        while waiting or self._tasks:
            while waiting and self.has_free_worker:
                position, task = waiting.popleft()
                self.start(task, position)
            for finished in self.wait():
                if finished.error is not None:
                    raise finished.error
                if finished.died:
                    raise WorkerDiedError(
                        f"a worker process died with exit code {finished.exit_code} (-9: killed, often for "
                        "lack of memory). Try fewer workers, or workers=0: this process."
                    )
                answers[finished.position] = finished.answer
            while following in answers:
                yield answers.pop(following)
                following += 1


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wait(handles: Sequence[Any], timeout: float | None) -> list[Any]:
    """Return the handles that are ready within a time, and let signals through meanwhile.

    The system may give a signal to another thread, as it does after SIGSTOP and SIGCONT; Python then handles
    it as soon as the main thread does anything.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = _PAUSE if end is None else min(_PAUSE, end - time.monotonic())
        ready = wait(handles, max(0.0, left))
        if ready or (end is not None and time.monotonic() >= end):
            return ready
