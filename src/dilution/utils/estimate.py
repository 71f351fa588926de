"""A number with its interval, and its text for sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from dilution.errors import InputError, short_repr
from dilution.utils.finite_numbers import is_finite_number


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Parameters
    ----------
    value
        The estimate.
    low, high
        Bounds of its interval.
    """

    value: float
    low: float
    high: float

    def text(self, spec: str) -> str:
        """Return value and interval in a format of Python: ``".2f"`` gives ``"0.30 [0.28, 0.33]"``."""
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def percent(self, decimals: int = 1) -> str:
        """Return a share and its interval in percent: ``"30.1 % [28.4, 32.9]"``, without one ``"30.1 %"``."""
        value, low, high = (f"{100 * bound:.{decimals}f}" for bound in (self.value, self.low, self.high))
        return f"{value} %" if math.isnan(self.low) else f"{value} % [{low}, {high}]"

    def to_dict(self) -> dict[str, float]:
        """Return ``value``, ``low`` and ``high``."""
        return {"value": self.value, "low": self.low, "high": self.high}


UNKNOWN = Estimate(math.nan, math.nan, math.nan)
"""What cannot be estimated."""


def central_interval(
    draws: NDArray[np.float64] | Sequence[float], level: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the bounds between which one more draw lies with a probability of `level`.

    Of m draws in ascending order, one more lies below the k-th with probability k/(m + 1), whatever
    their distribution. So the bounds are at k = (m + 1)(1 − level)/2 from either end, interpolated
    where that is no integer. Few draws, m + 1 < 2/(1 − level), have no such k; then the draws are
    taken to be normal, and the bounds are mean ± t · s · √(1 + 1/m).

    Parameters
    ----------
    draws
        Draws, such as those of the bootstrap, shape (m, ...), m ≥ 2.
    level
        Probability, in (0, 1).

    Returns
    -------
    low, high
        float64, shape (...).

    Raises
    ------
    InputError
        If there are fewer than two draws, or `level` is outside (0, 1).
    """
    values = np.asarray(draws, dtype=np.float64)
    m = len(values)
    if m < 2:
        raise InputError(f"there are {m} draws; an interval needs at least 2. Draw more.")
    if not is_finite_number(level) or not 0 < level < 1:
        raise InputError(f"level is {short_repr(level)}; it must lie between 0 and 1, such as 0.95.")
    if (m + 1) * (1 - level) / 2 >= 1 - 1e-9:
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
        return low, high
    mean = values.mean(axis=0)
    half = scipy.special.stdtrit(m - 1, (1 + level) / 2) * values.std(axis=0, ddof=1) * math.sqrt(1 + 1 / m)
    return mean - half, mean + half
