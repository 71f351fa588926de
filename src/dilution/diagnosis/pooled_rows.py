"""Transition matrices of many classes: a noise rate per row, and a given spread of the wrong labels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.pooled_anchors import PooledAnchors

_CHUNK = 1 << 20  # entries of T that are computed at once


@dataclass(frozen=True)
class PooledRows:
    """A family of transition matrices: T[c, c] = 1 − ε_c, and T[c, k] = ε_c w_ck for wrong labels.

    All classes with few labels share one noise rate ε. The spread w is that of the
    anchors: models that learned from noisy labels predict which wrong ones are frequent.

    Parameters
    ----------
    anchors
        Mean predictions of clear examples.
    rate_of_class
        Number of the noise rate of each class, 0 for the shared one, int64, shape (classes,).
    """

    anchors: PooledAnchors
    rate_of_class: Ints

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.anchors.own)

    @property
    def n_rates(self) -> int:
        """Number of noise rates: the shared one, and one per class with its own."""
        return int(self.rate_of_class.max()) + 1

    def spread(self, true: Ints, noisy: Ints) -> Floats:
        """Return w, the share of the wrong labels of a class that name another one; 0 for the right label.

        Parameters
        ----------
        true, noisy
            True classes and noisy labels, int64, of shapes that broadcast.
        """
        anchors = self.anchors
        true, noisy = np.broadcast_arrays(true, noisy)
        entries = anchors.spread[true] * anchors.background[noisy]
        if len(anchors.keys):
            keys = true * self.n_classes + noisy
            place = np.minimum(np.searchsorted(anchors.keys, keys), len(anchors.keys) - 1)
            entries = entries + np.where(anchors.keys[place] == keys, anchors.entries[place], 0.0)
        shares: Floats = np.where(true == noisy, 0.0, entries / self._wrong[true])
        return shares

    def squared_spread(self) -> Floats:
        """Return the sum over wrong labels of w², float64, shape (classes,)."""
        anchors = self.anchors
        squares = anchors.spread**2 * ((anchors.background**2).sum() - anchors.background**2)
        true, noisy = np.divmod(anchors.keys, self.n_classes)
        extra = anchors.entries * (anchors.entries + 2 * anchors.spread[true] * anchors.background[noisy])
        shares: Floats = (squares + np.bincount(true, extra, minlength=self.n_classes)) / self._wrong**2
        return shares

    @cached_property
    def largest_spread(self) -> Floats:
        """Largest share of the wrong labels of each class that name one other class, shape (classes,)."""
        numbers = np.arange(self.n_classes)
        parts = np.array_split(numbers, max(1, self.n_classes**2 // _CHUNK))
        return np.concatenate([self.spread(part[:, None], numbers).max(axis=1) for part in parts])

    @property
    def _wrong(self) -> Floats:
        """Probability of all wrong labels in the anchor of each class, shape (classes,)."""
        anchors = self.anchors
        entries = np.bincount(anchors.keys // self.n_classes, anchors.entries, minlength=self.n_classes)
        wrong: Floats = anchors.spread * (1 - anchors.background) + entries
        return np.maximum(wrong, 1e-12)
