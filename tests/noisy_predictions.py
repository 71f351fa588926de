"""Held-out predictions of an imperfect model, with noisy labels whose truth is known; nothing is trained."""

import numpy as np
from scipy.special import softmax

from dilution.diagnosis.noise_fit import HeldOutPredictions
from dilution.noise import equivalent_alpha, uniform

CLASSES = 4


def transition_at(noise_rate, noise=None, classes=CLASSES):
    return (noise or uniform()).overall(classes, equivalent_alpha(noise_rate, classes), 0)


def noisy_predictions(transition, n=4000, separation=3.0, seed=0, shares=None):
    """Return calibrated predictions of a model that errs with noisy labels, and the true classes.

    The score of class k is normal, with mean `separation` for the true class and 0 for the others.
    `shares` are those of the true classes; by default they are equal.
    """
    random = np.random.default_rng(seed)
    classes = len(transition)
    true = random.integers(classes, size=n) if shares is None else random.choice(classes, size=n, p=shares)
    scores = random.normal(size=(n, classes))
    scores[np.arange(n), true] += separation
    log_shares = 0 if shares is None else np.log(shares)
    true_probs = softmax(separation * scores + log_shares, axis=1)
    labels = (random.random(n)[:, None] > np.cumsum(transition, axis=1)[true]).sum(axis=1)
    labels = labels.clip(0, classes - 1)
    unverified = np.full(n, -1)
    return HeldOutPredictions(true_probs @ transition, labels, unverified, np.ones(n)), true
