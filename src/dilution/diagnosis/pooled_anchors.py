"""Anchor points where classes are many: all classes with few labels share theirs."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from dilution.diagnosis.anchors import CLEAR, Floats, Ints
from dilution.diagnosis.candidates import Candidates

OWN_ANCHOR_LABELS = 5
"""Labels from which a class has anchor points of its own."""

_UNMIX_STEPS = 40  # as for few classes (`anchors.py`)
_TURNS = 8
_CONVERGED = 1e-4
_CLEAREST = 0.3
_MIN_CLEAR = 5
_TIES = 1e-6
_MIN_ENTRY = 0.1  # probability by which an entry exceeds an even spread, times the classes
_FREQUENT = 1.3  # ratio of such a probability to that of an even spread
_LEAST_BACKGROUND = 0.1  # of the mean: what entries explain is not exact, and no label is impossible
_SMALL = 1e-6  # an unmixed probability of 0 would stay 0 under multiplicative updates
_CHUNK = 1 << 12


@dataclass(frozen=True)
class PooledAnchors:
    """Mean predicted probabilities of clear examples, in the form A[c, k] = d_c [c = k] + s_c b_k + e_ck.

    Parameters
    ----------
    own
        Number of the anchor of each class among those of their own, −1 for a class with the shared one;
        int64, shape (classes,).
    right, spread
        d and s, float64, shape (classes,).
    background
        b, what the models predict for other classes on average; float64, shape (classes,), sums to 1.
    keys, entries
        ``true * classes + noisy`` in ascending order, int64, and e, float64; both of shape (entries,).
    """

    own: Ints
    right: Floats
    spread: Floats
    background: Floats
    keys: Ints
    entries: Floats

    def unmix(self, candidates: Candidates) -> Floats:
        """Return the distribution over true classes of each example, shape (n, candidates + 1).

        It is that of :func:`dilution.diagnosis.anchors.unmix`, among the candidates and the others as one.
        """
        classes, probs = candidates.classes, candidates.probs
        even = self.background[classes]
        even = np.hstack([even, np.maximum(0.0, 1 - even.sum(axis=1, keepdims=True))])
        examples = np.arange(len(probs))
        shared = self.spread[classes[examples, probs[:, :-1].argmax(axis=1)]]
        unmixed = _unmix_even(probs, even, np.clip(shared, 1e-6, 1 - 1e-6))
        if not (self.own >= 0).any():
            return unmixed
        right, spread = (
            np.hstack([values[classes], np.full((len(probs), 1), values.mean())])
            for values in (self.right, self.spread)
        )
        for rows in np.array_split(examples, max(1, len(examples) // _CHUNK)):
            pairs = self._pairs(classes[rows])
            unmixed[rows] = _unmix_updates(
                unmixed[rows], probs[rows], even[rows], right[rows], spread[rows], pairs
            )
        return unmixed

    def _pairs(self, classes: Ints) -> tuple[Ints, Ints, Floats]:
        """Return the entries among candidates: flat places of true class and of noisy label, and values."""
        m = classes.shape[1]
        if not len(self.keys):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        n_classes = len(self.own)
        # Only candidates whose anchors have entries are compared with all candidates.
        example, column = np.nonzero(np.isin(classes, np.unique(self.keys // n_classes)))
        wanted = classes[example, column][:, None] * n_classes + classes[example]
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        row, noisy = np.nonzero(self.keys[place] == wanted)
        flat = example[row] * (m + 1)
        return flat + column[row], flat + noisy, self.entries[place[row, noisy]]


def _unmix_even(probs: Floats, even: Floats, shared: Floats) -> Floats:
    """Return the unmixed probabilities if all anchors of an example spread the same share, in closed form.

    The mixture is (1 − s) q + s b. Where it is nearest to p, it is p/μ for classes with q > 0, and s b
    for those with q = 0, whose p is below.

    Parameters
    ----------
    probs, even
        p and b, shape (n, candidates + 1).
    shared
        s, shape (n,).
    """
    even = even * shared[:, None]
    order = np.argsort(-probs / (even + 1e-300), axis=1, kind="stable")
    sorted_probs, sorted_even = (np.take_along_axis(table, order, axis=1) for table in (probs, even))
    scales = sorted_probs.cumsum(axis=1) / (1 - shared[:, None] + sorted_even.cumsum(axis=1))
    n_positive = (sorted_probs > scales * sorted_even).sum(axis=1).clip(min=1)
    scale = scales[np.arange(len(probs)), n_positive - 1][:, None]
    unmixed: Floats = np.maximum(probs / scale - even, 0.0)
    unmixed /= unmixed.sum(axis=1, keepdims=True)
    return unmixed


def _unmix_updates(
    start: Floats,
    probs: Floats,
    even: Floats,
    right: Floats,
    spread: Floats,
    pairs: tuple[Ints, Ints, Floats],
) -> Floats:
    """Return the unmixed probabilities by multiplicative updates; all of shape (n, candidates + 1)."""
    true, noisy, values = pairs
    unmixed = start + _SMALL
    for _ in range(_UNMIX_STEPS):
        mixed = unmixed * right + even * (unmixed * spread).sum(axis=1, keepdims=True)
        if len(values):
            added = np.bincount(noisy, unmixed.ravel()[true] * values, minlength=mixed.size)
            mixed += added.reshape(mixed.shape)
        ratio = probs / (mixed + 1e-300)
        factor = ratio * right + spread * (ratio * even).sum(axis=1, keepdims=True)
        if len(values):
            added = np.bincount(true, ratio.ravel()[noisy] * values, minlength=mixed.size)
            factor += added.reshape(mixed.shape)
        unmixed = unmixed * factor
    unmixed /= unmixed.sum(axis=1, keepdims=True)
    return unmixed


@dataclass(frozen=True)
class ClearExamples:
    """Clear examples and their predicted classes; both int64, shape (clear examples,)."""

    rows: Ints
    predicted: Ints


def find_pooled_anchors(
    pred_probs: Floats, candidates: Candidates, labels: Ints, weights: Floats, clear: float = CLEAR
) -> tuple[PooledAnchors, ClearExamples]:
    """Return the anchors, and the clear examples that they are the means of.

    Parameters
    ----------
    pred_probs, labels, weights, clear
        As for :func:`dilution.diagnosis.anchors.find_anchors`.
    candidates
        Candidates of each example.
    """
    n_classes = candidates.n_classes
    is_own = np.bincount(labels, weights, minlength=n_classes) >= OWN_ANCHOR_LABELS
    half = np.full(n_classes, 0.5)
    anchors = PooledAnchors(
        np.where(is_own, np.cumsum(is_own) - 1, -1),
        half,
        half,
        np.full(n_classes, 1 / n_classes),
        np.empty(0, np.int64),
        np.empty(0),
    )
    for _ in range(_TURNS):
        before = anchors
        clear_examples = _clear_examples(candidates, anchors, clear)
        anchors = _mean_predictions(pred_probs, clear_examples, anchors)
        if np.abs(anchors.right - before.right).max() < _CONVERGED:
            break
    return anchors, clear_examples


def _clear_examples(candidates: Candidates, anchors: PooledAnchors, clear: float) -> ClearExamples:
    """Return the clearest examples of each class with an anchor of its own, and of the others together."""
    unmixed = anchors.unmix(candidates)[:, :-1]
    examples = np.arange(len(unmixed))
    column = unmixed.argmax(axis=1)
    predicted = candidates.classes[examples, column]
    clearness = unmixed[examples, column] + _TIES * candidates.probs[examples, column]
    order = np.lexsort((-clearness, anchors.own[predicted]))
    edges = np.searchsorted(anchors.own[predicted][order], np.arange(-1, int(anchors.own.max()) + 2))
    rows = []
    for first, last in pairwise(edges):
        n_clear = int((clearness[order[first:last]] >= clear).sum())
        rows.append(order[first:last][: max(_MIN_CLEAR, int(_CLEAREST * (last - first)), n_clear)])
    together = np.concatenate(rows)
    return ClearExamples(together, predicted[together])


def _mean_predictions(pred_probs: Floats, clear: ClearExamples, before: PooledAnchors) -> PooledAnchors:
    """Return the anchors that are means over clear examples; a class with fewer than 5 keeps its own."""
    n_classes, own = len(before.own), before.own[clear.predicted]
    agreed = pred_probs[clear.rows, clear.predicted].astype(np.float64)
    elsewhere = _sum_rows(pred_probs, clear.rows) - np.bincount(clear.predicted, agreed, minlength=n_classes)
    n_predicted = np.bincount(clear.predicted, minlength=n_classes)
    # What the entries before explain is no part of the background.
    of_entries = before.entries * n_predicted[before.keys // n_classes]
    elsewhere -= np.bincount(before.keys % n_classes, of_entries, minlength=n_classes)
    background = np.maximum(elsewhere, 0.0) / np.maximum(len(own) - n_predicted, 1)
    background += _LEAST_BACKGROUND * background.mean() + 1e-12
    background /= background.sum()
    right, spread = before.right.copy(), before.spread.copy()
    edges = np.searchsorted(own, np.arange(-1, int(before.own.max()) + 2))
    if edges[1] - edges[0] >= _MIN_CLEAR:
        pooled = slice(edges[0], edges[1])
        missing = (1 - agreed[pooled].mean()) / (1 - background[clear.predicted[pooled]].mean())
        spread[before.own < 0] = np.clip(missing, 1e-6, 1 - 1e-6)
        right[before.own < 0] = 1 - spread[before.own < 0]
    keys, entries = [], []
    for true, first, last in zip(np.flatnonzero(before.own >= 0), edges[1:-1], edges[2:], strict=True):
        if last - first < _MIN_CLEAR:
            continue
        row = pred_probs[clear.rows[first:last]].mean(axis=0, dtype=np.float64)
        excess = row - (1 - row[true]) * background
        is_entry = (excess > _MIN_ENTRY / n_classes) & (row > _FREQUENT * (1 - row[true]) * background)
        is_entry[true] = False
        noisy = np.flatnonzero(is_entry)
        spread[true] = np.clip((1 - row[true] - excess[noisy].sum()) / (1 - background[true]), 1e-6, 1.0)
        right[true] = max(1e-6, 1 - spread[true] - excess[noisy].sum())
        keys.append(true * n_classes + noisy)
        entries.append(excess[noisy])
    anchors = replace(before, right=right, spread=spread, background=background)
    return replace(anchors, keys=np.concatenate(keys), entries=np.concatenate(entries)) if keys else anchors


def _sum_rows(pred_probs: Floats, rows: Ints) -> Floats:
    """Return the sum of some rows, without a copy of them all."""
    total = np.zeros(pred_probs.shape[1])
    for part in np.array_split(rows, max(1, len(rows) // _CHUNK)):
        total += pred_probs[part].sum(axis=0, dtype=np.float64)
    return total
