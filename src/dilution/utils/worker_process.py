"""A worker process: it starts, is set up, handles tasks, and ends with its parent."""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Self

from dilution.errors import WorkerError
from dilution.utils.environment import environment_variables
from dilution.utils.main_guard import REMEDY, check_main_guard
from dilution.utils.protected_output import protected_output

Handler = Callable[[Any], Any]
"""Function of a task that returns its answer."""
Setup = Callable[..., Handler]
"""Function that a worker process calls once, as it starts; it returns the handler of tasks."""

_NAME = "dilution-worker"
_STARTS = 3
_JOIN_SECONDS = 5.0  # between the end of a connection and that of its process
_UNGUARDED = 77  # exit code of a worker process whose script calls this package as it is imported
_SAFE_PATH = "PYTHONSAFEPATH"
_start_lock = threading.Lock()  # the environment belongs to all threads
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


class WorkerProcess:
    """A process that handles one task after another.

    The constructor returns before the process is up. Then call :meth:`send_setup`, and
    :meth:`wait_until_ready`: several processes start side by side.

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
        # The arguments travel later, through the connection. As arguments of the process they would be
        # written to a pipe of which this process has both ends: had the child died, it would never return.
        self.process = context.Process(
            target=_work, args=(child_connection, os.getpid()), daemon=True, name=_NAME
        )
        with _safe_path():
            self.process.start()
        child_connection.close()  # so that the death of the process reads as end of file

    def send_setup(self, pickled: memoryview | None = None) -> None:
        """Send the setup, perhaps pickled before by :func:`pickle_setup`."""
        content = pickle_setup(self._setup, self._arguments) if pickled is None else pickled
        with suppress(BrokenPipeError, ConnectionResetError):  # it died; wait_until_ready handles that
            self.connection.send_bytes(content)

    def wait_until_ready(self) -> None:
        """Wait until the process is set up; one that is killed before is started again.

        Raises
        ------
        WorkerError
            If the process ended by itself, could not be set up, or was killed several times.
        """
        for _ in range(_STARTS):
            received = self.receive()
            if received is not None:
                if received[1] is None:
                    return
                raise _setup_error(received[1]) from received[1]
            self.process.join(_JOIN_SECONDS)
            self.kill()
            exit_code = self.process.exitcode or 0
            if exit_code >= 0:
                raise WorkerError(_explain_early_end(exit_code))
            self._launch()
            self.send_setup()
        raise WorkerError(
            f"a worker process was killed {_STARTS} times as it started, often for lack of memory. Try "
            "fewer workers, or none: Execution(workers=0), on the command line --workers 0. Finished runs "
            "are kept."
        )

    def send(self, task: Any) -> None:
        """Send a task; if the process has died, :meth:`receive` returns None."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(task)

    def receive(self) -> tuple[Any, BaseException | None] | None:
        """Wait for the answer and the error of the task, and return them; None if the process died."""
        try:
            # a process that was forked here meanwhile may hold the other end of the connection open
            wait([self.connection, self.process.sentinel])
            if not self.connection.poll():
                return None
            received = self.connection.recv_bytes()
        except (EOFError, OSError):  # nothing, or a part of an answer
            return None
        answer: tuple[Any, BaseException | None]
        try:
            answer = pickle.loads(received)
        except Exception as error:  # of a class that this process cannot import
            return None, WorkerError(f"the answer of a worker process cannot be read: {error!r}")
        return answer

    def restarted(self) -> Self:
        """Return a new process with the same setup, ready; this one is killed."""
        self.kill()
        worker = type(self)(self._setup, self._arguments)
        worker.send_setup()
        worker.wait_until_ready()
        return worker

    @property
    def is_closed(self) -> bool:
        """Whether the process was ended by :meth:`kill`."""
        return self.connection.closed

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.connection.close()


@contextmanager
def _safe_path() -> Iterator[None]:
    """Have Python processes that start meanwhile import nothing from the current folder.

    They are ``python -c``, which looks there first: a file that is named like a module of the standard
    library would run. The same holds for the process that multiprocessing starts to track resources.
    """
    with _start_lock, environment_variables({_SAFE_PATH: "1"}):
        yield


def pickle_setup(setup: Setup, arguments: tuple[Any, ...]) -> memoryview:
    """Return setup and arguments pickled.

    Raises
    ------
    WorkerError
        If they cannot be pickled.
    """
    try:
        return ForkingPickler.dumps((setup, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise WorkerError(
            f"the data or the model cannot be sent to a worker process: {error}. Define their classes and "
            "functions at the top level of a module, or do without worker processes: Execution(workers=0)."
        ) from error


def can_start_workers() -> bool:
    """Return whether this process may start worker processes: not a daemonic one of multiprocessing."""
    return not multiprocessing.current_process().daemon


def check_importable_script() -> None:
    """Check that worker processes can import the script of this process.

    A worker process imports the script that started it. If it gets here while it does, the script calls this
    package outside its guard; the process then ends, and its parent tells the user.

    Raises
    ------
    WorkerError
        If the script was read from standard input or calls this package outside a main guard, or this
        process is importing the script of another one.
    """
    leave_if_importing_script()
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):  # a process of somebody else, for instance of a DataLoader
        raise WorkerError(f"worker processes were asked for while a script was imported. {REMEDY}")
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is None and script is not None and not Path(script).exists():
        raise WorkerError(
            f"the script was read from {script}, and worker processes cannot import it. Save it as a file. "
            f"{REMEDY}"
        )
    check_main_guard()


def leave_if_importing_script() -> None:
    """End this process if it is a worker process that is importing its script: the script has no guard."""
    process = multiprocessing.current_process()
    if process.name == _NAME and getattr(process, "_inheriting", False):  # set while spawn imports the script
        sys.exit(_UNGUARDED)


def _explain_early_end(exit_code: int) -> str:
    cause = f"with exit code {exit_code}; if it printed an error, that is the reason"
    if exit_code == _UNGUARDED:
        cause = "since the script has no main guard"
    return f"a worker process ended before its first task, {cause}. No run was lost. {REMEDY}"


def _setup_error(error: BaseException) -> WorkerError:
    return WorkerError(
        f"a worker process could not be set up: {type(error).__name__}: {error}. Do without worker "
        "processes: Execution(workers=0), on the command line --workers 0."
    )


def _work(connection: Connection, parent_id: int) -> None:
    """Handle tasks until the connection is closed."""
    os.environ.pop(_SAFE_PATH, None)  # it is for this process, not for scripts that a model may start
    # Ctrl-C and a closed terminal are for the parent, which ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _end_with_parent(parent_id)
    # What a model prints fails no run once the reader of the output is gone. The connection breaks when the
    # parent is gone, or needs no more.
    with protected_output(controls=True), suppress(EOFError, BrokenPipeError, ConnectionResetError):
        handle, error = _set_up(connection.recv_bytes())
        connection.send((None, error))
        while handle is not None:
            task = connection.recv()
            answer = _call(handle, task)
            try:
                pickled = ForkingPickler.dumps(answer)
            except Exception as error:  # an answer of somebody's function
                pickled = ForkingPickler.dumps((None, _portable(error)))
            connection.send_bytes(pickled)


def _set_up(pickled: bytes) -> tuple[Handler | None, Exception | None]:
    """Return the handler of tasks, or the error of the setup."""
    try:
        setup, arguments = pickle.loads(pickled)
        return setup(*arguments), None
    except Exception as error:
        return None, _portable(error)


def _call(handle: Handler, task: Any) -> tuple[Any, Exception | None]:
    """Return the answer to a task and the error; the parent decides what an error means."""
    try:
        return handle(task), None
    except SystemExit as error:  # a task ends, and not the process
        return None, RuntimeError(f"a task called sys.exit({error.code!r})")
    except Exception as error:
        return None, _portable(error)


def _portable(error: Exception) -> Exception:
    """Return an error that can be pickled, with its traceback as a note."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(traceback.format_exc())
    return error


def _end_with_parent(parent_id: int) -> None:
    """Have this process end with its parent, whatever ends it: nobody would wait for the answer.

    On Linux the kernel kills it, at once and whatever it computes. The signal comes when the thread that
    started this process ends; a pool lives and dies in one thread. Elsewhere a thread watches the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_id:  # it ended before
            os._exit(1)
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
