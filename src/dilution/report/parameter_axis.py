"""A number within the texts of a setting as an axis, such as the rate of ``symmetric(rate=0.2)``."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from dilution.errors import InputError
from dilution.utils.named_call import parse_call

_FIRST = "noise"  # of several such settings the one that is drawn against


class ParameterAxis(NamedTuple):
    """A parameter that varies within a setting.

    Parameters
    ----------
    setting
        The setting, a column of the points.
    label
        Label of the axis.
    values
        The numbers, one per point.
    """

    setting: str
    label: str
    values: list[float]


def parameter_axis(points: pd.DataFrame, varying: Sequence[str]) -> ParameterAxis | None:
    """Return the parameter of a setting whose texts differ in it alone; None without one.

    Parameters
    ----------
    points
        One row per point.
    varying
        Settings that tell the points apart.
    """
    for setting in sorted(varying, key=lambda name: name != _FIRST):
        calls = _calls(points[setting].tolist())
        if calls is None or len({(name, tuple(parameters)) for name, parameters in calls}) > 1:
            continue
        name, first = calls[0]
        differing = [key for key in first if len({repr(parameters[key]) for _, parameters in calls}) > 1]
        if len(differing) != 1:
            continue
        values = [parameters[differing[0]] for _, parameters in calls]
        numbers = [float(x) for x in values if isinstance(x, int | float) and not isinstance(x, bool)]
        if len(numbers) == len(values):
            return ParameterAxis(setting, f"{differing[0]} of the {setting} {name}", numbers)
    return None


def _calls(texts: Sequence[object]) -> list[tuple[str, dict[str, object]]] | None:
    """Return name and parameters of each text; None if one is no text with parameters."""
    calls = []
    for text in texts:
        if not isinstance(text, str) or "(" not in text:
            return None
        try:
            calls.append(parse_call(text, "setting"))
        except InputError:  # a name that only looks like a call, such as a file "a (copy).npy"
            return None
    return calls
