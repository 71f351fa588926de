"""Sampling the labels of noisy examples: independently, or stratified to exact counts.

Both samplers lay the rows of Q end to end on one integer axis. Each class covers an interval of the
axis, which its row divides in proportion to its probabilities; a label is found by searching for a
point on the axis.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dilution.noise.transition import Matrix
from dilution.utils import rng

_SCALE = 1 << rng.BITS


class LabelSampler(Protocol):
    """Labels of noisy examples k, as a function of k."""

    def sample(self, k: Tensor, true: Tensor) -> Tensor:
        """Return noisy labels: int64, shape of `k`.

        Parameters
        ----------
        k
            Numbers of noisy examples, int64, shape (b,).
        true
            True class of each example, int64, shape (b,).
        """


class IndependentSampler:
    """Draws each label independently from the row of its true class.

    Parameters
    ----------
    added
        Q[true, noisy], float64, shape (classes, classes).
    key
        Key of the noise stream.
    """

    def __init__(self, added: Matrix, key: int) -> None:
        self._key = key
        self._classes = len(added)
        upper = torch.from_numpy((np.cumsum(added, axis=1) * _SCALE).round()).long()
        # The last class with a positive probability ends its row at full scale, so that rounding lets no draw
        # fall beyond it.
        last = self._classes - 1 - torch.from_numpy((added[:, ::-1] > 0).argmax(axis=1).copy())
        upper[torch.arange(self._classes)[None, :] >= last[:, None]] = _SCALE
        start = torch.arange(self._classes)[:, None] * _SCALE
        self._ends = (upper.clamp(max=_SCALE) + start).flatten()

    def sample(self, k: Tensor, true: Tensor) -> Tensor:
        """Return noisy labels; see :class:`LabelSampler`."""
        point = rng.uniform_bits(self._key, k) + true * _SCALE
        return torch.searchsorted(self._ends, point, right=True) - true * self._classes


class StratifiedSampler:
    """Draws labels without replacement: each count lies within one of its expectation.

    Each class has as many points as it has noisy labels. Its row divides them by cumulative counts,
    which are rounded after adding an offset in [0, 1); the offsets are spread evenly over the
    classes, so that rounding does not favour the same labels in every row. A keyed permutation
    assigns the points to the examples.

    Parameters
    ----------
    added
        Q[true, noisy], float64, shape (classes, classes).
    cycle
        True classes of noisy examples 0 … period − 1, after which they repeat; int64, shape
        (period,).
    count
        Number of noisy examples.
    key, rounding_key
        Keys of the noise stream and of the stream that spreads the offsets.
    """

    def __init__(self, added: Matrix, cycle: Tensor, count: int, key: int, rounding_key: int) -> None:
        classes = len(added)
        self._classes, self._period = classes, len(cycle)
        # Each class has its own key: classes with equally many labels must not be permuted alike.
        self._keys = rng.mix(key, torch.arange(classes))
        self._in_cycle = torch.bincount(cycle, minlength=classes)
        self._rank = torch.empty_like(cycle)
        order = cycle.argsort(stable=True)
        first = self._in_cycle.cumsum(0) - self._in_cycle
        self._rank[order] = torch.arange(len(cycle)) - first[cycle[order]]

        laps, rest = divmod(count, len(cycle))
        self._total = self._in_cycle * laps + torch.bincount(cycle[:rest], minlength=classes)
        self._start = self._total.cumsum(0) - self._total
        spread = rng.permute(rounding_key, torch.arange(classes), classes).double()
        cumulative = torch.from_numpy(added).cumsum(1) * self._total[:, None]
        ends = (cumulative + (spread[:, None] + 0.5) / classes).floor().long()
        ends[:, -1] = self._total
        self._ends = (ends.clamp(max=self._total[:, None]) + self._start[:, None]).flatten()

    def sample(self, k: Tensor, true: Tensor) -> Tensor:
        """Return noisy labels; see :class:`LabelSampler`."""
        lap, position = k.div(self._period, rounding_mode="floor"), k % self._period
        rank = lap * self._in_cycle[true] + self._rank[position]
        point = rng.permute(self._keys[true], rank, self._total[true]) + self._start[true]
        return torch.searchsorted(self._ends, point, right=True) - true * self._classes
