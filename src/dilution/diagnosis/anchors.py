"""Anchor points: the clearest examples of each class, and predictions unmixed with them.

A model that was trained on noisy labels predicts which noisy label is likely. An example that is
unmistakably of class c gets the probabilities T[c] of the noisy labels of that class, so the
clearest examples of each class reveal T (anchor points; Patrini et al. 2017). Unmixing with them
turns probabilities of noisy labels into probabilities of true classes.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLEAR = 0.7
"""Unmixed probability from which an example counts as clear."""

_UNMIX_STEPS = 40  # multiplicative updates: enough for the sharpest tenth to reach a corner
_TURNS = 8  # alternations between clear examples and their mean probabilities
_CONVERGED = 1e-4  # change of the anchors at which the alternation ends
_CLEAREST = 0.3  # share of the examples of a class that count as clear in any case
_MIN_CLEAR = 5  # clear examples per class
_TIES = 1e-6  # among equally clear examples those with the larger probability come first


def find_anchors(
    pred_probs: Floats, labels: Ints, weights: Floats, clear: float = CLEAR
) -> tuple[Floats, Floats]:
    """Return the mean predicted probabilities of the clearest examples of each class, and T among them.

    Row c of the anchors is what all examples of class c would get if each were as clear. Which
    examples are taken for class c depends on the anchors, so both are found in turns.

    Parameters
    ----------
    pred_probs
        Held-out probabilities of the noisy labels, shape (n, classes).
    labels
        Noisy labels, int64, shape (n,).
    weights
        Weight of each example, shape (n,).
    clear
        Unmixed probability from which an example counts as clear; above 1 only the clearest
        examples of each class do.

    Returns
    -------
    anchors, transition
        Both float64, shape (classes, classes). Row c of `transition` is how the clear examples of
        class c are labelled.
    """
    classes = pred_probs.shape[1]
    examples = np.arange(len(pred_probs))
    anchors = np.full((classes, classes), 0.5 / classes) + 0.5 * np.eye(classes)
    counts = anchors
    for _ in range(_TURNS):
        true_probs = unmix(pred_probs, anchors)
        predicted = true_probs.argmax(axis=1)
        clearness = true_probs[examples, predicted] + _TIES * pred_probs[examples, predicted]
        before, anchors, counts = anchors, anchors.copy(), anchors / 2
        for true in range(classes):
            rows = np.flatnonzero(predicted == true)
            # Not the clearest alone: they are those whose neighbours' labels happened to agree.
            n_clear = max(_MIN_CLEAR, int(_CLEAREST * len(rows)), int((clearness[rows] >= clear).sum()))
            rows = rows[np.argsort(-clearness[rows], kind="stable")][:n_clear]
            if len(rows) >= _MIN_CLEAR:
                anchors[true] = pred_probs[rows].mean(axis=0)
                counts[true] += np.bincount(labels[rows], weights[rows], minlength=classes)
        if np.abs(anchors - before).max() < _CONVERGED:
            break
    return anchors, counts / counts.sum(axis=1, keepdims=True)


def unmix(pred_probs: Floats, anchors: Floats) -> Floats:
    """Return for each row p the distribution q over true classes whose mixture q · anchors is nearest to p.

    Nearest in Kullback-Leibler divergence, by multiplicative updates, which stay within the simplex
    where the inverse matrix would leave it (Richardson 1972; Lucy 1974).

    Parameters
    ----------
    pred_probs
        Probabilities of noisy labels, shape (n, classes).
    anchors
        Distribution of the noisy labels of each true class, shape (classes, classes).
    """
    true_probs: Floats = pred_probs.copy()
    for _ in range(_UNMIX_STEPS):
        true_probs *= (pred_probs / (true_probs @ anchors + 1e-300)) @ anchors.T
    return true_probs
