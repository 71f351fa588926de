"""How long run groups take, by those that have ended: which waiting one still fits before a deadline.

A group that is stopped by a deadline goes on from its checkpoint only where the checkpoint is still there, so
not on a machine that is given back. The last minutes go to a group that they suffice for.
"""

import time
from collections.abc import Sequence

from dilution.study.grouping import RunGroup


class GroupTimes:
    """Measures groups as they start and end, and predicts others of the same model."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._seconds_per_cost: dict[str, float] = {}

    def started(self, group: RunGroup) -> None:
        """Note that a group starts now."""
        self._started[group.runs[0].key] = time.monotonic()

    def ended(self, group: RunGroup) -> None:
        """Note that a group has been trained to its end. The latest one counts: the first also compiles."""
        seconds = time.monotonic() - self._started[group.runs[0].key]
        self._seconds_per_cost[group.runs[0].model] = seconds / group.cost

    def seconds(self, group: RunGroup) -> float:
        """Return the predicted seconds of a group; 0 if no group of its model has ended."""
        return self._seconds_per_cost.get(group.runs[0].model, 0.0) * group.cost

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
