"""How many clean examples reach an accuracy, searched instead of scanned.

Accuracy against log n is a noisy rising curve. From a first n on the search doubles or halves until the
level lies in between, then fits a straight line to the logit of accuracy near the level, runs where the line
crosses it, and fits again. Every run has a seed of its own. The search is a function of the results so far:
it is resumed by calling it again.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from dilution.figures.thresholds import logit

LEAST_N = 31
_BASE = 31.25  # 250, 500, 1,000 … are on the grid, so that the search finds runs that Figure 8 has made
_WINDOW = math.log(2.9)  # runs whose n is within this factor of the crossing take part in the fit
_FEW, _MANY = 4, 6  # runs in the fit before it may end, and when it must
_CLOSE = math.log(1.25)  # half-width of the interval at which it ends
_AWAY = math.log(1.5)  # runs are placed this factor above and below the crossing: a slope needs a distance
_LARGEST_LOG = math.log(sys.float_info.max)
_GRID = 4  # values of n for each doubling


@dataclass(frozen=True)
class Crossing:
    """Where a level is crossed.

    Parameters
    ----------
    n, low, high
        Clean examples, with a 95 % interval, whose bounds may be 0 or infinite.
    runs
        Runs in the fit.
    """

    n: float
    low: float
    high: float
    runs: int


def snap(n: float, largest: int) -> int:
    """Return the nearest n of a geometric grid, four for each doubling, from `LEAST_N` to `largest`."""
    place = round(_GRID * math.log2(max(n, _BASE) / _BASE))
    return min(round(_BASE * 2 ** (place / _GRID)), largest)


def first(alpha: float, hardest: float, largest: int) -> int:
    """Return the n to begin with: a share of the data that grows as 1 + alpha."""
    return snap(largest / 8 * (1 + alpha) / (1 + hardest), largest)


def next_n(table: pd.DataFrame, level: float, largest: int) -> int | None:
    """Return the n of the next run at one noise level, or None when the search has ended.

    Parameters
    ----------
    table
        The runs so far at this noise level: ``n``, ``test_acc_at_best_clean_val``.
    level
        Accuracy asked for.
    largest
        The most clean examples there are.
    """
    mean = table.groupby("n")["test_acc_at_best_clean_val"].mean()
    above, below = mean.index[mean >= level], mean.index[mean < level]
    if len(above) == 0:
        return snap(2 * mean.index.max(), largest) if mean.index.max() < largest else None
    if len(below) == 0:
        return snap(mean.index.min() / 2, largest) if mean.index.min() > LEAST_N else None
    found = crossing(table, level)
    if found is None:  # a curve that falls here: look between the last n below and the first n above it
        under = below.max()
        over = above[above > under].min() if (above > under).any() else above.max()
        if len(table) >= 2 * _MANY:
            return None
        return snap(math.sqrt(under * over), largest)
    close = (
        math.log(found.high / found.low) / 2 <= _CLOSE if found.low > 0 and found.high < math.inf else False
    )
    if found.runs >= _MANY or (found.runs >= _FEW and close) or len(table) >= 3 * _MANY:
        return None
    near = table["n"][(np.log(table["n"] / found.n)).abs() <= _WINDOW]
    side = -_AWAY if (near < found.n).sum() <= (near >= found.n).sum() else _AWAY
    return snap(min(found.n * math.exp(side), largest), largest)


def crossing(table: pd.DataFrame, level: float) -> Crossing | None:
    """Fit the logit of accuracy against log n near a level and return where it crosses.

    The interval is Fieller's (1954): it holds every x at which the fitted line is not significantly apart
    from the level; where the slope itself is not significant it is unbounded.

    Parameters
    ----------
    table
        Runs at one noise level: ``n``, ``test_acc_at_best_clean_val``.
    level
        Accuracy asked for.

    Returns
    -------
    Crossing or None
        None if accuracy is on one side of the level in all runs, or does not rise near it.
    """
    x, z = (
        np.log(table["n"].to_numpy(dtype=np.float64)),
        logit(table["test_acc_at_best_clean_val"].to_numpy(dtype=np.float64)),
    )
    goal = float(logit(np.asarray([level]))[0])
    if not ((z < goal).any() and (z >= goal).any()):
        return None
    centre = (x[z < goal].max() + x[z >= goal].min()) / 2
    for _ in range(8):  # the window moves with the crossing, and nearly always settles at once
        near = np.abs(x - centre) <= _WINDOW
        if len(np.unique(x[near])) < 2:
            near = np.abs(x - centre) <= 2 * np.sort(np.abs(x - centre))[1] + 1e-9
        if len(np.unique(x[near])) < 2:
            return None
        slope, level_at_mean, mean = _line(x[near], z[near])
        if slope <= 0:
            return None
        moved = mean + (goal - level_at_mean) / slope
        if not x.min() - 1 <= moved <= x.max() + 1:
            return None
        if abs(moved - centre) < 1e-6:
            break
        centre = moved
    low, high = _fieller(x[near], z[near], goal)
    return Crossing(math.exp(moved), _n_at(low), _n_at(high), int(near.sum()))


def _n_at(x: float) -> float:
    """Return the n of a logarithm: infinite beyond all floats, where a slope is hardly significant."""
    return math.exp(x) if x < _LARGEST_LOG else math.inf


def _line(x: np.ndarray, z: np.ndarray) -> tuple[float, float, float]:
    """Return slope, value at the mean, and the mean of x."""
    mean = float(x.mean())
    return float(((x - mean) * z).sum() / ((x - mean) ** 2).sum()), float(z.mean()), mean


def _fieller(x: np.ndarray, z: np.ndarray, goal: float) -> tuple[float, float]:
    """Return the bounds of the crossing in x; infinite without a significant slope."""
    free = len(x) - 2
    if free < 1:
        return -math.inf, math.inf
    slope, at_mean, mean = _line(x, z)
    spread = float(((x - mean) ** 2).sum())
    variance = float(((z - at_mean - slope * (x - mean)) ** 2).sum()) / free
    t2s2 = float(stdtrit(free, 0.975)) ** 2 * variance
    a = slope**2 - t2s2 / spread
    b = slope * (at_mean - goal)
    c = (at_mean - goal) ** 2 - t2s2 / len(x)
    root = b * b - a * c
    if a <= 0 or root < 0:
        return -math.inf, math.inf
    half = math.sqrt(root) / a
    return mean - b / a - half, mean - b / a + half


def next_runs(table: pd.DataFrame, levels: Sequence[float], largest: int) -> list[tuple[int, int]]:
    """Return (n, seed) of the next runs at one noise level: one for each level that is still searched."""
    wanted = [next_n(table, level, largest) for level in levels]
    sizes = dict.fromkeys(n for n in wanted if n is not None)
    seed = int(table["seed"].max()) + 1  # each run has a seed of its own
    return [(n, seed + place) for place, n in enumerate(sizes)]
