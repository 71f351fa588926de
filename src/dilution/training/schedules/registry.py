"""The schedules of the learning rate by name."""

from functools import lru_cache

from dilution.training.schedules.base import Schedule
from dilution.training.schedules.builtin import Constant, Cosine, Linear, Step
from dilution.training.schedules.own import OwnSchedule
from dilution.utils.docstrings import returned
from dilution.utils.named_setting import named, text_of

SCHEDULES: dict[str, type[Schedule]] = {
    schedule.name: schedule for schedule in (Constant, Linear, Cosine, Step)
}
"""Built-in schedules by name. A new one is one entry here, or ``module:function`` without any change."""


def list_schedules() -> dict[str, str]:
    """Return the names of the built-in schedules, each with a one-line description."""
    return {name: returned(schedule) for name, schedule in SCHEDULES.items()}


def resolve_schedule(schedule: object) -> Schedule:
    """Return a schedule by its text; the function of one of the user is not imported.

    Parameters
    ----------
    schedule
        ``"cosine"``, ``"cosine(warmup=0.05)"``, ``"module:function(power=2)"``, or such an object itself.

    Raises
    ------
    InputError
        If there is no such schedule, or a parameter breaks its rule.
    """
    return _resolved(text_of(schedule, Schedule, ("cosine", "cosine(warmup=0.05)")))


@lru_cache(maxsize=256)
def _resolved(text: str) -> Schedule:
    return named(text, "schedule", SCHEDULES, OwnSchedule)
