"""What an engine is: the place where packs train, and what the driver of a study may rely on."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

from dilution.study.planner import Pack
from dilution.study.run_spec import Run
from dilution.study.runner import Checkpoints, Confusabilities
from dilution.study.timing import Probe


@dataclass(frozen=True)
class Job:
    """What an engine is opened for.

    Parameters
    ----------
    runs
        The runs that will train.
    root
        Folder that holds downloaded data.
    shared
        Confusabilities that the runs need.
    device
        ``"cpu"`` or ``"cuda"``.
    workers
        Cores, or GPUs if that is the device, to train on at once; None: all there are.
    address
        Of a cluster, for engines that have one.
    checkpoints
        Where long trainings are written down; on a cluster a folder that all nodes share.
    """

    runs: Sequence[Run]
    root: str | None
    shared: Confusabilities
    device: str = "cpu"
    workers: int | None = None
    address: str | None = None
    checkpoints: Checkpoints | None = None


@dataclass(frozen=True)
class Ended:
    """A pack that an engine has done with.

    Parameters
    ----------
    pack
        The pack, as it was started.
    outcomes
        One outcome a run, in their order; None if what trained them is gone and left none.
    why
        What is known of that end, in words for the user.
    blamed
        Whether the runs may be what it died of. A machine that went away is not their doing.
    """

    pack: Pack
    outcomes: list[dict[str, Any]] | None
    why: str = ""
    blamed: bool = True


class Executor(ABC):
    """Trains packs somewhere. The driver alone writes to the store; an engine never sees it.

    Every engine keeps these promises, and one test asks all of them (tests/test_study_engines.py):

    - Between entering and leaving the ``with`` block packs may be started; leaving it ends whatever still
      trains, at once and without a trace.
    - :meth:`start` returns before the pack has ended, unless the engine trains in this process. It is only
      called where :meth:`room` has just said yes, and there is always room for some pack when none trains.
    - :meth:`wait` returns each started pack exactly once, whatever happened to what trained it: an error in
      a run is an outcome of that run, a death is an :class:`Ended` without outcomes.
    - The outcome of a run does not depend on the engine, nor on which other runs were in its pack, bit for
      bit on machines of one kind, as long as it trains with as many threads.
    - :meth:`measure` answers for the machines where packs will train, and infinity for what does not fit.

    Parameters
    ----------
    job
        What it is opened for.
    """

    cores: int
    """How many packs of one thread train at once, or packs on a GPU. Known once the engine is entered."""
    shares_cores: ClassVar[bool] = True
    """Whether a pack may compute with the threads of several of these cores: they are of one machine."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def place(self) -> str:
        """Name of the kind of machine that :meth:`measure` speaks of; empty for this machine."""
        return ""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a pack has been started that :meth:`wait` has not returned."""

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
    def measure(self, probe: Probe) -> float:
        """Return the seconds of a step in as many processes at once as the probe says."""

    @abstractmethod
    def room(self, pack: Pack) -> bool:
        """Return whether a pack may be started now."""

    @abstractmethod
    def start(self, pack: Pack) -> None:
        """Train a pack."""

    @abstractmethod
    def wait(self) -> list[Ended]:
        """Wait until a started pack has ended, and return those that have."""
