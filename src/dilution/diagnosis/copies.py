"""Evidence of copies: how often labels of equal examples disagree, and the noise rate that this implies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.bootstrap import LEVEL, sample_weights
from dilution.diagnosis.grouped_error import squared_group_sums
from dilution.diagnosis.pooled_fit import PooledFit
from dilution.utils.estimate import UNKNOWN, Estimate, central_interval

if TYPE_CHECKING:
    from dilution.diagnosis.noise_fit import NoiseFit

_MIN_GROUPS = 20  # groups of copies below which no rate is given


@dataclass(frozen=True)
class CopyEvidence:
    """What the labels of copies say about the noise.

    Parameters
    ----------
    n_copies
        Number of examples that are copies or near-copies of an earlier one.
    n_groups
        Number of groups of copies: different examples that have copies.
    disagreement
        Probability that two labels of one group differ, where a group counts once per copy in it, with
        Wilson's 95 % interval at the effective number of pairs. NaN without copies.
    noise_rate
        Noise rate at which labels that are given to copies independently disagree that often, with a 95 %
        interval. NaN with fewer than 20 groups, without any disagreement, or without a fit.
    n_minority
        Number of labels that are not the most frequent one of their group.
    """

    n_copies: int = 0
    n_groups: int = 0
    disagreement: Estimate = UNKNOWN
    noise_rate: Estimate = UNKNOWN
    n_minority: int = 0


NO_COPIES = CopyEvidence()


def copy_evidence(
    copies: Ints,
    labels: Ints,
    fit: NoiseFit | PooledFit,
    bootstrap_fits: Sequence[NoiseFit | PooledFit],
    groups: Ints | None,
    seed: int,
) -> CopyEvidence:
    """Return what the labels of copies say about the noise.

    Copies have one true class c and, if their labels are given independently, disagree with probability
    1 − Σ_k T[c, k]². The fit says how noise is spread over the classes. Its noise rates are multiplied by
    one factor such that copies would disagree as often as they do, and each bootstrap sample gets a factor
    of its own.

    Parameters
    ----------
    copies
        Group of copies of each example, int64, shape (n,).
    labels
        Noisy labels, int64, shape (n,).
    fit, bootstrap_fits
        The noise fit, and the fits to its bootstrap samples.
    groups
        Groups that the bootstrap draws, as :func:`dilution.diagnosis.bootstrap.bootstrap` takes them.
    seed
        Root seed of the bootstrap.
    """
    counts = _label_counts(copies, labels, len(fit.prior))
    if not len(counts.sizes):
        return NO_COPIES
    n_copies, n_groups = int((counts.sizes - 1).sum()), len(counts.sizes)
    weights = [np.ones(n_groups)]
    # The copies of an example are drawn together, so that one of them stands for all.
    weights += [
        sample[counts.first_rows] for sample in sample_weights(len(labels), groups, len(bootstrap_fits), seed)
    ]
    shares = np.array([_weighted_share(counts, sample) for sample in weights])
    rate = UNKNOWN
    if n_groups >= _MIN_GROUPS and shares[0] > 0:
        rates = np.array(
            [
                _implied_rate(sampled, _copied_prior(sampled, labels, copies, counts, sample), share)
                for sampled, sample, share in zip([fit, *bootstrap_fits], weights, shares, strict=True)
            ]
        )
        rate = _estimate(rates)
    clusters = counts.numbers if groups is None else groups[counts.first_rows]
    disagreement = clustered_share(counts.disagreement, (counts.sizes - 1).astype(np.float64), clusters)
    return CopyEvidence(n_copies, n_groups, disagreement, rate, int(counts.n_minority))


def _estimate(values: Floats) -> Estimate:
    """Return the first value, a rate, with the interval of the others, of which those without copies are NaN.

    Bounds outside [0, 1], which few draws give, are moved to 0 or 1: no rate is lost by that.
    """
    samples = values[1:][np.isfinite(values[1:])]
    low, high = central_interval(samples, LEVEL) if len(samples) > 1 else (math.nan, math.nan)
    value = float(values[0])
    return Estimate(value, max(0.0, min(float(low), value)), min(1.0, max(float(high), value)))


def clustered_share(shares: Floats, weights: Floats, clusters: Ints) -> Estimate:
    """Return the weighted mean of shares that are independent between clusters, with a 95 % interval.

    The interval is Wilson's (1927), and lies in [0, 1]. In place of a number of trials it has the effective
    one p(1 − p)/V, where V is the variance of the mean between clusters, reduced by the ratio of normal and
    Student quantiles since V is estimated from few clusters (Korn and Graubard 1998).

    Parameters
    ----------
    shares
        Values in [0, 1], float64, shape (n,).
    weights
        Their weights: numbers of trials that they could stand for at most, shape (n,).
    clusters
        Cluster of each share, int64, shape (n,).
    """
    total = float(weights.sum())
    mean = float(weights @ shares / total)
    n_clusters = len(np.unique(clusters))
    if n_clusters < 2:  # nothing shows how clusters differ
        return Estimate(mean, 0.0, 1.0)
    residuals = squared_group_sums(weights * (shares - mean), clusters)
    variance = residuals / total**2 * n_clusters / (n_clusters - 1)
    # Shares that are all equal have no variance; their clusters are then trials.
    n = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else n_clusters
    quantile = float(ndtri((1 + LEVEL) / 2))
    n = min(n, total) * (quantile / float(stdtrit(n_clusters - 1, (1 + LEVEL) / 2))) ** 2
    centre = (mean + quantile**2 / (2 * n)) / (1 + quantile**2 / n)
    half = quantile * math.sqrt(mean * (1 - mean) / n + quantile**2 / (4 * n**2)) / (1 + quantile**2 / n)
    return Estimate(mean, min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half)))


@dataclass(frozen=True)
class _Counts:
    """Groups of at least two copies.

    Parameters
    ----------
    numbers, first_rows, sizes
        Number, first example and size of each group.
    disagreement
        Share of the pairs of labels of each group that differ.
    n_minority
        Labels that are not the most frequent one of their group.
    """

    numbers: Ints
    first_rows: Ints
    sizes: Ints
    disagreement: Floats
    n_minority: int


def _label_counts(copies: Ints, labels: Ints, classes: int) -> _Counts:
    _, first_rows, sizes = np.unique(copies, return_index=True, return_counts=True)
    numbers = np.flatnonzero(sizes > 1)
    sizes, first_rows = sizes[numbers], first_rows[numbers]
    is_copied = np.isin(copies, numbers)
    pairs, counts = np.unique(copies[is_copied] * classes + labels[is_copied], return_counts=True)
    owner = np.searchsorted(numbers, pairs // classes)
    squares = np.bincount(owner, counts.astype(np.float64) ** 2, minlength=len(numbers))
    largest = np.zeros(len(numbers), dtype=np.int64)
    np.maximum.at(largest, owner, counts)
    disagreement = (sizes**2 - squares) / np.maximum(sizes * (sizes - 1), 1)
    return _Counts(numbers, first_rows, sizes, disagreement, int((sizes - largest).sum()))


def _weighted_share(counts: _Counts, weights: Floats) -> float:
    importance = weights * (counts.sizes - 1)
    total = importance.sum()
    return float(importance @ counts.disagreement / total) if total else math.nan


def _copied_prior(
    fit: NoiseFit | PooledFit, labels: Ints, copies: Ints, counts: _Counts, weights: Floats
) -> Floats:
    """Return the share of each true class among the groups of copies, as they count in the share."""
    if isinstance(fit, PooledFit):
        rows = np.flatnonzero(np.isin(copies, counts.numbers))
        importance = (weights * (counts.sizes - 1) / counts.sizes)[
            np.searchsorted(counts.numbers, copies[rows])
        ]
        of_examples = np.zeros(len(labels))
        of_examples[rows] = importance
        return fit.prior_of(of_examples)
    posterior = fit.posterior(labels)
    per_group = np.zeros((len(counts.numbers), posterior.shape[1]))
    rows = np.flatnonzero(np.isin(copies, counts.numbers))
    np.add.at(per_group, np.searchsorted(counts.numbers, copies[rows]), posterior[rows])
    importance = weights * (counts.sizes - 1) / counts.sizes
    prior: Floats = importance @ per_group
    prior /= max(prior.sum(), 1e-300)
    return prior


def _implied_rate(fit: NoiseFit | PooledFit, prior: Floats, share: float) -> float:
    """Return the noise rate at which independent labels of copies disagree with this probability."""
    if math.isnan(share):
        return math.nan
    rates, concentration = _wrong_sums(fit)
    if prior @ rates < 1e-6:  # the fit has no noise, whose pattern could be taken
        rates = np.ones(len(rates))
        concentration = rates / (len(rates) - 1)

    def disagreement(factor: float) -> float:
        return float(prior @ (1 - (1 - factor * rates) ** 2 - factor**2 * concentration))

    # It is a parabola in the factor, which rises up to its vertex.
    largest = min(float(prior @ rates / (prior @ (rates**2 + concentration))), 1 / float(rates.max()))
    if share >= disagreement(largest):
        return largest * float(fit.prior @ rates)
    factor = brentq(lambda value: disagreement(value) - share, 0.0, largest) if share > 0 else 0.0
    return float(factor) * float(fit.prior @ rates)


def _wrong_sums(fit: NoiseFit | PooledFit) -> tuple[Floats, Floats]:
    """Return the sum of the wrong entries of each row of T, and that of their squares."""
    if isinstance(fit, PooledFit):
        return fit.class_noise_rates, fit.concentrations
    wrong = fit.transition * (1 - np.eye(len(fit.transition)))
    return wrong.sum(axis=1), (wrong**2).sum(axis=1)
