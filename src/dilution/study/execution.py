"""Where and how runs execute: one validated record in place of the same parameters in every signature."""

import math
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from dilution.errors import InputError, unknown
from dilution.study.weight_files import SavedStep, check_saved_step
from dilution.training.device import resolve_device
from dilution.utils.duration import parse_duration
from dilution.utils.whole_numbers import check_digits

ExecutorName = Literal["processes", "inline", "ray"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How runs execute. Nothing here changes a result, except last bits where processors differ.

    Parameters
    ----------
    executor
        ``"processes"`` of this machine, ``"inline"`` (this process), or ``"ray"`` (a cluster).
    workers
        Cores to train on, or GPUs if that is the device. Default: all. 0 trains in this process. A
        script that uses worker processes needs the usual ``if __name__ == "__main__":`` guard.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if there is one.
    address
        Address of the Ray cluster: ``"auto"`` or ``"host:port"``. Default: a cluster is started
        on this machine.
    data_root
        Folder of downloaded data. Default: ``DILUTION_DATA``, then a cache folder.
    checkpoints
        Folder of checkpoints; on a cluster one that all nodes share. Default: beside the store.
    checkpoint_minutes
        Minutes between two checkpoints of a training, 0 or more.
    time_limit
        Time after which a call stops: seconds, or text such as ``"12m"``. Trainings save checkpoints,
        and the same call resumes. An estimator, which has none, starts again. Default: no limit.
    retry_failed
        Whether failed runs are run again.
    save_weights
        Weights of each run that are saved beside the store: ``"best"``, those of the evaluation with the
        lowest loss on noisy validation labels, ``"best_acc"``, with the highest accuracy on them, or
        ``"last"``. :func:`dilution.load_weights` reads them. On a
        cluster all nodes share the folder of the store then. Default: none.
    progress
        Whether progress is shown on stderr.

    Raises
    ------
    InputError
        If a value breaks its rule, the device does not exist, or Ray is not installed.
    """

    executor: ExecutorName = "processes"
    workers: int | None = None
    device: str = "cpu"
    address: str | None = None
    data_root: str | Path | None = None
    checkpoints: str | Path | None = None
    checkpoint_minutes: float = 10.0
    time_limit: float | str | None = None
    retry_failed: bool = False
    save_weights: SavedStep | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if self.executor not in get_args(ExecutorName):
            raise unknown("executor", self.executor, get_args(ExecutorName))
        check_saved_step(self.save_weights)
        for name in ("workers", "checkpoint_minutes"):
            check_digits(name, getattr(self, name))
        if self.workers is not None and not (_is_number(self.workers, int) and self.workers >= 0):
            raise InputError(
                f"workers is {self.workers!r}; it must be a whole number, 0 (train in this process) or more."
            )
        if not (_is_number(self.checkpoint_minutes, int | float) and self.checkpoint_minutes >= 0):
            raise InputError(f"checkpoint_minutes is {self.checkpoint_minutes!r}; it must be 0 or more.")
        if self.time_limit is not None:
            parse_duration("time_limit", self.time_limit)
        if self.address is not None and self.executor != "ray":
            raise InputError(
                f"address is {self.address!r} and executor is {self.executor!r}; an address goes with "
                "executor='ray'. Leave the address out, or name that executor."
            )
        if self.executor == "ray":
            self._check_ray()
        _ = self.device_type  # raises if the device does not exist

    def _check_ray(self) -> None:
        if find_spec("ray") is None:
            raise InputError(
                "executor is 'ray', which is not installed. Install it: pip install 'dilution[ray]'."
            )
        if self.workers == 0:
            raise InputError(
                "workers is 0 with executor 'ray'; give 1 or more, or executor='inline': this process."
            )
        if self.device == "auto":
            raise InputError(
                "device is 'auto' with executor 'ray'; give 'cpu' or 'cuda', which all nodes have."
            )

    @property
    def device_type(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        if self.executor == "ray" and self.device == "cuda":
            return "cuda"  # a cluster may have GPUs where the driver has none
        return resolve_device(self.device).type

    @property
    def time_limit_seconds(self) -> float:
        """The time limit in seconds; infinite without one."""
        return math.inf if self.time_limit is None else parse_duration("time_limit", self.time_limit)

    @property
    def root(self) -> str | None:
        """The folder of downloaded data as text, as the loaders take it."""
        return None if self.data_root is None else str(self.data_root)

    def __repr__(self) -> str:
        changed = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"Execution({', '.join(changed)})"


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
