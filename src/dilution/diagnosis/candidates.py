"""Candidates: the few classes that an example may be of, where there are too many classes for all of them."""

from dataclasses import dataclass

import numpy as np

from dilution.diagnosis.anchors import Floats, Ints

N_CANDIDATES = 16
"""Candidates per example: its label, its verified class, and the most probable classes."""

_CHUNK = 1 << 10  # examples whose classes are ranked at once


@dataclass(frozen=True)
class Candidates:
    """Candidates of each example, with its label as the first, and predicted probabilities.

    Parameters
    ----------
    classes
        Classes, int64, shape (n, candidates); column 0 is the label.
    probs
        Held-out probability of each candidate, and of all other classes together in the last column;
        float64, shape (n, candidates + 1), rows sum to 1.
    n_classes
        Number of all classes.
    """

    classes: Ints
    probs: Floats
    n_classes: int

    @property
    def n_others(self) -> int:
        """Number of classes that are no candidates of an example."""
        return self.n_classes - int(self.classes.shape[1])


def find_candidates(pred_probs: Floats, labels: Ints, verified: Ints) -> Candidates:
    """Return the candidates of each example.

    Parameters
    ----------
    pred_probs
        Held-out probabilities of the noisy labels, shape (n, classes), with more classes than candidates.
    labels
        Noisy labels, int64, shape (n,).
    verified
        True classes where somebody has looked them up, −1 elsewhere; int64, shape (n,).
    """
    n, n_classes = pred_probs.shape
    classes = np.empty((n, N_CANDIDATES), dtype=np.int64)
    probs = np.empty((n, N_CANDIDATES + 1))
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        ranks = np.array(pred_probs[part], dtype=np.float64)
        rows = np.arange(len(ranks))[:, None]
        known = np.flatnonzero(verified[part] >= 0)
        ranks[known, verified[part][known]] = 2.0  # above any probability, and the label above it
        ranks[rows[:, 0], labels[part]] = 3.0
        top = np.argpartition(-ranks, N_CANDIDATES, axis=1)[:, :N_CANDIDATES]
        order = np.argsort(-ranks[rows, top], axis=1, kind="stable")
        classes[part] = top[rows, order]
        probs[part, :-1] = pred_probs[part][rows, classes[part]]
    probs[:, -1] = np.maximum(0.0, 1 - probs[:, :-1].sum(axis=1))
    return Candidates(classes, probs, n_classes)
