"""Bootstrap intervals: the noise fit repeated on examples drawn with replacement."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from dilution.diagnosis.anchors import Floats
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit, maximise_likelihood
from dilution.utils import rng
from dilution.utils.estimate import Estimate

N_BOOTSTRAP = 100


def bootstrap(
    predictions: HeldOutPredictions, fit: NoiseFit, *, samples: int = N_BOOTSTRAP, seed: int = 0
) -> list[NoiseFit]:
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
    """
    log_unmixed = predictions.log_unmixed(fit.anchors)
    return [
        maximise_likelihood(replace(predictions, weights=weights), log_unmixed, fit)
        for weights in _weights(predictions, samples, seed)
    ]


def interval(
    fit: NoiseFit,
    bootstrap_fits: list[NoiseFit],
    measure: Callable[[NoiseFit], float],
    alternative: NoiseFit | None = None,
    *,
    level: float = 0.95,
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
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    value = measure(fit)
    difference = 0.0 if alternative is None else abs(measure(alternative) - value)
    return Estimate(
        value,
        max(bounds[0], min(float(low), value) - difference),
        min(bounds[1], max(float(high), value) + difference),
    )


def _weights(predictions: HeldOutPredictions, samples: int, seed: int) -> Iterator[Floats]:
    """Yield for each bootstrap sample how often it contains each example."""
    n = len(predictions.labels)
    random = np.random.default_rng(rng.stream(seed, "bootstrap") & (2**63 - 1))
    for _ in range(samples):
        counts = np.bincount(random.integers(n, size=n), minlength=n).astype(np.float64)
        yield counts * predictions.weights
