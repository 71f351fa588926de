"""A number with its interval, and its text for sentences."""

import math
from dataclasses import dataclass


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
        """Return a share and its interval in percent: ``"30.1 % [28.4, 32.9]"``."""
        value, low, high = (f"{100 * bound:.{decimals}f}" for bound in (self.value, self.low, self.high))
        return f"{value} % [{low}, {high}]"


UNKNOWN = Estimate(math.nan, math.nan, math.nan)
"""What cannot be estimated."""
