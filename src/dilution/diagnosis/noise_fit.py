"""From held-out predictions and noisy labels to the transition matrix, corrected for the network's errors.

The network was trained on noisy labels and never saw those of the examples it predicts here. Its
probabilities say which noisy label is likely, not which class is true. So they are first *unmixed* with what
the network says of its clearest examples of each class, then *calibrated*: q = softmax(β u + b) is the
probability of each true class, where u is the logarithm of the unmixed probabilities. β and b say how far
the network is to be believed: they, and T, are what makes the held-out noisy labels most likely under

    P(noisy label k | image x) = Σ_c q_c(x) T[c, k].

No right label is needed. What tells errors of the network from errors of the labels is that the labels agree
with the network the more, the surer it is, up to a plateau: there it is right, and what disagrees is noise.
So each class must have examples that are unmistakable (anchor points; Patrini et al. 2017). Where classes
overlap in the data themselves no method that sees labels alone can tell that from noise, and it counts as
noise. (T = I with the network's own probabilities is as likely a solution, and the one without noise.
Unmixing with the clearest examples is what excludes it.)
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import softmax

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_UNMIXING = 40  # multiplicative updates: enough for the sharpest tenth to reach a corner
_FLOOR = 1e-3  # an unmixed probability of 0 would never be believed less than wholly
_STEPS = 200  # of the climb
_TURNS = 8  # between which examples are clear and what the networks say of them
_STILL = 1e-4  # change of the corners at which they have settled
CLEAR = 0.7
"""Unmixed probability from which an example counts as clear."""
_SUREST = 0.3  # share of the examples of a class that count as clear in any case
_FEW = 5  # of them at least
_TIES = 1e-6  # among equally clear examples those with the larger probability come first
_BELIEF = (0.05, 20.0)  # bounds of β
_DOUBT = 0.25  # deviation of log β around 0 that is expected: networks are not far from calibrated
_SHIFT = 8.0  # bound of b
_DEEP = 20.0  # bound of the logarithms that stand for T
_LEAST = 1e-4  # an entry of T that begins at 0 would stay there


@dataclass(frozen=True)
class Observed:
    """What the estimate is made from.

    Parameters
    ----------
    probabilities
        Held-out probabilities of the noisy labels, float64, shape (n, classes).
    labels
        Noisy labels, int64, shape (n,).
    checked
        True classes where somebody has looked, −1 elsewhere; int64, shape (n,).
    weights
        How often each example counts, float64, shape (n,): a bootstrap draw, or all 1.
    """

    probabilities: Floats
    labels: Ints
    checked: Ints
    weights: Floats

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.probabilities.shape[1])


@dataclass(frozen=True)
class Mixture:
    """True classes and noise, as far as noisy labels tell.

    Parameters
    ----------
    matrix
        T[true, noisy], float64, shape (classes, classes), rows sum to 1.
    belief, shift
        β, and b of shape (classes,): the calibration.
    posterior
        q: probability of each true class before the label is looked at, shape (n, classes).
    prior
        Share of each true class, shape (classes,).
    corners
        What the networks say of an example of each class that is clear to them, shape (classes, classes):
        what probabilities are unmixed with.
    """

    matrix: Floats
    belief: float
    shift: Floats
    posterior: Floats
    prior: Floats
    corners: Floats

    @property
    def rate(self) -> float:
        """The noise rate η: the share of wrong labels."""
        return 1 - float(np.dot(self.prior, np.diag(self.matrix)))

    def given_label(self, labels: Ints) -> Floats:
        """Return the probability of each true class once the noisy label is known too; shape (n, classes)."""
        joint: Floats = self.posterior * self.matrix[:, labels].T
        joint /= joint.sum(axis=1, keepdims=True)
        return joint


def fit(seen: Observed, clear: float = CLEAR) -> Mixture:
    """Fit matrix and calibration to held-out predictions and their labels.

    Parameters
    ----------
    seen
        Predictions and labels.
    clear
        Unmixed probability from which an example counts as clear; above 1 only the surest do.
    """
    begun = corners(seen, clear)
    found = _named(climbed(seen, scores_of(seen, begun.corners), begun))
    if (seen.checked >= 0).any():
        found = _renamed(found, seen)
        found = climbed(seen, scores_of(seen, found.corners), found)
    return found


def scores_of(seen: Observed, matrix: Floats) -> Floats:
    """Return u: logarithms of the probabilities as unmixed with a matrix, shape (n, classes)."""
    scores: Floats = np.log(unmixed(seen.probabilities, matrix) + _FLOOR)
    return scores


def corners(seen: Observed, clear: float = CLEAR) -> Mixture:
    """Return where to begin: what the network says of the examples that are clear to it, class by class.

    Row c of the corners is the mean of the probabilities of those examples, which is what all examples of c
    would have if each were as clear. Which examples are taken for c depends on the corners, so both are
    found by turns.
    """
    p, classes = seen.probabilities, seen.classes
    place = np.arange(len(p))
    found = np.full((classes, classes), 0.5 / classes) + 0.5 * np.eye(classes)
    counts = found
    for _ in range(_TURNS):
        q = unmixed(p, found)
        taken = q.argmax(axis=1)
        sure = q[place, taken] + _TIES * p[place, taken]
        before, found, counts = found, found.copy(), found / 2
        for true in range(classes):
            rows = np.flatnonzero(taken == true)
            # Not the surest alone: they are those whose neighbours' labels happened to agree.
            taken_for_clear = max(_FEW, int(_SUREST * len(rows)), int((sure[rows] >= clear).sum()))
            rows = rows[np.argsort(-sure[rows], kind="stable")][:taken_for_clear]
            if len(rows) >= _FEW:
                found[true] = p[rows].mean(axis=0)
                counts[true] += np.bincount(seen.labels[rows], seen.weights[rows], minlength=classes)
        if np.abs(found - before).max() < _STILL:
            break
    even = np.full(classes, 1 / classes)
    return Mixture(_rows(counts), 1.0, np.zeros(classes), p, even, found)


def unmixed(probabilities: Floats, matrix: Floats) -> Floats:
    """Return for each row p the distribution q over true classes whose mixture q T is nearest to p.

    Nearest in Kullback and Leibler's divergence, by multiplicative updates, which stay within the simplex
    where the inverse of T would leave it (Richardson 1972; Lucy 1974).

    Parameters
    ----------
    probabilities
        Of noisy labels, shape (n, classes).
    matrix
        T[true, noisy].
    """
    found: Floats = probabilities.copy()
    for _ in range(_UNMIXING):
        found *= (probabilities / (found @ matrix + 1e-300)) @ matrix.T
    return found


def climbed(seen: Observed, scores: Floats, start: Mixture) -> Mixture:
    """Climb the likelihood in T, β and b together; the rows of T are the softmax of free numbers."""
    likelihood = _Likelihood(seen, scores)
    best = minimize(
        likelihood,
        np.r_[np.log(start.belief), start.shift[1:] - start.shift[0], np.log(start.matrix + _LEAST).ravel()],
        jac=True,
        method="L-BFGS-B",
        bounds=likelihood.bounds,
        options={"maxiter": _STEPS, "maxfun": 2 * _STEPS, "ftol": 1e-10},
    )
    return likelihood.mixture(best.x, start.corners)


class _Likelihood:
    """Minus the mean log likelihood, and its gradient, of (log β, b but for its first, log T)."""

    def __init__(self, seen: Observed, scores: Floats) -> None:
        # Sorted by label, the examples of a label are a block, and sums over it are products of matrices.
        order = np.argsort(seen.labels, kind="stable")
        self._back = np.empty_like(order)
        self._back[order] = np.arange(len(order))
        self._examples = float(seen.weights.sum())
        self._scores, self._weights = scores[order], seen.weights[order] / self._examples
        self._labels, self._checked = seen.labels[order], seen.checked[order]
        self._known = np.flatnonzero(self._checked >= 0)
        self._edges = np.searchsorted(self._labels, np.arange(seen.classes + 1))
        self._classes = seen.classes

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Bounds of each number."""
        low, high = np.log(_BELIEF)
        shifts, rows = self._classes - 1, self._classes**2
        return [(float(low), float(high))] + [(-_SHIFT, _SHIFT)] * shifts + [(-_DEEP, _DEEP)] * rows

    def _parts(self, at: Floats) -> tuple[float, Floats, Floats]:
        m = self._classes
        return float(np.exp(at[0])), np.r_[0.0, at[1:m]], softmax(at[m:].reshape(m, m), axis=1)

    def _joint(self, q: Floats, matrix: Floats) -> Floats:
        """Return q_c T[c, label]; for an example that was checked only its true class is left."""
        joint: Floats = q * matrix.T[self._labels]
        if len(self._known):
            true = self._checked[self._known]
            kept = joint[self._known, true]
            joint[self._known] = 0.0
            joint[self._known, true] = kept
        return joint

    def __call__(self, at: Floats) -> tuple[float, Floats]:
        """Return the loss in nats an example and its gradient."""
        belief, shift, matrix = self._parts(at)
        q = softmax(belief * self._scores + shift, axis=1)
        joint = self._joint(q, matrix)
        total = joint.sum(axis=1) + 1e-300
        true = joint * (self._weights / total)[:, None]  # weighted probabilities of the true classes
        slope = true - q * self._weights[:, None]
        counts = np.stack([true[a:b].sum(axis=0) for a, b in pairwise(self._edges)], axis=1)
        rows = counts - counts.sum(axis=1, keepdims=True) * matrix
        doubt = at[0] / _DOUBT**2 / self._examples
        gradient = np.r_[belief * (slope * self._scores).sum() - doubt, slope.sum(axis=0)[1:], rows.ravel()]
        return float(at[0]) * doubt / 2 - float(self._weights @ np.log(total)), -gradient

    def mixture(self, at: Floats, corners: Floats) -> Mixture:
        """Return what the numbers say."""
        belief, shift, matrix = self._parts(at)
        q = softmax(belief * self._scores + shift, axis=1)
        joint = self._joint(q, matrix)
        true = joint / (joint.sum(axis=1, keepdims=True) + 1e-300)
        return Mixture(matrix, belief, shift, q[self._back], self._weights @ true, corners)


def _rows(counts: Floats) -> Floats:
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _named(found: Mixture) -> Mixture:
    """Give each group of examples the class whose label is commonest in it, as far as all can have theirs.

    Labels alone cannot say which name is right: on the whole right labels are taken to be the commonest.
    """
    return _ordered(found, -(found.prior[:, None] * found.matrix).T)


def _renamed(found: Mixture, seen: Observed) -> Mixture:
    """Give each group of examples the class that most of its checked examples have."""
    known = np.flatnonzero(seen.checked >= 0)
    counts = np.zeros((seen.classes, seen.classes))
    np.add.at(counts, seen.checked[known], found.given_label(seen.labels)[known])
    return _ordered(found, -counts)


def _ordered(found: Mixture, cost: Floats) -> Mixture:
    """Order the groups of a fit so that the cost [name, group] of the names they get is least."""
    _, order = linear_sum_assignment(cost)
    return replace(
        found,
        matrix=found.matrix[order],
        shift=found.shift[order],
        posterior=found.posterior[:, order],
        prior=found.prior[order],
        corners=found.corners[order],
    )
