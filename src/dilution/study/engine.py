"""The local engine: worker processes on this machine, one thread each.

The driver hands out one run at a time to each worker and is the only one that writes to the store. One
thread a worker makes a result independent of the number of workers, bit for bit.
"""

import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from dilution.errors import InputError, WorkerError
from dilution.revision import code_version
from dilution.study.execute import (
    Confusabilities,
    confusability_name,
    execute,
    measure_confusability,
    needs_confusability,
)
from dilution.study.grid import Study
from dilution.study.progress import Progress
from dilution.study.spec import Run
from dilution.study.store import Store

VERSIONED = ("torch", "numpy")


def run_study(
    study: Study,
    store: Store,
    *,
    workers: int | None = None,
    root: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> None:
    """Train the runs of a study that the store does not hold yet.

    Finished and diverged runs are not repeated, nor are failed ones unless asked for. Interrupting
    loses the runs under way and nothing else: they are queued again on the next start.

    Parameters
    ----------
    study
        What to run.
    store
        Where results go; this process becomes its one writer.
    workers
        Worker processes. Default: one for each core. 0 trains in this process, one run after another.
    root
        Folder that holds downloaded data.
    retry_failed
        Run failed runs again.
    progress
        What shows how far it is.

    Raises
    ------
    InputError
        If `workers` is negative.
    StoreError
        If another process writes to the store, or it cannot be written.
    """
    if workers is None:
        workers = available_cores()
    if workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 (train in this process) or more.")
    progress = progress or Progress()
    with store.writer():
        store.add(study.name, study.runs)
        if retry_failed:
            store.requeue_failed(run.key for run in study.runs)
        states = store.states(run.key for run in study.runs)
        todo = [run for run in study.runs if states[run.key] == "queued"]
        with progress.of(study.name, total=len(study.runs), already=len(study.runs) - len(todo)):
            if not todo:
                return
            with _one_thread():
                shared = _confusabilities(todo, store, root, progress)
            progress.start_clock()
            if workers == 0:
                with _one_thread():
                    _inline(todo, store, root, shared, progress)
            else:
                _processes(todo, store, root, shared, progress, min(workers, len(todo)))


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _confusabilities(
    runs: Sequence[Run], store: Store, root: str | None, progress: Progress
) -> Confusabilities:
    """Measure once for each data set what the runs need of it, and keep it in the store."""
    needed = {confusability_name(run): run for run in runs if needs_confusability(run)}
    tables = {}
    for name, run in needed.items():
        tables[name] = store.artifact(name)
        if tables[name] is None:
            progress.say(f"measuring which classes of {run.dataset} are confusable")
            tables[name] = measure_confusability(run, root)
            store.keep(name, tables[name])
    return tables


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread, as workers do: sums in another order have other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _inline(
    todo: Sequence[Run], store: Store, root: str | None, shared: Confusabilities, progress: Progress
) -> None:
    for run in todo:
        _record_start(store, run)
        outcome = execute(run, root, shared)
        store.finish(run.key, outcome, at=_now())
        progress.finished(run, outcome)


class _Worker:
    """A process that trains one run at a time, and the link to it."""

    def __init__(self, root: str | None, shared: Confusabilities) -> None:
        # spawn: a forked child would inherit torch's thread pools in an undefined state
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, root, shared), daemon=True)
        self.process.start()
        theirs.close()  # so that a dead worker reads as end of file

    def wait_until_ready(self) -> None:
        """Wait for the process to have started.

        Raises
        ------
        WorkerError
            If it ended instead.
        """
        if self.outcome() is None:
            raise WorkerError(
                "a worker process ended before its first run. A script that starts a study needs its calls "
                'under `if __name__ == "__main__":`, since every worker process imports the script; '
                "workers=0 does without processes. No run was lost."
            )

    def start(self, run: Run) -> None:
        """Hand over a run; if the process has died meanwhile, :meth:`outcome` says so."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.link.send(run.spec)

    def outcome(self) -> dict[str, Any] | None:
        """Receive how the run ended; None if the process died instead."""
        try:
            received: dict[str, Any] = self.link.recv()
        except (EOFError, ConnectionResetError):
            return None
        return received

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.link.close()


def _processes(
    todo: Sequence[Run],
    store: Store,
    root: str | None,
    shared: Confusabilities,
    progress: Progress,
    workers: int,
) -> None:
    waiting = list(reversed(todo))
    idle = [_Worker(root, shared) for _ in range(workers)]
    busy: dict[_Worker, Run] = {}
    try:
        for worker in idle:
            worker.wait_until_ready()
        while waiting or busy:
            while waiting and idle:
                worker, run = idle.pop(), waiting.pop()
                _record_start(store, run)
                worker.start(run)
                busy[worker] = run
            ready = wait([worker.link for worker in busy])
            for worker in [each for each in busy if each.link in ready]:
                run = busy.pop(worker)
                outcome = worker.outcome()
                if outcome is None:
                    worker.stop()
                    outcome = {"state": "failed", "error": _DIED.format(worker.process.exitcode)}
                    worker = _Worker(root, shared)
                    worker.wait_until_ready()
                idle.append(worker)
                store.finish(run.key, outcome, at=_now())
                progress.finished(run, outcome)
    finally:
        for worker in [*idle, *busy]:
            worker.stop()


_DIED = (
    "the worker process died with exit code {} (-9: killed, often for lack of memory). Try fewer workers "
    "or a smaller batch, with --retry-failed."
)


def _work(link: Connection, root: str | None, shared: Confusabilities) -> None:
    """Train what comes over the link until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends the workers
    threading.Thread(target=_end_with_driver, daemon=True).start()
    torch.set_num_threads(1)
    link.send({})  # ready
    while True:
        try:
            spec = link.recv()
        except EOFError:
            return
        link.send(execute(Run.model_validate_json(spec), root, shared))


def _end_with_driver() -> None:
    """End this worker as soon as the driver is gone, however it went: nobody waits for the result."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)


def _record_start(store: Store, run: Run) -> None:
    versions = {"dilution": code_version()} | {name: version(name) for name in VERSIONED}
    versions["python"] = platform.python_version()
    store.start(run.key, host=platform.node(), versions=versions, at=_now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
