"""Worker processes: each trains one pack at a time, with as many threads as the pack asks for."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Self

import torch

from dilution.errors import WorkerError
from dilution.study.planner import Pack
from dilution.study.runner import Checkpoints, Confusabilities, execute
from dilution.study.timing import Probe
from dilution.training import keep_freed_memory, seconds_per_step

_STARTS = 3
_PARTING = 5.0  # seconds between the end of a link and that of its process


class Worker:
    """A process that does one thing after another, and the link to it.

    Parameters
    ----------
    root
        Folder that holds downloaded data.
    shared
        Confusabilities that runs need.
    checkpoints
        Where long trainings are written down.
    gpu
        Number of the GPU that it computes on, if any.
    """

    def __init__(
        self,
        root: str | None,
        shared: Confusabilities,
        checkpoints: Checkpoints | None = None,
        gpu: int | None = None,
    ) -> None:
        self._given = (root, shared, checkpoints, gpu)
        self._launch()

    def _launch(self) -> None:
        # spawn: a forked child would inherit torch's thread pools in an undefined state
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, *self._given), daemon=True)
        self.process.start()
        theirs.close()  # so that a dead worker reads as end of file

    def start(self, task: Pack | Probe) -> None:
        """Hand over a pack to train or a step to measure.

        If the process has died meanwhile, :meth:`answer` says so.
        """
        with suppress(BrokenPipeError, ConnectionResetError):
            self.link.send(task)

    def answer(self) -> Any:
        """Receive the outcomes of a pack or the seconds of a step; None if the process died instead."""
        try:
            return self.link.recv()
        except (EOFError, OSError):  # nothing, or half of an answer: it died as it sent it
            return None

    def wait_until_ready(self) -> None:
        """Wait for the process to have started; one that is killed meanwhile is replaced.

        Raises
        ------
        WorkerError
            If it ended by itself instead.
        """
        for _ in range(_STARTS):
            if self.answer() is not None:
                return
            self.process.join(_PARTING)
            self.stop()
            if (self.process.exitcode or 0) >= 0:
                break
            self._launch()
        else:
            raise WorkerError(
                f"a worker process was killed {_STARTS} times as it started, often for lack of memory. Try "
                "fewer workers; finished runs are kept."
            )
        raise WorkerError(
            "a worker process ended before its first run. A script that starts a study needs its calls "
            'under `if __name__ == "__main__":`, since every worker process imports the script; '
            "workers=0 does without processes. No run was lost."
        )

    def another(self) -> Self:
        """Start a process like this one."""
        return type(self)(*self._given)

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.link.close()


def train_pack(
    pack: Pack, root: str | None, shared: Confusabilities, checkpoints: Checkpoints | None
) -> list[dict[str, Any]]:
    """Train a pack in this process and return the outcome of each run."""
    with using_threads(pack.threads):
        return execute(pack.runs, root, shared, pack.device, checkpoints)


def measure(probe: Probe) -> float:
    """Measure in this process how many seconds a step takes; infinity if it does not fit in memory."""
    shape = probe.shape
    with using_threads(probe.threads):
        try:
            return seconds_per_step(
                shape.model,
                probe.image,
                probe.classes,
                shape.settings,
                replicas=probe.replicas,
                device=probe.device,
                dtype=probe.dtype,
            )
        except (MemoryError, RuntimeError):  # torch raises the latter; the run itself will tell its user
            return math.inf


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Compute with so many threads: sums in another order have other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(
    link: Connection,
    root: str | None,
    shared: Confusabilities,
    checkpoints: Checkpoints | None,
    gpu: int | None,
) -> None:
    """Do what comes over the link until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends the workers
    threading.Thread(target=_end_with_driver, daemon=True).start()
    keep_freed_memory()
    if gpu is not None:
        torch.cuda.set_device(gpu)
    link.send("ready")
    while True:
        try:
            task = link.recv()
        except EOFError:
            return
        is_probe = isinstance(task, Probe)
        link.send(measure(task) if is_probe else train_pack(task, root, shared, checkpoints))


def _end_with_driver() -> None:
    """End this worker as soon as the driver is gone, however it went: nobody waits for the result."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
