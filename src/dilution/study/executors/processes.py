"""The executor of this machine: worker processes with one run group each, replaced when they die."""

from functools import partial
from typing import Self

import torch

from dilution.study.checkpoints import CheckpointFolder
from dilution.study.datasets import Confusabilities
from dilution.study.execution import Execution
from dilution.study.executors.base import Executor, FinishedGroup, Workload
from dilution.study.grouping import RunGroup
from dilution.study.runner import train_group
from dilution.study.weight_files import WeightSaver
from dilution.training import keep_freed_memory
from dilution.utils.process_pool import (
    FinishedTask,
    Handler,
    ProcessPool,
    available_cores,
    can_start_workers,
)


class ProcessExecutor(Executor):
    """Trains in processes of this machine. With one thread a result is the same for any number of them."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        execution = workload.execution
        self.cores = count_processes(execution)
        gpus = torch.cuda.device_count() if execution.device_type == "cuda" else 0
        common = execution.root, workload.confusabilities, workload.checkpoints, workload.weights
        count = min(self.cores, len(workload.runs))
        self.pool = ProcessPool(
            _open_worker, [(*common, number % gpus if gpus else None) for number in range(count)]
        )

    def __enter__(self) -> Self:
        self.pool.__enter__()
        return self

    def close(self) -> None:
        self.pool.close()

    @property
    def is_busy(self) -> bool:
        return bool(self.pool.tasks)

    def has_room(self, group: RunGroup) -> bool:
        free_cores = self.cores - sum(started.threads for started in self.pool.tasks)
        return group.threads <= free_cores and self.pool.has_free_worker

    def start(self, group: RunGroup) -> None:
        self.pool.start(group)

    def wait(self, timeout: float | None = None) -> list[FinishedGroup]:
        return [_finished_group(task) for task in self.pool.wait(timeout)]


def _open_worker(
    root: str | None,
    confusabilities: Confusabilities,
    checkpoints: CheckpointFolder | None,
    weights: WeightSaver | None,
    gpu: int | None,
) -> Handler:
    """Prepare a worker process and return its handler, which trains a group."""
    keep_freed_memory()
    if gpu is not None:
        torch.cuda.set_device(gpu)
    return partial(
        train_group, root=root, confusabilities=confusabilities, checkpoints=checkpoints, weights=weights
    )


def _finished_group(finished: FinishedTask) -> FinishedGroup:
    reason = ""
    if finished.died:
        reason = (
            f"the worker process died with exit code {finished.exit_code} (-9: killed, often for lack of "
            "memory). Try fewer workers or a smaller batch_size, with --retry-failed."
        )
    elif finished.error is not None:
        reason = f"the worker process raised {type(finished.error).__name__}: {finished.error}."
    return FinishedGroup(finished.task, finished.answer, reason)


def trains_inline(execution: Execution) -> bool:
    """Return whether runs train in this process: as it was asked for, or because it may start no other."""
    if execution.executor == "inline" or execution.workers == 0:
        return True
    return execution.executor == "processes" and not can_start_workers()


def count_processes(execution: Execution) -> int:
    """Return how many processes train at once; several may share a GPU, but not a core."""
    available = available_cores() if execution.device_type == "cpu" else torch.cuda.device_count()
    if execution.workers is None:
        return available
    return min(execution.workers, available) if execution.device_type == "cpu" else execution.workers


def workers_note(execution: Execution) -> str:
    """Return a note for the user if fewer workers are used than were requested; otherwise an empty string."""
    if execution.executor == "processes" and execution.workers != 0 and not can_start_workers():
        return "this process is a daemon, which may start no worker processes: runs train in it"
    workers, available = execution.workers, available_cores()
    if execution.device_type != "cpu" or workers is None or workers <= available:
        return ""
    return f"{available} workers used: {workers} were requested, which is more than the available cores"
