"""The interface of executors: where run groups train, and what the scheduler may rely on."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

from dilution.study.checkpoints import CheckpointFolder
from dilution.study.datasets import Confusabilities
from dilution.study.execution import Execution
from dilution.study.grouping import RunGroup
from dilution.study.run_spec import Run
from dilution.study.weight_files import WeightSaver


@dataclass(frozen=True)
class Workload:
    """The runs that an executor is opened for, and what they need.

    Parameters
    ----------
    runs
        The runs that will train.
    execution
        How they are executed.
    confusabilities
        Confusabilities that their noise needs.
    checkpoints
        Folder of checkpoints; on a cluster one that all nodes share. Default: no checkpoints.
    weights
        What saves the weights of the runs. Default: they are not saved.
    """

    runs: Sequence[Run]
    execution: Execution = field(default_factory=Execution)
    confusabilities: Confusabilities = field(default_factory=dict)
    checkpoints: CheckpointFolder | None = None
    weights: WeightSaver | None = None


@dataclass(frozen=True)
class FinishedGroup:
    """A run group that an executor has finished.

    Parameters
    ----------
    group
        The group, as it was started.
    outcomes
        One outcome per run, in their order; None if the process that trained them died.
    reason
        Why there are no outcomes, in words for the user.
    runs_may_be_cause
        Whether the runs may have caused the death. A machine that went away is not their doing.
    """

    group: RunGroup
    outcomes: list[dict[str, Any]] | None
    reason: str = ""
    runs_may_be_cause: bool = True


class Executor(ABC):
    """Trains run groups. Only the scheduler writes to the store; an executor never uses it.

    Every executor has these properties, which one test requires of all of them
    (tests/test_study_executors.py):

    - Groups may be started between entering and leaving the ``with`` block. Leaving it ends
      whatever still trains, at once and without a trace.
    - :meth:`start` returns before the group has ended, unless the executor trains in this process.
      It is only called if :meth:`has_room` has just returned True, and there is room for any group
      when none trains.
    - :meth:`wait`, called until none is left, returns each started group exactly once, whatever
      happened to the process that trained it: an error in a run is an outcome of that run, a death is
      a :class:`FinishedGroup` without outcomes.
    - The outcome of a run does not depend on the executor, nor on the other runs of its group, bit
      for bit on machines of one kind, as long as it trains with as many threads.

    Parameters
    ----------
    workload
        What it is opened for.
    """

    cores: int
    """Groups of one thread that train at once, or groups on a GPU. Known once the executor is entered."""
    shares_cores: ClassVar[bool] = True
    """Whether a group may compute with threads on several of these cores: they are of one machine."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a group was started that :meth:`wait` has not returned."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Start up."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End whatever still trains."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End whatever still trains."""

    @abstractmethod
    def has_room(self, group: RunGroup) -> bool:
        """Return whether a group may be started now."""

    @abstractmethod
    def start(self, group: RunGroup) -> None:
        """Train a group."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> list[FinishedGroup]:
        """Wait until a started group has ended, and return those that have.

        Parameters
        ----------
        timeout
            Seconds after which to return none, where the executor can: in this process a training ends
            by itself. Default: without limit.
        """
