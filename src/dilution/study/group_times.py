"""How long run groups take, by those that have ended: which waiting one still fits before a deadline.

A group that is stopped by a deadline goes on from its checkpoint only where the checkpoint is still there, so
not on a machine that is given back. The last minutes go to a group that they suffice for.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dilution.study.grouping import RunGroup


class GroupTimes:
    """Measures groups as they start and end, and predicts others of a model and about a size."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._resumed: set[str] = set()
        self._seconds_per_cost: dict[tuple[str, int], float] = {}

    def resumes(self, keys: Collection[str]) -> None:
        """Note runs that go on from a checkpoint: how much of them is left is not known."""
        self._resumed |= set(keys)

    def started(self, group: RunGroup) -> None:
        """Note that a group starts now."""
        self._started[group.runs[0].key] = time.monotonic()

    def ended(self, group: RunGroup, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """Note that a group has ended. The latest one counts: the first one also compiles.

        A group that went on from a checkpoint teaches nothing, nor does one of which a run diverged, failed
        or stopped early: it took a part of its steps.

        Parameters
        ----------
        group
            The group.
        outcomes
            The outcome of each of its runs, with ``state`` and ``result``.
        """
        seconds = time.monotonic() - self._started.pop(group.runs[0].key)
        took_all = all(
            outcome["state"] == "done" and outcome["result"].get("stopped_at") is None for outcome in outcomes
        )
        if took_all and not self._is_resumed(group):
            self._seconds_per_cost[_kind(group)] = seconds / group.cost

    def seconds(self, group: RunGroup) -> float:
        """Return the predicted seconds of a group; 0 if no group of its kind has ended, or if it resumes."""
        return 0.0 if self._is_resumed(group) else self._seconds_per_cost.get(_kind(group), 0.0) * group.cost

    def next_of(self, waiting: Sequence[RunGroup], seconds_left: float) -> int:
        """Return the place of the group to start next: the first one that fits, or else the first one.

        Parameters
        ----------
        waiting
            The groups, one or more.
        seconds_left
            Seconds until trainings stop; infinite without a limit.
        """
        fitting = (place for place, group in enumerate(waiting) if self.seconds(group) <= seconds_left)
        return next(fitting, 0)

    def _is_resumed(self, group: RunGroup) -> bool:
        return any(run.key in self._resumed for run in group.runs)


def _kind(group: RunGroup) -> tuple[str, int]:
    """Return the model and the size to the next power of two: small groups train slower per model."""
    return group.runs[0].model, 1 << (len(group.runs) - 1).bit_length()
