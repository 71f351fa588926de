"""The engine without processes: packs train in this one, one after the other. For debuggers and tests."""

from typing import Self

from dilution.study.executors.base import Ended, Executor
from dilution.study.executors.workers import measure, train_pack
from dilution.study.planner import Pack
from dilution.study.timing import Probe


class Inline(Executor):
    """Trains in this process. What kills it kills the driver."""

    cores = 1

    def __enter__(self) -> Self:
        self._waiting: list[Pack] = []
        return self

    def close(self) -> None:
        self._waiting = []

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def measure(self, probe: Probe) -> float:
        return measure(probe)

    def room(self, pack: Pack) -> bool:
        del pack
        return not self._waiting

    def start(self, pack: Pack) -> None:
        self._waiting.append(pack)

    def wait(self) -> list[Ended]:
        packs, self._waiting = self._waiting, []
        job = self.job
        return [Ended(pack, train_pack(pack, job.root, job.shared, job.checkpoints)) for pack in packs]
