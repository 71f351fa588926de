"""What the noise looks like: as even as uniform noise, skewed, or gathered on few false classes."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammaincc

from dilution.diagnosis.bootstrap import Estimate
from dilution.diagnosis.noise_fit import Floats, Mixture
from dilution.noise import equivalent_alpha, structured

Kind = Literal["uniform", "structured", "concentrated", "undecided"]

_SIGNIFICANT = 0.01
_GATHERED = 0.5  # share of the false labels that the commonest false class of each true class holds
_STEPS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Shape:
    """How false labels are spread over the false classes.

    Parameters
    ----------
    kind
        ``"uniform"``: no difference between false classes was found; ``"structured"``: they differ;
        ``"concentrated"``: most false labels of a class name one other class; ``"undecided"``: two classes,
        or no noise to look at.
    p
        How probable differences as large as those found are under uniform noise.
    delta
        Skew δ of the structured noise that is nearest, with a 95 % interval.
    gathered
        Mean share of a class's false labels that its commonest false class holds.
    """

    kind: Kind
    p: float
    delta: Estimate
    gathered: float


def shape_of(found: Mixture, drawn: list[Mixture]) -> Shape:
    """Judge the false labels of a fit against what its bootstrap draws say of its accuracy.

    Each draw is taken apart into the fit and an error. A second error of the same size tells in which order
    the false classes of a class come, so that the order is not read from the same errors as the shares:
    sorted, even equal shares look like a staircase.

    Parameters
    ----------
    found
        The fit.
    drawn
        Its bootstrap draws.
    """
    classes = len(found.matrix)
    nothing = Estimate(math.nan, math.nan, math.nan)
    if classes < 3 or found.rate < 1e-3:
        return Shape("undecided", math.nan, nothing, math.nan)
    false = ~np.eye(classes, dtype=bool)
    off = _off(found.matrix, false)
    errors = np.stack([_off(each.matrix, false) for each in drawn]) - off
    p = _evenness(off, errors, found)
    curves = np.stack([_staircase(off, errors[i], errors[i - 1], found.prior) for i in range(len(drawn))])
    deltas = np.array([_nearest(curve, found.rate, classes) for curve in curves])
    low, high = np.quantile(deltas, [0.025, 0.975])
    middle = float(np.median(deltas))
    curve = curves.mean(axis=0)
    gathered = float(curve[0] / curve.sum())
    kind: Kind = "uniform"
    if p < _SIGNIFICANT:
        kind = "concentrated" if gathered > _GATHERED else "structured"
    return Shape(kind, p, Estimate(middle, float(low), float(high)), gathered)


def _off(matrix: Floats, false: np.ndarray) -> Floats:
    kept: Floats = matrix[false].reshape(len(matrix), -1)
    return kept


def _evenness(off: Floats, errors: Floats, found: Mixture) -> float:
    """Return the p-value of a χ² test that each class spreads its false labels evenly.

    The variance of a share is that of counts under evenness, times what the fit adds to it: the mean ratio of
    the variance between draws to that of counts. An entry that few labels hit has no variance of its own that
    could be relied on.
    """
    examples = len(found.posterior) * found.prior[:, None].clip(min=1e-9)
    even = off.mean(axis=1, keepdims=True)
    added = errors.var(axis=0).sum() / (off * (1 - off) / examples).sum()
    variance = (even * (1 - even) / examples * max(1.0, float(added))).clip(min=1e-12)
    heard = found.prior > 0.2 / len(found.prior)  # rows of hardly any examples say nothing
    statistic = float(((off - even) ** 2 / variance)[heard].sum())
    freedom = int(heard.sum()) * (off.shape[1] - 1)
    return float(gammaincc(freedom / 2, statistic / 2)) if freedom else math.nan


def _staircase(off: Floats, one: Floats, other: Floats, prior: Floats) -> Floats:
    """Return the false shares, commonest first, in an order that one error chose and another did not."""
    order = np.argsort(-(off + one), axis=1)
    shares = np.take_along_axis(off - one + other, order, axis=1)
    mean: Floats = prior @ shares / prior.sum()
    return mean


def _nearest(curve: Floats, rate: float, classes: int) -> float:
    """Return the δ whose staircase is nearest to false shares in rank order, in squared distance."""
    alpha = equivalent_alpha(min(rate, (classes - 1) / classes - 1e-6), classes)
    total = curve.sum()
    if total <= 0:
        return 0.0
    wanted = curve * rate / total
    distance = []
    for delta in _STEPS:
        row = structured(float(delta)).overall(classes, alpha, 0)[0]
        distance.append(float(((np.sort(row[1:])[::-1] - wanted) ** 2).sum()))
    return float(_STEPS[int(np.argmin(distance))])
