"""Executors: where run groups train. In this process, in processes of this machine, or on a cluster."""

from dilution.study.executors.base import Executor, FinishedGroup, Workload
from dilution.study.executors.inline import InlineExecutor
from dilution.study.executors.processes import ProcessExecutor, trains_inline
from dilution.utils.process_pool import available_cores

__all__ = ["Executor", "FinishedGroup", "Workload", "available_cores", "open_executor"]


def open_executor(workload: Workload) -> Executor:
    """Return the executor of a workload; it starts up when its ``with`` block is entered.

    A process that may start none, such as a worker of a :class:`multiprocessing.Pool`, trains by itself.
    """
    execution = workload.execution
    if trains_inline(execution):
        return InlineExecutor(workload)
    if execution.executor == "processes":
        return ProcessExecutor(workload)
    from dilution.study.executors.ray_driver import RayExecutor  # Ray is an extra

    return RayExecutor(workload)
