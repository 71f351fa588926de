"""The time limit of a call: when its trainings stop, and when whatever still trains is ended."""

import math
import time
from dataclasses import dataclass, field

from dilution.study.execution import Execution
from dilution.study.group_times import GroupTimes

_MARGIN = 0.05  # share of the limit that is kept for saving checkpoints and for ending
_LARGEST_MARGIN = 15.0  # seconds: a group of 32 ConvNets is saved in about 3


@dataclass(frozen=True)
class Deadline:
    """When a call stops. Times are those of :func:`time.time`, which all machines of a cluster share.

    Parameters
    ----------
    seconds
        The time limit; infinite without one.
    stop_at
        Time from which no group starts, and at which trainings save a checkpoint and stop.
    end_at
        Time at which whatever still trains is ended without a checkpoint.
    times
        How long run groups of the call took, so that those that fit start before the deadline.
    """

    seconds: float
    stop_at: float
    end_at: float
    times: GroupTimes = field(default_factory=GroupTimes, compare=False, repr=False)

    @classmethod
    def of(cls, execution: Execution) -> "Deadline":
        """Return the deadline of a call that starts now."""
        seconds = execution.time_limit_seconds
        end_at = time.time() + seconds
        return cls(seconds, end_at - min(_MARGIN * seconds, _LARGEST_MARGIN), end_at)

    @property
    def stops(self) -> bool:
        """Whether trainings stop and no group starts any more."""
        return time.time() >= self.stop_at

    @property
    def is_over(self) -> bool:
        """Whether whatever still trains is ended."""
        return time.time() >= self.end_at

    @property
    def seconds_left(self) -> float | None:
        """Seconds until :attr:`end_at`, 0 or more; None without a limit."""
        return None if math.isinf(self.end_at) else max(0.0, self.end_at - time.time())
