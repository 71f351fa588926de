"""Adaptive search for a threshold: which numbers of clean examples to run next.

Accuracy against log n is a noisy rising curve. Starting from a first n, the search doubles or halves n until
accuracy lies on both sides of the level. It then fits a straight line to the logit of accuracy near the
level, requests runs near the crossing of the line, and fits again. Every run has its own seed. The search is
a function of the results so far, so calling it again resumes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dilution.figures.thresholds import FIT_WINDOW, Crossing, crossing

SMALLEST_N = 31
_GRID_START = 31.25  # the grid contains 250, 500, 1,000 …, so that the search finds runs of Figure 8
_GRID_PER_DOUBLING = 4
_CLOSE = math.log(1.25)  # half-width of the interval of log n at which the search ends
_STEP = math.log(1.5)  # runs are placed this factor above and below the crossing: a slope needs a distance


@dataclass(frozen=True)
class SearchBudget:
    """How long the search for one threshold may go on.

    Parameters
    ----------
    min_runs, max_runs
        Runs in the fit: before the search may end, and when it must. An interval that ends the search as soon
        as it happens to be narrow is too narrow on average, and the more so the fewer runs it rests on.
    at_once
        Runs near the crossing that are requested together; a GPU trains them in the time of one.
    """

    min_runs: int
    max_runs: int
    at_once: int = 1


SHORT_SEARCH = SearchBudget(min_runs=4, max_runs=6)
LONG_SEARCH = SearchBudget(min_runs=8, max_runs=40, at_once=4)


def snap(n: float, largest: int) -> int:
    """Return the nearest n of a geometric grid from `SMALLEST_N` to `largest`, four values per doubling."""
    place = round(_GRID_PER_DOUBLING * math.log2(max(n, _GRID_START) / _GRID_START))
    return min(round(_GRID_START * 2 ** (place / _GRID_PER_DOUBLING)), largest)


def first_n(alpha: float, largest_alpha: float, largest: int) -> int:
    """Return the n of the first run: a fraction of the data proportional to 1 + alpha."""
    return snap(largest / 8 * (1 + alpha) / (1 + largest_alpha), largest)


def next_n(
    table: pd.DataFrame, level: float, largest: int, budget: SearchBudget = SHORT_SEARCH
) -> int | None:
    """Return the n of the next run at one noise level, or None if the search has ended.

    Parameters
    ----------
    table
        The runs so far at this noise level: ``n``, ``test_acc_at_best_clean_val``.
    level
        Accuracy to reach.
    largest
        Number of available clean examples.
    budget
        How long the search may go on.
    """
    mean = table.groupby("n")["test_acc_at_best_clean_val"].mean()
    above, below = mean.index[mean >= level], mean.index[mean < level]
    if len(above) == 0:
        return snap(2 * mean.index.max(), largest) if mean.index.max() < largest else None
    if len(below) == 0:
        return snap(mean.index.min() / 2, largest) if mean.index.min() > SMALLEST_N else None
    fit = crossing(table, level)
    if fit is None:  # accuracy falls near the level: try between the last n below and the first above it
        under = below.max()
        over = above[above > under].min() if (above > under).any() else above.max()
        if len(table) >= 2 * budget.max_runs:
            return None
        return snap(math.sqrt(under * over), largest)
    is_done = fit.runs >= budget.min_runs and _is_close(fit)
    if is_done or fit.runs >= budget.max_runs or len(table) >= 3 * budget.max_runs:
        return None
    near = table["n"][(np.log(table["n"] / fit.n)).abs() <= FIT_WINDOW]
    step = -_STEP if (near < fit.n).sum() <= (near >= fit.n).sum() else _STEP
    return snap(min(fit.n * math.exp(step), largest), largest)


def _is_close(fit: Crossing) -> bool:
    """Return whether the interval of a crossing is narrow enough to end the search."""
    return fit.low > 0 and fit.high < math.inf and math.log(fit.high / fit.low) / 2 <= _CLOSE


def next_runs(
    table: pd.DataFrame, levels: Sequence[float], largest: int, budget: SearchBudget = SHORT_SEARCH
) -> list[tuple[int, int]]:
    """Return (n, seed) of the next runs at one noise level, for each level whose search goes on.

    Parameters
    ----------
    table
        The runs so far at this noise level: ``n``, ``seed``, ``test_acc_at_best_clean_val``.
    levels
        Accuracies to reach.
    largest
        Number of available clean examples.
    budget
        How long each search may go on.
    """
    sizes: list[int] = []
    for level in levels:
        sizes += [n for n in _sizes(table, level, largest, budget) if n not in sizes or budget.at_once > 1]
    seed = int(table["seed"].max()) + 1  # each run has its own seed
    return [(n, seed + place) for place, n in enumerate(sizes)]


def _sizes(table: pd.DataFrame, level: float, largest: int, budget: SearchBudget) -> list[int]:
    """Return the sizes of the next runs for one level: near a crossing, alternately below and above it."""
    first = next_n(table, level, largest, budget)
    fit = crossing(table, level)
    if first is None or fit is None or budget.at_once == 1:
        return [] if first is None else [first]
    steps = (_STEP, -_STEP) if first < fit.n else (-_STEP, _STEP)
    others = [
        snap(min(fit.n * math.exp(steps[place % 2]), largest), largest) for place in range(budget.at_once - 1)
    ]
    return [first, *others]
