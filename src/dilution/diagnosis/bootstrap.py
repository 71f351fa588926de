"""Bootstrap intervals: the noise fit repeated on examples, or groups of them, drawn with replacement."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

import numpy as np

from dilution.data.group_numbers import count_groups, number_groups
from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.nearby_fits import NearbyFits
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit, maximise_pooled
from dilution.utils import rng
from dilution.utils.blas_threads import one_thread
from dilution.utils.estimate import Estimate, central_interval
from dilution.utils.stage_log import track

Fit = TypeVar("Fit", bound=NoiseFit | PooledFit)

N_BOOTSTRAP = 100
LEVEL = 0.95
"""Probability that an interval of a diagnosis contains the true number."""


def bootstrap(
    predictions: HeldOutPredictions,
    fit: Fit,
    *,
    samples: int = N_BOOTSTRAP,
    seed: int = 0,
    groups: Ints | None = None,
) -> list[Fit]:
    """Return the noise fits to bootstrap samples of the examples.

    T and the calibration are fitted to each sample. The models are not trained again: given their
    predictions, the held-out labels are independent.

    Parameters
    ----------
    predictions
        Predictions and labels.
    fit
        The fit to all of them, from which each fit starts.
    samples
        Number of bootstrap samples.
    seed
        Root seed.
    groups
        Group of each example, int64, shape (n,): groups are drawn in place of examples, because the labels
        of copies are not independent. Default: each example is a group.
    """
    drawn = (
        weights * predictions.weights
        for weights in track(sample_weights(len(predictions.labels), groups, samples, seed), samples)
    )
    if isinstance(fit, PooledFit):
        pooled = [maximise_pooled(fit.evidence, weights, fit.beta, fit.rates) for weights in drawn]
        return cast("list[Fit]", pooled)
    with one_thread():
        nearby = NearbyFits(predictions, fit)
        return cast("list[Fit]", [nearby.fit(weights) for weights in drawn])


def interval(
    fit: Fit,
    bootstrap_fits: Sequence[Fit],
    measure: Callable[[Fit], float],
    alternative: Fit | None = None,
    *,
    level: float = LEVEL,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """Return a measure of a fit with its percentile interval.

    Parameters
    ----------
    fit, bootstrap_fits
        The fit, and the fits to its bootstrap samples.
    measure
        Function of a fit that returns a number.
    alternative
        An equally justified fit. The interval is widened on both sides by the difference between
        its measure and that of `fit`, because sampling is not the only source of error.
    level
        Confidence.
    bounds
        Least and largest possible value, to which the interval is clipped.
    """
    values = np.array([measure(sample) for sample in bootstrap_fits])
    low, high = central_interval(values, level)
    value = measure(fit)
    difference = 0.0 if alternative is None else abs(measure(alternative) - value)
    return Estimate(
        value,
        max(bounds[0], min(float(low), value) - difference),
        min(bounds[1], max(float(high), value) + difference),
    )


def intervals(
    fit: Fit,
    bootstrap_fits: Sequence[Fit],
    measure: Callable[[Fit], Floats],
    alternative: Fit,
) -> tuple[Floats, Floats, Floats]:
    """Return several measures of a fit, each in [0, 1], with the bounds of their intervals.

    Parameters
    ----------
    fit, bootstrap_fits, alternative
        As for :func:`interval`.
    measure
        Function of a fit that returns an array.

    Returns
    -------
    values, low, high
        float64, in the shape of the measure.
    """
    low, high = central_interval(np.stack([measure(sample) for sample in bootstrap_fits]), LEVEL)
    values = measure(fit)
    difference = np.abs(measure(alternative) - values)
    return (
        values,
        np.maximum(0.0, np.minimum(low, values) - difference),
        np.minimum(1.0, np.maximum(high, values) + difference),
    )


def sample_weights(n: int, groups: Ints | None, samples: int, seed: int) -> Iterator[Floats]:
    """Yield for each bootstrap sample how often it contains each example, float64, shape (n,).

    Parameters are those of :func:`bootstrap`; `n` is the number of examples.
    """
    numbers = np.arange(n) if groups is None else number_groups(groups)
    n_groups = n if groups is None else count_groups(numbers)
    random = np.random.default_rng(rng.stream(seed, "bootstrap") & (2**63 - 1))
    for _ in range(samples):
        counts = np.bincount(random.integers(n_groups, size=n_groups), minlength=n_groups)
        yield counts.astype(np.float64)[numbers]
