"""The fits and tests behind a diagnosis, by number of classes: T entry by entry, or in a smaller family."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dilution.data import Arrays
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import bootstrap
from dilution.diagnosis.class_similarity import SimilarityTest, class_similarity, similarity_test
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit, fit_noise
from dilution.diagnosis.noise_pattern import NoisePattern, estimate_noise_pattern
from dilution.diagnosis.pooled_fit import MAX_CLASSES, PooledFit, fit_pooled
from dilution.utils.estimate import UNKNOWN

_CLEAREST_ONLY = 2.0  # no probability is as large, so that only the clearest examples are anchors


@dataclass(frozen=True)
class Fits:
    """A fit with the fits that its intervals come from, all of one type, and tests of its pattern.

    Parameters
    ----------
    fit
        The noise fit.
    bootstrap_fits
        The fits to its bootstrap samples.
    alternative
        The fit whose anchors are only the clearest examples.
    noise_pattern
        How wrong labels are spread over the wrong classes.
    class_similarity
        Whether wrong labels favour similar classes.
    """

    fit: NoiseFit | PooledFit
    bootstrap_fits: Sequence[NoiseFit | PooledFit]
    alternative: NoiseFit | PooledFit
    noise_pattern: NoisePattern
    class_similarity: SimilarityTest

    @classmethod
    def untested(
        cls,
        fit: NoiseFit | PooledFit,
        bootstrap_fits: Sequence[NoiseFit | PooledFit],
        alternative: NoiseFit | PooledFit,
    ) -> "Fits":
        """Return fits whose pattern is not tested."""
        return cls(
            fit,
            bootstrap_fits,
            alternative,
            NoisePattern("undecided", math.nan, UNKNOWN, math.nan),
            SimilarityTest("undecided", UNKNOWN, math.nan),
        )


def fit_all(
    predictions: HeldOutPredictions, data: Arrays, samples: int, seed: int, groups: Ints | None
) -> Fits:
    """Fit the noise: a number per entry of T up to 100 classes, the family that the labels support beyond.

    The pattern is tested up to 100 classes only: beyond, the family assumes most of it.

    Parameters
    ----------
    predictions
        Predictions and labels.
    data
        The examples, whose classes may be similar.
    samples, seed, groups
        As for :func:`dilution.diagnosis.bootstrap.bootstrap`.
    """
    if predictions.classes > MAX_CLASSES:
        pooled = fit_pooled(predictions)
        return Fits.untested(
            pooled,
            bootstrap(predictions, pooled, samples=samples, seed=seed, groups=groups),
            fit_pooled(predictions, clear=_CLEAREST_ONLY),
        )
    fit = fit_noise(predictions)
    bootstrap_fits = bootstrap(predictions, fit, samples=samples, seed=seed, groups=groups)
    alternative = fit_noise(predictions, clear=_CLEAREST_ONLY)
    return with_tests(Fits.untested(fit, bootstrap_fits, alternative), data, seed)


def with_tests(fits: Fits, data: Arrays, seed: int) -> Fits:
    """Return fits of up to 100 classes with the tests of their pattern."""
    fit, alternative = fits.fit, fits.alternative
    samples = [sample for sample in fits.bootstrap_fits if isinstance(sample, NoiseFit)]
    assert isinstance(fit, NoiseFit)
    assert isinstance(alternative, NoiseFit)
    pattern = estimate_noise_pattern(fit, samples)
    similarity = similarity_test(
        fit,
        samples,
        alternative,
        class_similarity(data, fit),
        patterned=pattern.kind in ("structured", "concentrated"),
        seed=seed,
    )
    return Fits(fit, fits.bootstrap_fits, alternative, pattern, similarity)
