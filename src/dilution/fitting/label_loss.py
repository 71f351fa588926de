"""The loss of weighted labels by the logits of a regression, with its gradient; T may lie between the two."""

import numpy as np
from scipy.special import log_softmax, softmax

from dilution.fitting.learners import Floats

_LEAST = 1e-12  # probability of a label, so that its logarithm is finite


def label_loss(logits: Floats, weights: Floats, transition: Floats | None) -> tuple[float, Floats]:
    """Return the cross entropy of labels, summed over the examples, and its gradient by the logits.

    It is −Σ_i Σ_k w_ik log P(label k | x_i), where P are the probabilities of the classes, the softmax of the
    logits, or with T those of the noisy labels, softmax · T (forward correction).

    Parameters
    ----------
    logits
        float64, shape (n, classes).
    weights
        Weights of the labels, float64, shape (n, classes).
    transition
        T[true, noisy], float64, shape (classes, classes). None: labels are predicted as they are.
    """
    probs = softmax(logits, axis=1)
    if transition is None:
        loss = -float((weights * log_softmax(logits, axis=1)).sum())
        return loss, weights.sum(axis=1, keepdims=True) * probs - weights
    noisy = np.maximum(probs @ transition, _LEAST)
    by_probs = -(weights / noisy) @ transition.T
    loss = -float((weights * np.log(noisy)).sum())
    return loss, probs * (by_probs - (probs * by_probs).sum(axis=1, keepdims=True))
