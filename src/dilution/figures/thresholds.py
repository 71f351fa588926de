"""How many clean examples reach an accuracy: crossings on a grid or near a search."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from dilution.study.pairs import by_seed
from dilution.study.statistics import check_seeds, with_diverged_at_chance

LEVELS = (0.8, 0.9)
"""The accuracies whose thresholds are measured."""

FIT_WINDOW = math.log(2.9)
"""Runs with n within this factor of the crossing, as a logarithm, take part in the fit."""

REACHED, NEVER, ALWAYS, FLAT = "reached", "not reached", "reached at every n", "does not rise near the level"
"""Whether runs have a crossing, or why they have none."""

_KNOWN_WITHIN = math.log(1000)  # of the crossing: bounds further away, of a hardly rising slope, tell nothing


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
        Infinite if the last accuracy is below the level: it requires more than the largest n. 0 if no
        accuracy from the first on is below it: it requires at most the smallest n.
    """
    above = np.asarray(accuracy) >= level
    if not above[-1]:
        return math.inf
    if above.all():
        return 0.0
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
    for level in LEVELS:
        crossings = grid_crossings(table, level)
        for alpha in crossings:
            if len(crossings) and are_inside(crossings[alpha]):
                rows.append((level, alpha, *_log_interval(crossings[alpha].to_numpy()), len(crossings)))
    thresholds = pd.DataFrame(rows, columns=["level", "alpha", "mean", "low", "high", "seeds"])
    return thresholds.sort_values(["alpha", "level"], ignore_index=True)


def grid_crossings(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the crossing of a level for each seed (rows) and alpha (columns), as :func:`grid_crossing` does.

    A seed that was not trained at an alpha has NaN.

    Parameters
    ----------
    table
        As for :func:`grid_thresholds`.
    level
        Accuracy to reach.

    Raises
    ------
    InputError
        If a seed has two runs of one alpha and n.
    """
    check_seeds(table, ["alpha", "n"])
    crossings: dict[float, dict[int, float]] = {}
    for alpha, part in table.groupby("alpha"):
        curves = by_seed(part, "n").T.sort_index()
        crossings[float(str(alpha))] = {
            seed: grid_crossing(curve.index, curve.to_numpy(), level) if len(curve) else math.nan
            for seed, curve in ((seed, curves[seed].dropna()) for seed in curves)
        }
    return pd.DataFrame(crossings).sort_index()


def are_inside(crossings: pd.Series) -> bool:
    """Return whether every seed crosses the level within the grid."""
    return bool((np.isfinite(crossings) & (crossings > 0)).all())


def _log_interval(n: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the geometric mean with its 95 % Student t interval; NaN bounds for a single value."""
    x = np.log(n)
    mean, half = float(x.mean()), math.nan
    if len(x) > 1:
        half = float(scipy.special.stdtrit(len(x) - 1, 0.975) * x.std(ddof=1) / math.sqrt(len(x)))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def crossing(table: pd.DataFrame, level: float) -> Crossing | None:
    """Fit the logit of accuracy against log n near a level and return the n where the fit crosses it.

    The interval is Fieller's (1954): every x at which the fitted line does not differ significantly from
    the level. It is unbounded if the slope is not significant, or hardly: beyond a factor of 1,000.

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

    Raises
    ------
    InputError
        If a seed has two runs of one n.
    """
    check_seeds(table, ["n"])
    table = with_diverged_at_chance(table)
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
    return Crossing(
        math.exp(moved),
        math.exp(low) if low > moved - _KNOWN_WITHIN else 0.0,
        math.exp(high) if high < moved + _KNOWN_WITHIN else math.inf,
        int(near.sum()),
    )


def describe_crossing(accuracy: "pd.Series[float]", level: float, at_level: Crossing | None) -> str:
    """Return whether runs have a crossing, or why not: one of the words of :data:`REACHED`.

    Parameters
    ----------
    accuracy
        Test accuracy of the runs at one noise level, in [0, 1].
    level
        Accuracy to reach.
    at_level
        Their crossing.
    """
    if at_level is not None:
        return REACHED
    if (accuracy < level).all():
        return NEVER
    return ALWAYS if (accuracy >= level).all() else FLAT


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
    t2s2 = float(scipy.special.stdtrit(freedom, 0.975)) ** 2 * variance
    a = slope**2 - t2s2 / spread
    b = slope * (z_mean - goal)
    c = (z_mean - goal) ** 2 - t2s2 / len(x)
    if a <= 0:
        return -math.inf, math.inf
    half = math.sqrt(max(0.0, b * b - a * c)) / a  # negative by rounding alone: all runs lie on the line
    return x_mean - b / a - half, x_mean - b / a + half
