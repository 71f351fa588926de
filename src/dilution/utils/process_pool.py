"""A pool of worker processes that outlives the death of its processes.

:class:`concurrent.futures.ProcessPoolExecutor` breaks as a whole when a process dies, and does not
tell which task the process was working on. This pool replaces the process and reports its task.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from dilution.errors import WorkerError

Handler = Callable[[Any], Any]
"""Function of a task that returns its answer."""
Setup = Callable[..., Handler]
"""Function that a worker process calls once, as it starts; it returns the handler of tasks."""

_STARTS = 3
_JOIN_SECONDS = 5.0  # between the end of a connection and that of its process


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


class WorkerProcess:
    """A process that handles one task after another.

    Parameters
    ----------
    setup
        Called in the process, with `arguments`; see :data:`Setup`.
    arguments
        Arguments of `setup`; like `setup` itself, the process receives them pickled.
    """

    def __init__(self, setup: Setup, arguments: tuple[Any, ...]) -> None:
        self._setup, self._arguments = setup, arguments
        self._launch()

    def _launch(self) -> None:
        # spawn: a forked child would inherit torch's thread pools in an undefined state
        context = multiprocessing.get_context("spawn")
        self.connection, child_connection = context.Pipe()
        self.process = context.Process(
            target=_work, args=(child_connection, self._setup, self._arguments), daemon=True
        )
        self.process.start()
        child_connection.close()  # so that the death of the process reads as end of file

    def send(self, task: Any) -> None:
        """Send a task; if the process has died, :meth:`receive` returns None."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(task)

    def receive(self) -> tuple[Any, BaseException | None] | None:
        """Return answer and error of the task; None if the process died."""
        try:
            answer: tuple[Any, BaseException | None] = self.connection.recv()
            return answer
        except (EOFError, OSError):  # nothing, or a part of an answer
            return None

    def wait_until_ready(self) -> None:
        """Wait until the process has started; one that is killed before is started again.

        Raises
        ------
        WorkerError
            If the process ended by itself, or was killed several times.
        """
        for _ in range(_STARTS):
            if self.receive() is not None:
                return
            self.process.join(_JOIN_SECONDS)
            self.kill()
            if (self.process.exitcode or 0) >= 0:
                raise WorkerError(
                    "a worker process ended before its first task. A script that uses worker processes needs "
                    'its calls under `if __name__ == "__main__":`, since every worker process imports the '
                    "script; workers=0 does without processes. No run was lost."
                )
            self._launch()
        raise WorkerError(
            f"a worker process was killed {_STARTS} times as it started, often for lack of memory. Try "
            "fewer workers; finished runs are kept."
        )

    def restarted(self) -> Self:
        """Return a new process with the same setup, ready; this one is killed."""
        self.kill()
        worker = type(self)(self._setup, self._arguments)
        worker.wait_until_ready()
        return worker

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class ProcessPool:
    """Worker processes that handle tasks; use it as a context manager.

    Parameters
    ----------
    setup
        Called by each process as it starts; see :data:`Setup`.
    arguments
        Arguments of `setup` per process; their number is that of the processes.
    """

    def __init__(self, setup: Setup, arguments: Sequence[tuple[Any, ...]]) -> None:
        self._setup, self.arguments = setup, arguments
        self.workers: list[WorkerProcess] = []
        self._tasks: dict[WorkerProcess, tuple[Any, int]] = {}

    def __enter__(self) -> Self:
        try:
            # all start at once, then each is waited for
            self.workers = [WorkerProcess(self._setup, arguments) for arguments in self.arguments]
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
        """Hand a task to a free worker; `position` comes back with the finished task."""
        worker = next(worker for worker in self.workers if worker not in self._tasks)
        self._tasks[worker] = task, position
        worker.send(task)

    def wait(self) -> list[FinishedTask]:
        """Wait until a task has finished and return all that have; dead processes are replaced."""
        ready = wait([worker.connection for worker in self._tasks])
        finished = []
        for worker in [worker for worker in self._tasks if worker.connection in ready]:
            (task, position), answer = self._tasks.pop(worker), worker.receive()
            if answer is None:
                self.workers[self.workers.index(worker)] = worker.restarted()
                exit_code = worker.process.exitcode
                finished.append(FinishedTask(task, exit_code=exit_code, position=position))
            else:
                finished.append(FinishedTask(task, *answer, position=position))
        return finished

    def map(self, tasks: Sequence[Any]) -> list[Any]:
        """Return the answers of tasks, in their order.

        After an error other tasks may still be running: leave the pool.

        Raises
        ------
        WorkerError
            If a process died. An error of a handler is raised as it is.
        """
        answers: dict[int, Any] = {}
        waiting = deque(enumerate(tasks))
        while len(answers) < len(tasks):
            while waiting and self.has_free_worker:
                position, task = waiting.popleft()
                self.start(task, position)
            for finished in self.wait():
                if finished.error is not None:
                    raise finished.error
                if finished.died:
                    raise WorkerError(
                        f"a worker process died with exit code {finished.exit_code} (-9: killed, often for "
                        "lack of memory). Try fewer workers, or workers=0: this process."
                    )
                answers[finished.position] = finished.answer
        return [answers[position] for position in range(len(tasks))]


def _work(connection: Connection, setup: Setup, arguments: tuple[Any, ...]) -> None:
    """Handle tasks until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    handle = setup(*arguments)
    connection.send((None, None))  # ready
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = handle(task), None
        except Exception as error:  # the parent decides what an error means
            answer = None, _portable(error)
        connection.send(answer)


def _portable(error: Exception) -> Exception:
    """Return an error that can be pickled, with its traceback as a note."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(traceback.format_exc())
    return error


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone: nobody waits for the answer."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
