"""How many clean examples reach an accuracy: crossings on a grid or near a search, and laws in alpha."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVELS = (0.8, 0.9)
"""The accuracies whose thresholds are measured."""

LAW_NAMES = ("constant", "linear", "quadratic")

FIT_WINDOW = math.log(2.9)
"""Runs with n within this factor of the crossing, as a logarithm, take part in the fit."""

_LARGEST_LOG = math.log(sys.float_info.max)


@dataclass(frozen=True)
class Crossing:
    """The number of clean examples at which accuracy crosses a level.

    Parameters
    ----------
    n, low, high
        Clean examples with a 95 % interval; the bounds may be 0 and infinite.
    runs
        Number of runs in the fit.
    """

    n: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class ThresholdLaw:
    """A polynomial in alpha fitted to thresholds by least squares.

    Parameters
    ----------
    name
        ``"constant"``, ``"linear"`` or ``"quadratic"``.
    coefficients
        Coefficients of ascending powers of alpha, in clean examples.
    r2
        Fraction of the variance that the law explains.
    aicc
        Akaike's information criterion, corrected for few points; the law with the smallest value is
        preferred. NaN with too few points.
    """

    name: str
    coefficients: tuple[float, ...]
    r2: float
    aicc: float


def logit(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(p / (1 − p)), with p clipped to [0.001, 0.999]."""
    p = np.clip(accuracy, 1e-3, 1 - 1e-3)
    log_odds: NDArray[np.float64] = np.log(p / (1 - p))
    return log_odds


def grid_crossing(n: Sequence[float], accuracy: Sequence[float], level: float) -> float:
    """Return the smallest n from which accuracy stays at or above a level.

    Between two n, the logit of accuracy is interpolated linearly in log n.

    Parameters
    ----------
    n
        Clean examples, ascending.
    accuracy
        Test accuracy at each n, in [0, 1].
    level
        Accuracy to reach.

    Returns
    -------
    float
        NaN if the crossing lies outside: the last accuracy is below the level, or the first is not.
    """
    above = np.asarray(accuracy) >= level
    if not above[-1] or above[0]:
        return math.nan
    last_below = int(np.flatnonzero(~above)[-1])
    z = logit(np.asarray(accuracy[last_below : last_below + 2]))
    fraction = float((logit(np.asarray([level]))[0] - z[0]) / (z[1] - z[0]))
    return float(n[last_below] * (n[last_below + 1] / n[last_below]) ** fraction)


def grid_thresholds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the crossing of each level at each alpha, with an interval over seeds.

    Parameters
    ----------
    table
        One row per run: ``alpha``, ``n``, ``seed``, ``test_acc_at_best_clean_val``, several n per alpha.

    Returns
    -------
    DataFrame
        Columns ``level``, ``alpha``, ``mean``, ``low``, ``high`` (clean examples; geometric mean over seeds
        with a Student t interval of log n) and ``seeds``. A level that some seed does not cross within
        the grid is left out at that alpha.
    """
    rows = []
    for alpha, part in table.groupby("alpha"):
        curves = part.pivot_table(index="n", columns="seed", values="test_acc_at_best_clean_val").sort_index()
        for level in LEVELS:
            crossings = np.asarray(
                [grid_crossing(curves.index, curves[seed].to_numpy(), level) for seed in curves]
            )
            if np.isfinite(crossings).all():
                rows.append((level, alpha, *_log_interval(crossings), len(crossings)))
    return pd.DataFrame(rows, columns=["level", "alpha", "mean", "low", "high", "seeds"])


def _log_interval(n: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the geometric mean with its 95 % Student t interval; NaN bounds for a single value."""
    x = np.log(n)
    mean, half = float(x.mean()), math.nan
    if len(x) > 1:
        half = float(stdtrit(len(x) - 1, 0.975) * x.std(ddof=1) / math.sqrt(len(x)))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def crossing(table: pd.DataFrame, level: float) -> Crossing | None:
    """Fit the logit of accuracy against log n near a level and return the n where the fit crosses it.

    The interval is Fieller's (1954): every x at which the fitted line does not differ significantly from
    the level. It is unbounded if the slope is not significant.

    Parameters
    ----------
    table
        Runs at one noise level: ``n``, ``test_acc_at_best_clean_val``.
    level
        Accuracy to reach.

    Returns
    -------
    Crossing or None
        None if all runs lie on one side of the level, or if accuracy does not rise near it.
    """
    x, z = (
        np.log(table["n"].to_numpy(dtype=np.float64)),
        logit(table["test_acc_at_best_clean_val"].to_numpy(dtype=np.float64)),
    )
    goal = float(logit(np.asarray([level]))[0])
    if not ((z < goal).any() and (z >= goal).any()):
        return None
    centre = (x[z < goal].max() + x[z >= goal].min()) / 2
    for _ in range(8):  # the window moves with the crossing; one or two rounds nearly always suffice
        near = np.abs(x - centre) <= FIT_WINDOW
        if len(np.unique(x[near])) < 2:
            near = np.abs(x - centre) <= 2 * np.sort(np.abs(x - centre))[1] + 1e-9
        if len(np.unique(x[near])) < 2:
            return None
        slope, z_mean, x_mean = _line(x[near], z[near])
        if slope <= 0:
            return None
        moved = x_mean + (goal - z_mean) / slope
        if not x.min() - 1 <= moved <= x.max() + 1:
            return None
        if abs(moved - centre) < 1e-6:
            break
        centre = moved
    low, high = _fieller(x[near], z[near], goal)
    return Crossing(math.exp(moved), _exp(low), _exp(high), int(near.sum()))


def _exp(x: float) -> float:
    """Return e to the x, infinite beyond the largest float: a hardly rising slope has such bounds."""
    return math.exp(x) if x < _LARGEST_LOG else math.inf


def _line(x: np.ndarray, z: np.ndarray) -> tuple[float, float, float]:
    """Fit a straight line; return its slope, the mean of z and the mean of x."""
    mean = float(x.mean())
    return float(((x - mean) * z).sum() / ((x - mean) ** 2).sum()), float(z.mean()), mean


def _fieller(x: np.ndarray, z: np.ndarray, goal: float) -> tuple[float, float]:
    """Return the bounds of the crossing in x; infinite without a significant slope."""
    freedom = len(x) - 2
    if freedom < 1:
        return -math.inf, math.inf
    slope, z_mean, x_mean = _line(x, z)
    spread = float(((x - x_mean) ** 2).sum())
    variance = float(((z - z_mean - slope * (x - x_mean)) ** 2).sum()) / freedom
    t2s2 = float(stdtrit(freedom, 0.975)) ** 2 * variance
    a = slope**2 - t2s2 / spread
    b = slope * (z_mean - goal)
    c = (z_mean - goal) ** 2 - t2s2 / len(x)
    root = b * b - a * c
    if a <= 0 or root < 0:
        return -math.inf, math.inf
    half = math.sqrt(root) / a
    return x_mean - b / a - half, x_mean - b / a + half


def fit_threshold_laws(alpha: Sequence[float], n: Sequence[float]) -> list[ThresholdLaw]:
    """Fit a constant, a straight line and a parabola in alpha to thresholds.

    The criterion is that of Hurvich and Tsai (1989) for least squares: with k coefficients and the
    variance as parameters, AIC + 2K(K + 1)/(m − K − 1) for m points and K = k + 1.

    Parameters
    ----------
    alpha, n
        Noise levels, and the threshold in clean examples at each.
    """
    x, y = np.asarray(alpha, dtype=np.float64), np.asarray(n, dtype=np.float64)
    m, total = len(x), float(((y - y.mean()) ** 2).sum())
    laws = []
    for degree, name in enumerate(LAW_NAMES):
        if m < degree + 1:
            continue
        powers = np.vander(x, degree + 1, increasing=True)
        coefficients = np.linalg.lstsq(powers, y, rcond=None)[0]
        residual = float(((y - powers @ coefficients) ** 2).sum())
        parameters = degree + 2
        spare = m - parameters - 1
        aicc = math.nan
        if spare > 0 and residual > 0:
            aicc = m * math.log(residual / m) + 2 * parameters + 2 * parameters * (parameters + 1) / spare
        r2 = 1 - residual / total if total > 0 else math.nan
        laws.append(ThresholdLaw(name, tuple(coefficients.tolist()), r2, aicc))
    return laws


def slope_interval(alpha: Sequence[float], n: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % Student t interval of the slope of a straight line; infinite with two points.

    Parameters
    ----------
    alpha, n
        Noise levels, and the threshold in clean examples at each.
    """
    x, y = np.asarray(alpha, dtype=np.float64), np.asarray(n, dtype=np.float64)
    freedom = len(x) - 2
    deviation = x - x.mean()
    slope = float((deviation * y).sum() / (deviation**2).sum())
    if freedom < 1:
        return -math.inf, math.inf
    residual = float(((y - y.mean() - slope * deviation) ** 2).sum())
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(residual / freedom / float((deviation**2).sum()))
    return slope - half, slope + half
