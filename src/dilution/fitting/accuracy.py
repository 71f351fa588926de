"""Clean accuracy, estimated from held-out predictions, noisy labels and the noise fit.

Two errors of the estimate are of no sample, and the interval allows for both:

- Where classes overlap in the features, even the clearest examples of a class are sometimes of another. This
  counts as noise, so that the estimate is too high, and no method that sees labels alone can tell the two
  apart. The lower bound assumes that the clearest examples are mistaken half as often as all are.
- Held-out predictions come from one model per fold, which learned a part of the examples. The model that
  ships is an average and learned all of them. The upper bound assumes that this removes a third of errors.

Both numbers were chosen on five tables and held on five others (docs/log.md).
"""

from dataclasses import dataclass

import numpy as np

from dilution.diagnosis.bootstrap import LEVEL, sample_weights
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.fitting.learners import Floats, Ints
from dilution.fitting.noise_choice import AssumedNoise
from dilution.utils.estimate import Estimate, central_interval

_LEAST = 1e-12  # of a probability that is divided by
_OVERLAP = 0.5  # mistakes among the clearest examples, per mistake among all
_REMOVED = 1 / 3  # largest share of the errors of held-out predictions that the final model does not make
_LEAST_SLOPE = 0.02  # of the agreement by the accuracy; below it, agreement hardly tells the accuracy
_STEPS = 100  # of a fixed point


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
    noise fit to each sample, widened by the difference of the alternative fit. That of the clean accuracy
    allows for overlap of the classes and for what the final model has learned more, as described above.

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
        Verified classes, ``WRONG_CLASS_UNKNOWN`` where the label is known to be wrong, −1 elsewhere; int64,
        shape (n,).
    groups
        Group of each example, int64, shape (n,). Default: each example is a group.
    seed
        Root seed of the bootstrap.
    """
    given, predicted = labels[rows], probs[rows].argmax(axis=1)
    known, is_wrong = verified[rows] >= 0, verified[rows] == WRONG_CLASS_UNKNOWN
    is_right = np.where(known, verified[rows], given) == predicted
    own_groups = None if groups is None else groups[rows]
    samples = list(sample_weights(len(rows), own_groups, len(noise.bootstrap_fits), seed))

    def clean_per_row(fit: NoiseFit | PooledFit) -> Floats:
        right = _probability_right(fit, labels, rows, predicted)
        if is_wrong.any():  # given that it is not the class of the label
            other = np.maximum(1 - _probability_right(fit, labels, rows, given), _LEAST)
            right = np.where(is_wrong, np.where(predicted == given, 0.0, right / other), right)
        return np.where(known, is_right, right)

    value = float(clean_per_row(noise.fit).mean())
    draws = [
        float(np.average(clean_per_row(fit), weights=weights))
        for fit, weights in zip(noise.bootstrap_fits, samples, strict=True)
    ]
    margin = abs(float(clean_per_row(noise.alternative).mean()) - value)
    largest, agreement = _largest_agreement(noise.fit), float((given == predicted).mean())
    overlap = value - accuracy_under_overlap(value, agreement, noise.fit.noise_rate, noise.fit.prior.size)
    overlap *= float(1 - known.mean())  # verified labels are no estimates
    return AccuracyEstimate(
        _widened(_estimate(value, draws, margin), overlap),
        _estimate(
            agreement,
            [float(np.average(given == predicted, weights=weights)) for weights in samples],
        ),
        _estimate(
            largest,
            [_largest_agreement(fit) for fit in noise.bootstrap_fits],
            abs(_largest_agreement(noise.alternative) - largest),
        ),
    )


def accuracy_under_overlap(accuracy: float, agreement: float, noise_rate: float, classes: int) -> float:
    """Return the accuracy if a part of the estimated noise is overlap of the classes.

    If the clearest examples of a class are mistaken with probability ε, the noise rate η̂ that they show is

        1 − η̂ = (1 − ε)(1 − η) + ε η/(m − 1),

    where η is the rate of wrong labels, and m the number of classes. A smaller rate explains the agreement A
    by a smaller accuracy, (A − η/(m − 1))/(1 − η − η/(m − 1)), as for uniform noise. The accuracy is the one
    at which ε is half of the errors. It is never below A, which is the accuracy without any noise.

    Parameters
    ----------
    accuracy
        Estimated accuracy without overlap.
    agreement
        Share of predictions that are the noisy label.
    noise_rate
        Estimated noise rate.
    classes
        Number of classes.
    """
    others = classes - 1

    def explained(rate: float) -> float:
        return (agreement - rate / others) / (1 - rate - rate / others)

    least = min(agreement, accuracy)
    if 1 - noise_rate - noise_rate / others < _LEAST_SLOPE or explained(noise_rate) <= 0:
        return least
    lowered = accuracy
    for _ in range(_STEPS):
        mistaken = _OVERLAP * (1 - lowered)
        slope = 1 - mistaken - mistaken / others
        rate = max(0.0, (noise_rate - mistaken) / slope) if slope > 0 else 0.0
        lowered = max(least, accuracy * min(1.0, explained(rate) / explained(noise_rate)))
    return lowered


def _widened(estimate: Estimate, overlap: float) -> Estimate:
    """Return an accuracy whose interval allows for overlap, and for fewer errors of the final model."""
    below = float(np.hypot(estimate.value - estimate.low, overlap))
    high = estimate.high + _REMOVED * (1 - estimate.high)
    return Estimate(estimate.value, max(0.0, estimate.value - below), high)


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
    largest = fit.transition.max(axis=1) if isinstance(fit, NoiseFit) else fit.largest_entries()
    return float(fit.prior @ largest)


def _estimate(value: float, draws: list[float], margin: float = 0.0) -> Estimate:
    low, high = central_interval(np.array(draws), LEVEL)
    return Estimate(
        value, max(0.0, min(float(low), value) - margin), min(1.0, max(float(high), value) + margin)
    )
