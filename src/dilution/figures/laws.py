"""The law that the number of clean examples follows in alpha."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LAWS = ("constant", "linear", "quadratic")


@dataclass(frozen=True)
class Law:
    """A polynomial of alpha fitted to thresholds by least squares.

    Parameters
    ----------
    name
        ``"constant"``, ``"linear"`` or ``"quadratic"``.
    coefficients
        Ascending powers of alpha, in clean examples.
    r2
        Share of the variance that it explains.
    aicc
        Akaike's criterion with the correction for few points; the law with the least is preferred. NaN with
        too few points for it.
    """

    name: str
    coefficients: tuple[float, ...]
    r2: float
    aicc: float


def fit_laws(alpha: Sequence[float], n: Sequence[float]) -> list[Law]:
    """Fit a constant, a straight line and a parabola to thresholds.

    The criterion is that of Hurvich and Tsai (1989) for least squares: with k coefficients and the
    variance as parameters, AIC + 2K(K + 1)/(m − K − 1) for m points and K = k + 1.

    Parameters
    ----------
    alpha, n
        Noise levels, and the clean examples needed at each.
    """
    x, y = np.asarray(alpha, dtype=np.float64), np.asarray(n, dtype=np.float64)
    m, total = len(x), float(((y - y.mean()) ** 2).sum())
    laws = []
    for degree, name in enumerate(LAWS):
        if m < degree + 1:
            continue
        powers = np.vander(x, degree + 1, increasing=True)
        coefficients = np.linalg.lstsq(powers, y, rcond=None)[0]
        rest = float(((y - powers @ coefficients) ** 2).sum())
        parameters = degree + 2
        spare = m - parameters - 1
        aicc = math.nan
        if spare > 0 and rest > 0:
            aicc = m * math.log(rest / m) + 2 * parameters + 2 * parameters * (parameters + 1) / spare
        r2 = 1 - rest / total if total > 0 else math.nan
        laws.append(Law(name, tuple(coefficients.tolist()), r2, aicc))
    return laws


def slope_interval(alpha: Sequence[float], n: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % Student t interval of the slope of the straight line; infinite with two points.

    Parameters
    ----------
    alpha, n
        Noise levels, and the clean examples needed at each.
    """
    x, y = np.asarray(alpha, dtype=np.float64), np.asarray(n, dtype=np.float64)
    free = len(x) - 2
    away = x - x.mean()
    slope = float((away * y).sum() / (away**2).sum())
    if free < 1:
        return -math.inf, math.inf
    rest = float(((y - y.mean() - slope * away) ** 2).sum())
    half = float(stdtrit(free, 0.975)) * math.sqrt(rest / free / float((away**2).sum()))
    return slope - half, slope + half
