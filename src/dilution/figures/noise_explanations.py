"""Quantities of added label noise that may explain at which noise level learning fails.

With K classes, structured noise of skew δ adds α labels to each clean one; uniform noise is its case δ = 0.
Among all labels of a class the right one has the share

    r = (1 + α/K) / (1 + α),

and the most frequent wrong one

    w = (1 − δ) (1 − r) / (K − 1) + δ min(r, 1 − r),

since the staircase at δ = 1 starts at r, or has all of the wrong labels on its first class if they are fewer.
For r ≤ ½ the margin r − w is (1 − δ)/(1 + α) whatever K is. The noise rate 1 − r depends on K and not on δ,
and approaches α/(1 + α) with growing K. So α, noise rate and margin order thresholds in different ways.

Power (tests/test_figures_class_counts.py simulates it): thresholds that follow one of the quantities, with a
scatter of 15 % between seeds and 15 % between cells and three seeds, are recognised in nine of ten studies of
3, 5 and 10 classes, and never taken for another quantity. At 10, 50 and 200 classes noise rate and α differ
little: with thresholds below α = 10 half of such studies are not decided between them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_GRID = 300  # noise levels at which a quantity is tabulated
_LEVELS = 500  # values of a quantity among which a common one is sought


def label_shares(alpha: Floats, classes: int, delta: float) -> tuple[Floats, Floats]:
    """Return the shares of the right label and of the most frequent wrong one among all labels of a class.

    Parameters
    ----------
    alpha
        Noise levels.
    classes
        Number of classes K ≥ 2.
    delta
        Skew of the noise, in [0, 1]; 0 is uniform noise.
    """
    right = (1 + alpha / classes) / (1 + alpha)
    wrong = (1 - delta) * (1 - right) / (classes - 1) + delta * np.minimum(right, 1 - right)
    return right, wrong


@dataclass(frozen=True)
class Explanation:
    """A quantity whose value may be the same at all thresholds.

    Parameters
    ----------
    name
        Name in tables.
    title
        Name in plots and sentences.
    value
        Function of α and of the shares of the right and of the most frequent wrong label → the quantity,
        which rises or falls with α.
    """

    name: str
    title: str
    value: Callable[[Floats, Floats, Floats], Floats]

    def at(self, alpha: Floats, classes: int, delta: float) -> Floats:
        """Return the quantity at noise levels, for a number of classes and a skew."""
        return self.value(alpha, *label_shares(alpha, classes, delta))

    def curves(self, cells: Sequence[tuple[int, float]], largest: float) -> Floats:
        """Return the noise level at which each of many values of the quantity is reached, per cell.

        Parameters
        ----------
        cells
            Number of classes and skew of each cell.
        largest
            Largest noise level that was measured. What is not reached below it counts as reached there, as a
            threshold beyond it does.

        Returns
        -------
        ndarray
            log(1 + α), shape (values, cells).
        """
        x = np.linspace(0, np.log1p(largest), _GRID)
        reached = np.stack([self.at(np.expm1(x), classes, delta) for classes, delta in cells])
        if reached[0, -1] < reached[0, 0]:
            reached = -reached
        values = np.quantile(reached, np.linspace(0, 1, _LEVELS))
        return np.stack([np.interp(values, of_cell, x) for of_cell in reached], axis=1)


EXPLANATIONS: dict[str, Explanation] = {
    explanation.name: explanation
    for explanation in (
        Explanation("alpha", "noise level α", lambda alpha, *_: alpha),
        Explanation("noise_rate", "noise rate", lambda _, right, __: 1 - right),
        Explanation("margin", "margin (right − wrong)", lambda _, right, wrong: right - wrong),
        Explanation("ratio", "ratio (wrong / right)", lambda _, right, wrong: wrong / right),
    )
}
"""The explanations by name; "wrong" is the most frequent wrong label."""


def leave_one_out(thresholds: Floats, curves: Floats) -> Floats:
    """Return the threshold of each cell as the others predict it through a quantity.

    The predictions of a cell come from the value of the quantity that fits the thresholds of all other cells
    best, by the sum of squared errors of log(1 + α). All quantities are thus compared in one unit, and each
    has one free number.

    Parameters
    ----------
    thresholds
        log(1 + α) at the thresholds, shape (draws, cells).
    curves
        As from :meth:`Explanation.curves`, shape (values, cells).

    Returns
    -------
    ndarray
        Predicted log(1 + α), shape (draws, cells).
    """
    costs = (curves**2).sum(axis=1) - 2 * thresholds @ curves.T
    predicted = np.empty_like(thresholds)
    for cell, curve in enumerate(curves.T):
        others = costs - (curve**2 - 2 * thresholds[:, [cell]] * curve)
        predicted[:, cell] = curve[others.argmin(axis=1)]
    return predicted


def draw_errors(
    thresholds: Floats, curves: dict[str, Floats], draws: int = 400, seed: int = 0
) -> dict[str, Floats]:
    """Return the typical errors of the explanations in bootstrap draws of the seeds and of the cells.

    A draw takes k − 1 of the k seeds with replacement, whose mean varies as that of k seeds does (Rao and Wu
    1988), and predicts each cell from all others. Then it draws as many cells as there are, with replacement,
    over which it takes the root of the mean squared error of log(1 + α).

    Parameters
    ----------
    thresholds
        log(1 + α) at the thresholds, shape (seeds, cells), at least two seeds.
    curves
        Name of each explanation → its curves.
    draws
        Number of draws.
    seed
        Seed of the draws.

    Returns
    -------
    dict
        Name of each explanation → error, shape (draws,).
    """
    random = np.random.default_rng(seed)
    seeds, cells = thresholds.shape
    means = thresholds[random.integers(seeds, size=(draws, seeds - 1))].mean(axis=1)
    drawn = random.integers(cells, size=(draws, cells))
    return {
        name: np.sqrt(
            np.take_along_axis((means - leave_one_out(means, curve)) ** 2, drawn, axis=1).mean(axis=1)
        )
        for name, curve in curves.items()
    }
