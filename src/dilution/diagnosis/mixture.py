"""From held-out predictions and noisy labels to the transition matrix, corrected for the network's errors.

The network was trained on noisy labels and never saw those of the examples it predicts here. Its
probabilities say which noisy label is likely, not which class is true. So they are first *unmixed* with the
matrix as it is known so far, then *calibrated*: q = softmax(β u + b) is the probability of each true class,
where u is the logarithm of the unmixed probabilities. β and b say how far the network is to be believed:
they, and T, are what makes the held-out noisy labels most likely under

    P(noisy label k | picture x) = Σ_c q_c(x) T[c, k].

No right label is needed. What tells errors of the network from errors of the labels is that the labels agree
with the network the more, the surer it is, up to a plateau: there it is right, and what disagrees is noise.
The matrix has the meaning of class-conditional noise (Natarajan et al. 2013; Patrini et al. 2017, on
anchor points), whose rows are the plateaus.
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
_OUTER = 6  # times that the probabilities are unmixed anew with the T found
_SETTLED = 2e-4  # change of the noise rate at which the matrix has settled
_BELIEF = (0.05, 20.0)  # bounds of β
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
    """

    matrix: Floats
    belief: float
    shift: Floats
    posterior: Floats
    prior: Floats

    @property
    def rate(self) -> float:
        """The noise rate η: the share of wrong labels."""
        return 1 - float(np.dot(self.prior, np.diag(self.matrix)))

    def given_label(self, labels: Ints) -> Floats:
        """Return the probability of each true class once the noisy label is known too; shape (n, classes)."""
        joint: Floats = self.posterior * self.matrix[:, labels].T
        joint /= joint.sum(axis=1, keepdims=True)
        return joint


def fit(seen: Observed, start: Mixture | None = None) -> Mixture:
    """Fit matrix and calibration to held-out predictions.

    Parameters
    ----------
    seen
        Predictions and labels.
    start
        Where to begin, such as the fit to the same predictions under other weights. Default: rows are the
        labels of the examples that the network is surest of.
    """
    found = anchors(seen) if start is None else start
    for _ in range(_OUTER):
        before, found = found.rate, climbed(seen, scores_of(seen, found.matrix), found)
        if abs(before - found.rate) < _SETTLED:
            break
    return _named(found, seen)


def scores_of(seen: Observed, matrix: Floats) -> Floats:
    """Return u: logarithms of the probabilities as unmixed with a matrix, shape (n, classes)."""
    scores: Floats = np.log(unmixed(seen.probabilities, matrix) + _FLOOR)
    return scores


def anchors(seen: Observed) -> Mixture:
    """Return where to begin: row c counts the labels of the surer half of what the network takes for c."""
    taken = seen.probabilities.argmax(axis=1)
    sure = seen.probabilities.max(axis=1)
    counts = np.full((seen.classes, seen.classes), 0.5 / seen.classes) + 0.5 * np.eye(seen.classes)
    for true in range(seen.classes):
        rows = np.flatnonzero(taken == true)
        rows = rows[sure[rows] >= np.median(sure[rows])] if len(rows) else rows
        counts[true] += np.bincount(seen.labels[rows], seen.weights[rows], minlength=seen.classes)
    matrix, m = _rows(counts), seen.classes
    return Mixture(matrix, 1.0, np.zeros(m), seen.probabilities, np.full(m, 1 / m))


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
    return likelihood.mixture(best.x)


class _Likelihood:
    """Minus the mean log likelihood, and its gradient, of (log β, b but for its first, log T)."""

    def __init__(self, seen: Observed, scores: Floats) -> None:
        # Sorted by label, the examples of a label are a block, and sums over it are products of matrices.
        order = np.argsort(seen.labels, kind="stable")
        self._back = np.empty_like(order)
        self._back[order] = np.arange(len(order))
        self._scores, self._weights = scores[order], seen.weights[order] / seen.weights.sum()
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
        gradient = np.r_[belief * (slope * self._scores).sum(), slope.sum(axis=0)[1:], rows.ravel()]
        return -float(self._weights @ np.log(total)), -gradient

    def mixture(self, at: Floats) -> Mixture:
        """Return what the numbers say."""
        belief, shift, matrix = self._parts(at)
        q = softmax(belief * self._scores + shift, axis=1)
        joint = self._joint(q, matrix)
        true = joint / (joint.sum(axis=1, keepdims=True) + 1e-300)
        return Mixture(matrix, belief, shift, q[self._back], self._weights @ true)


def _rows(counts: Floats) -> Floats:
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _named(found: Mixture, seen: Observed) -> Mixture:
    """Give each group of examples the class whose label is commonest in it, as far as all can have theirs.

    Labels alone cannot say which name is right: on the whole right labels are taken to be the commonest.
    Where examples were checked, names are known.
    """
    if (seen.checked >= 0).any():
        return found
    _, order = linear_sum_assignment(-(found.prior[:, None] * found.matrix).T)
    return replace(
        found,
        matrix=found.matrix[order],
        shift=found.shift[order],
        posterior=found.posterior[:, order],
        prior=found.prior[order],
    )
