"""Durations as text: ``"12m"`` in settings, ``"12 min"`` in messages."""

import math
import re

from dilution.errors import InputError, short_repr
from dilution.utils.whole_numbers import check_digits

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h)\s*", re.ASCII)


def parse_duration(name: str, value: object) -> float:
    """Return the seconds of a duration: a number of seconds, or text such as ``"12m"`` or ``"1h30m"``.

    Parameters
    ----------
    name
        Name of the setting, for messages.
    value
        The duration; it must be more than 0.

    Raises
    ------
    InputError
        If it is no duration.
    """
    check_digits(name, value)
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        parts = _PART.findall(value.strip())
        if parts and _PART.sub("", value.strip()) == "":
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds < math.inf:
        raise InputError(
            f"{name} is {short_repr(value)}; it must be a duration above 0 with its unit, such as 30s, "
            "12m or 1h30m."
        )
    return seconds


def duration_text(seconds: float) -> str:
    """Return a duration in words: ``"45 s"``, ``"12 min"``, ``"1.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
