"""The executor without processes: groups train in this process, one after the other."""

from typing import Self

from dilution.study.executors.base import Executor, FinishedGroup
from dilution.study.grouping import RunGroup
from dilution.study.runner import train_group


class InlineExecutor(Executor):
    """Trains in this process, for debuggers and tests. What kills the training kills the scheduler too."""

    cores = 1

    def __enter__(self) -> Self:
        self._started: list[RunGroup] = []
        return self

    def close(self) -> None:
        self._started = []

    @property
    def is_busy(self) -> bool:
        return bool(self._started)

    def has_room(self, group: RunGroup) -> bool:
        del group
        return not self._started

    def start(self, group: RunGroup) -> None:
        self._started.append(group)

    def wait(self, timeout: float | None = None) -> list[FinishedGroup]:
        del timeout  # the trainings themselves stop at the time limit
        groups, self._started = self._started, []
        load = self.workload
        return [
            FinishedGroup(
                group,
                train_group(group, load.execution.root, load.confusabilities, load.checkpoints, load.weights),
            )
            for group in groups
        ]
