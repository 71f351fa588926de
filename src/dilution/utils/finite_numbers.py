"""Whether a value is a finite number: a text, a truth value or None would fail later, or count as one."""

import math
from numbers import Real
from typing import TypeGuard


def is_finite_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number that a float can hold, and not a truth value.

    Parameters
    ----------
    value
        Anything; numbers of NumPy are numbers.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond floats
        return False
