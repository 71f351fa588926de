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
        return Fits(
            pooled,
            bootstrap(predictions, pooled, samples=samples, seed=seed, groups=groups),
            fit_pooled(predictions, clear=_CLEAREST_ONLY),
            NoisePattern("undecided", math.nan, UNKNOWN, math.nan),
            SimilarityTest("undecided", UNKNOWN, math.nan),
        )
    fit = fit_noise(predictions)
    bootstrap_fits = bootstrap(predictions, fit, samples=samples, seed=seed, groups=groups)
    alternative = fit_noise(predictions, clear=_CLEAREST_ONLY)
    pattern = estimate_noise_pattern(fit, bootstrap_fits)
    similarity = similarity_test(
        fit,
        bootstrap_fits,
        alternative,
        class_similarity(data, fit),
        patterned=pattern.kind in ("structured", "concentrated"),
        seed=seed,
    )
    return Fits(fit, bootstrap_fits, alternative, pattern, similarity)
