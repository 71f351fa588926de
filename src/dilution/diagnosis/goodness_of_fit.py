"""Checks of a diagnosis: whether the models learned anything, and whether the noise model fits."""

import numpy as np
from scipy.special import gammaincc

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.grouped_error import squared_group_sums, standard_error
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit

MIN_GAIN = 3.0
"""Standard errors by which predictions must be better than the label frequencies."""

_BINS = 10


def has_learned(pred_probs: Floats, labels: Ints, groups: Ints | None = None) -> bool:
    """Return whether held-out labels are predicted significantly better than by their frequencies.

    Models have learned if their log score is better by three standard errors, or their accuracy than that of
    the most frequent class: each is a paired, one-sided test at a level of 0.13 %. On small tables models
    are too confident, so that their probabilities score badly though their classes are right.

    Parameters
    ----------
    pred_probs
        Held-out probabilities of the noisy labels, shape (n, classes).
    labels
        Noisy labels, int64, shape (n,).
    groups
        Group of each example, int64, shape (n,), such as its copies. Default: each example is a group.
    """
    shares = np.bincount(labels, minlength=pred_probs.shape[1]) / len(labels)
    log_gain = np.log(pred_probs[np.arange(len(labels)), labels] / shares[labels])
    is_right, is_majority = pred_probs.argmax(axis=1) == labels, labels == shares.argmax()
    accuracy_gain: Floats = is_right.astype(np.float64) - is_majority
    return any(
        bool(gain.mean() > MIN_GAIN * standard_error(gain, groups)) for gain in (log_gain, accuracy_gain)
    )


def held_out_accuracy(pred_probs: Floats, labels: Ints) -> tuple[float, float]:
    """Return the accuracy of held-out predictions of labels, and that of the most frequent class alone.

    Parameters are those of :func:`has_learned`.
    """
    majority = float(np.bincount(labels).max()) / len(labels)
    return float((pred_probs.argmax(axis=1) == labels).mean()), majority


def class_conditional_p_value(fit: NoiseFit | PooledFit, labels: Ints, groups: Ints | None = None) -> float:
    """Return the p-value of a χ² test that noise depends on the class alone.

    Examples are divided into ten bins by the models' confidence. In each bin the number of labels
    that agree with the models is compared with its expectation under the fit. With groups, its variance
    is that of sums over groups.

    Parameters
    ----------
    fit
        The noise fit.
    labels
        Noisy labels, int64, shape (n,).
    groups
        As for :func:`has_learned`.
    """
    predicted, confidence, expected = fit.agreement()
    agrees: Floats = (labels == predicted).astype(np.float64)
    statistic = 0.0
    for rows in np.array_split(np.argsort(confidence, kind="stable"), _BINS):
        variance = float((expected[rows] * (1 - expected[rows])).sum())
        if groups is not None:
            variance = max(variance, squared_group_sums(agrees[rows] - expected[rows], groups[rows]))
        statistic += float((agrees[rows] - expected[rows]).sum()) ** 2 / max(variance, 1e-9)
    degrees = _BINS - 2  # the calibration uses up to two
    return float(gammaincc(degrees / 2, statistic / 2))
