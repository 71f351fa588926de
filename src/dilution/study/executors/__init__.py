"""Where packs train: in this process, in processes of this machine, or on the machines of a cluster."""

from importlib.util import find_spec
from typing import TypedDict

import torch

from dilution.errors import InputError, unknown
from dilution.study.executors.base import Ended, Executor, Job
from dilution.study.executors.inline import Inline
from dilution.study.executors.processes import Local, available_cores
from dilution.training import device_of

__all__ = [
    "EXECUTORS",
    "Ended",
    "Executor",
    "Job",
    "Where",
    "available_cores",
    "check_executor",
    "open_executor",
]

EXECUTORS = ("inline", "local", "ray")


class Where(TypedDict):
    """How a study is to be trained, as the arguments of :func:`check_engine` and of a study."""

    workers: int | None
    device: str
    executor: str
    address: str | None


def check_executor(
    *, workers: int | None = None, device: str = "cpu", executor: str = "local", address: str | None = None
) -> str:
    """Check how a study is to be trained, and return the kind of device: ``"cpu"`` or ``"cuda"``.

    Call it before a store is made: a command that is refused should leave nothing behind.

    Raises
    ------
    InputError
        If there is no such engine or device, `workers` is negative, an address is given to an engine that
        has none, or Ray is not installed.
    """
    if executor not in EXECUTORS:
        raise unknown("executor", executor, EXECUTORS)
    if workers is not None and workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 (train in this process) or more.")
    if address is not None and executor != "ray":
        raise InputError(
            f"address is {address!r} and engine {executor!r}; an address goes with engine 'ray'."
        )
    if executor == "ray" and find_spec("ray") is None:
        raise InputError("engine is 'ray', which is not installed. Install it: pip install 'dilution[ray]'.")
    if executor == "ray" and workers == 0:
        raise InputError("workers is 0 with engine 'ray'; give 1 or more, or engine 'inline': this process.")
    if executor == "ray" and device == "auto":
        raise InputError("device is 'auto' with engine 'ray'; give 'cpu' or 'cuda', which all nodes have.")
    # a cluster may have GPUs where the driver has none
    return device if executor == "ray" and device == "cuda" else device_of(device).type


def open_executor(executor: str, job: Job) -> Executor:
    """Return an engine by name; it starts up when its ``with`` block is entered."""
    if executor == "inline" or job.workers == 0:
        return Inline(job)
    if executor == "local":
        return Local(job)
    from dilution.study.executors.ray_driver import Cluster

    return Cluster(job)


def workers_note(workers: int | None, device: str) -> str:
    """Return what is said where more workers are asked for than there are cores; empty otherwise."""
    present = available_cores() if device == "cpu" else torch.cuda.device_count()
    if device != "cpu" or workers is None or workers <= present:
        return ""
    return f"{workers} workers asked for, more than the cores at hand: {present} used"
