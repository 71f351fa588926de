"""The pattern of the noise: spread evenly over the wrong classes, skewed, or concentrated on one."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammaincc

from dilution.diagnosis.anchors import Floats
from dilution.diagnosis.bootstrap import LEVEL
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.noise import equivalent_alpha, structured
from dilution.utils.estimate import UNKNOWN, Estimate, central_interval

PatternName = Literal["uniform", "structured", "concentrated", "undecided"]

RARE_CLASS = 0.2
"""A class with less than this multiple of an even share has too few examples for a test."""

_SIGNIFICANCE = 0.01
_CONCENTRATED = 0.5  # share of a class's wrong labels that name its most frequent wrong class
_MIN_NOISE_RATE = 1e-3
_DELTAS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class NoisePattern:
    """How wrong labels are spread over the wrong classes.

    Parameters
    ----------
    kind
        ``"uniform"``: wrong classes do not differ significantly; ``"structured"``: they differ;
        ``"concentrated"``: most wrong labels of a class name one other class; ``"undecided"``:
        there are two classes, or hardly any wrong labels.
    p_value
        Probability of differences at least this large under uniform noise.
    delta
        Skew δ of the nearest structured noise, with a 95 % interval.
    top_share
        Share of a class's wrong labels that name its most frequent wrong class, mean over classes.
    """

    kind: PatternName
    p_value: float
    delta: Estimate
    top_share: float


def estimate_noise_pattern(fit: NoiseFit, bootstrap_fits: list[NoiseFit]) -> NoisePattern:
    """Test whether wrong labels are spread evenly over the wrong classes, and estimate their skew.

    Sorted shares look skewed even where all are equal, because chance orders them. So each
    bootstrap fit is split into the fit and an error: one error determines the order of the wrong
    classes, and the error of another sample of the same size determines their shares.

    Parameters
    ----------
    fit, bootstrap_fits
        The fit, and the fits to its bootstrap samples.
    """
    classes = len(fit.transition)
    if classes < 3 or fit.noise_rate < _MIN_NOISE_RATE:
        return NoisePattern("undecided", math.nan, UNKNOWN, math.nan)
    shares = off_diagonal(fit.transition)
    errors = np.stack([off_diagonal(sample.transition) for sample in bootstrap_fits]) - shares
    p_value = _evenness_p_value(shares, errors, fit)
    curves = np.stack(
        [_sorted_shares(shares, errors[i], errors[i - 1], fit.prior) for i in range(len(bootstrap_fits))]
    )
    structured_shares = _structured_shares(fit.noise_rate, classes)
    deltas = np.array([_nearest_delta(curve, fit.noise_rate, structured_shares) for curve in curves])
    low, high = np.clip(central_interval(deltas, LEVEL), 0, 1)
    curve = curves.mean(axis=0)
    # Errors of another sample are in the shares: the first of nearly even ones may come out as the least.
    top_share = max(float(curve[0] / curve.sum()), 1 / (classes - 1))
    kind: PatternName = "uniform"
    if p_value < _SIGNIFICANCE:
        kind = "concentrated" if top_share > _CONCENTRATED else "structured"
    delta = Estimate(float(np.median(deltas)), float(low), float(high))
    return NoisePattern(kind, p_value, delta, top_share)


def off_diagonal(matrix: Floats) -> Floats:
    """Return the entries off the diagonal, shape (classes, classes − 1)."""
    entries: Floats = matrix[~np.eye(len(matrix), dtype=bool)].reshape(len(matrix), -1)
    return entries


def _evenness_p_value(shares: Floats, errors: Floats, fit: NoiseFit) -> float:
    """Return the p-value of a χ² test that each class spreads its wrong labels evenly.

    The variance of a share is that of counts under evenness, times the inflation by the fit: the
    ratio of the total variance between bootstrap fits to that of counts. A single entry that few
    labels hit has no reliable variance of its own.
    """
    examples = len(fit.class_probs) * fit.prior[:, None].clip(min=1e-9)
    even = shares.mean(axis=1, keepdims=True)
    inflation = errors.var(axis=0).sum() / (shares * (1 - shares) / examples).sum()
    variance = (even * (1 - even) / examples * max(1.0, float(inflation))).clip(min=1e-12)
    tested = fit.prior > RARE_CLASS / len(fit.prior)
    statistic = float(((shares - even) ** 2 / variance)[tested].sum())
    degrees = int(tested.sum()) * (shares.shape[1] - 1)
    return float(gammaincc(degrees / 2, statistic / 2)) if degrees else math.nan


def _sorted_shares(shares: Floats, error: Floats, other_error: Floats, prior: Floats) -> Floats:
    """Return shares of wrong classes in descending order; one error sorts them, another one is included."""
    order = np.argsort(-(shares + error), axis=1)
    ordered = np.take_along_axis(shares - error + other_error, order, axis=1)
    mean: Floats = prior @ ordered / prior.sum()
    return mean


def _structured_shares(noise_rate: float, classes: int) -> Floats:
    """Return the sorted shares of the wrong classes under structured noise, one row per δ of `_DELTAS`."""
    alpha = equivalent_alpha(min(noise_rate, (classes - 1) / classes - 1e-6), classes)
    rows = [structured(float(delta)).overall(classes, alpha, 0)[0][1:] for delta in _DELTAS]
    return np.sort(np.stack(rows), axis=1)[:, ::-1]


def _nearest_delta(curve: Floats, noise_rate: float, structured_shares: Floats) -> float:
    """Return the δ whose structured noise has the nearest sorted shares, in squared distance."""
    total = curve.sum()
    if total <= 0:
        return 0.0
    distances = ((structured_shares - curve * noise_rate / total) ** 2).sum(axis=1)
    return float(_DELTAS[int(np.argmin(distances))])
