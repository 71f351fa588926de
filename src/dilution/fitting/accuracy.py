"""Clean accuracy, estimated from held-out predictions, noisy labels and the noise fit."""

from dataclasses import dataclass

import numpy as np

from dilution.diagnosis.bootstrap import LEVEL, sample_weights
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit
from dilution.fitting.learners import Floats, Ints
from dilution.fitting.noise_choice import AssumedNoise
from dilution.utils.estimate import Estimate, central_interval


@dataclass(frozen=True)
class AccuracyEstimate:
    """Accuracies of held-out predictions, each with a 95 % interval.

    Parameters
    ----------
    clean
        Share of predictions that are the true class, as estimated.
    agreement
        Share of predictions that are the noisy label.
    largest_agreement
        Agreement of a model without errors: what none can exceed on labels with this noise.
    """

    clean: Estimate
    agreement: Estimate
    largest_agreement: Estimate


def estimate_accuracy(
    probs: Floats,
    rows: Ints,
    labels: Ints,
    noise: AssumedNoise,
    verified: Ints,
    groups: Ints | None,
    seed: int,
) -> AccuracyEstimate:
    """Return the estimated clean accuracy of held-out predictions beside their agreement with the labels.

    The clean accuracy is the mean probability, given image and noisy label, that the predicted class is the
    true one: Σ_i P(true = predicted_i | x_i, label_i)/n, with the posterior of the noise fit. Of a verified
    label it is 0 or 1. The intervals are those of the bootstrap over examples, or groups of them, with the
    noise fit to each sample, widened by the difference of the alternative fit.

    Parameters
    ----------
    probs
        Held-out probabilities of the classes, shape (n, classes).
    rows
        Examples that were held out, int64.
    labels
        Noisy labels of all examples, int64, shape (n,).
    noise
        The noise that is assumed.
    verified
        Verified classes, −1 where there is none; int64, shape (n,).
    groups
        Group of each example, int64, shape (n,). Default: each example is a group.
    seed
        Root seed of the bootstrap.
    """
    given, predicted = labels[rows], probs[rows].argmax(axis=1)
    known = verified[rows] >= 0
    is_right = np.where(known, verified[rows], given) == predicted
    own_groups = None if groups is None else groups[rows]
    samples = list(sample_weights(len(rows), own_groups, len(noise.bootstrap_fits), seed))

    def clean_per_row(fit: NoiseFit | PooledFit) -> Floats:
        return np.where(known, is_right, _probability_right(fit, labels, rows, predicted))

    value = float(clean_per_row(noise.fit).mean())
    draws = [
        float(np.average(clean_per_row(fit), weights=weights))
        for fit, weights in zip(noise.bootstrap_fits, samples, strict=True)
    ]
    margin = abs(float(clean_per_row(noise.alternative).mean()) - value)
    largest = _largest_agreement(noise.fit)
    return AccuracyEstimate(
        _estimate(value, draws, margin),
        _estimate(
            float((given == predicted).mean()),
            [float(np.average(given == predicted, weights=weights)) for weights in samples],
        ),
        _estimate(
            largest,
            [_largest_agreement(fit) for fit in noise.bootstrap_fits],
            abs(_largest_agreement(noise.alternative) - largest),
        ),
    )


def _probability_right(fit: NoiseFit | PooledFit, labels: Ints, rows: Ints, predicted: Ints) -> Floats:
    """Return the probability that each predicted class is true, given image and label, shape (rows,)."""
    if isinstance(fit, NoiseFit):
        joint = fit.class_probs[rows] * fit.transition[:, labels[rows]].T
        right: Floats = joint[np.arange(len(rows)), predicted] / joint.sum(axis=1)
        return right
    # With many classes the fit tells the label and the most probable class apart, and others count as wrong.
    judgement = fit.judge_labels(labels)
    is_label, is_suggested = labels[rows] == predicted, judgement.suggested[rows] == predicted
    others = np.where(is_suggested, judgement.p_suggested[rows], 0.0)
    return np.where(is_label, 1 - judgement.p_wrong[rows], others)


def _largest_agreement(fit: NoiseFit | PooledFit) -> float:
    """Return how often a model that knows the true class can name the noisy label."""
    return float(fit.prior @ fit.transition.max(axis=1))


def _estimate(value: float, draws: list[float], margin: float = 0.0) -> Estimate:
    low, high = central_interval(np.array(draws), LEVEL)
    return Estimate(
        value, max(0.0, min(float(low), value) - margin), min(1.0, max(float(high), value) + margin)
    )
