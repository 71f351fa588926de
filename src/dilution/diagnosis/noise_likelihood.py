"""The likelihood of a noise fit: T, β and b against held-out predictions and their noisy labels."""

from itertools import pairwise

import numpy as np

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN

_BETA_BOUNDS = (0.05, 20.0)
_BETA_PRIOR = 0.25  # prior standard deviation of log β around 0: models are not far from calibrated
_BIAS_BOUND = 8.0
_LOGIT_BOUND = 20.0  # of the free numbers whose softmax is T
_CHUNK = 1024  # examples whose gradients are in memory together


class NegativeLogLikelihood:
    """Mean negative log likelihood and its gradient.

    Its parameters are one array: log β, b without its first entry (which is 0), the logits of T row by row.

    Parameters
    ----------
    log_unmixed
        Logarithms of the unmixed probabilities, float64, shape (n, classes).
    labels, verified
        Noisy labels and verified classes, int64, shape (n,), as in
        :class:`dilution.diagnosis.noise_fit.HeldOutPredictions`.
    weights
        Weight of each example, float64, shape (n,); those of weight 0 are left out.
    """

    def __init__(self, log_unmixed: Floats, labels: Ints, verified: Ints, weights: Floats) -> None:
        # Sorted by label, the examples of a label are a block. Classes are rows here: NumPy's sums over a few
        # classes are several times as fast along the first axis as along the last one. A bootstrap sample
        # lacks a third of the examples, whose weight is 0.
        order = np.argsort(labels, kind="stable")
        order = order[weights[order] > 0]
        self._total_weight = float(weights.sum())
        self._log_unmixed = np.ascontiguousarray(log_unmixed[order].T)
        self._weights = weights[order] / self._total_weight
        self._labels, self._verified = labels[order], verified[order]
        self._known = np.flatnonzero(self._verified >= 0)
        self._wrong = np.flatnonzero(self._verified == WRONG_CLASS_UNKNOWN)
        self._classes = len(self._log_unmixed)
        self._edges = np.searchsorted(self._labels, np.arange(self._classes + 1))

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Bounds of each parameter."""
        low, high = np.log(_BETA_BOUNDS)
        n_bias, n_logits = self._classes - 1, self._classes**2
        return (
            [(float(low), float(high))]
            + [(-_BIAS_BOUND, _BIAS_BOUND)] * n_bias
            + [(-_LOGIT_BOUND, _LOGIT_BOUND)] * n_logits
        )

    def unpack(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        """Return β, b and T."""
        m = self._classes
        logits = parameters[m:].reshape(m, m)
        bias = np.zeros(m)
        bias[1:] = parameters[1:m]
        transition = np.exp(logits - logits.max(axis=1, keepdims=True))
        transition /= transition.sum(axis=1, keepdims=True)
        return float(np.exp(parameters[0])), bias, transition

    def _joint(self, q: Floats, transition: Floats) -> Floats:
        """Return q_c T[c, label], shape (classes, n); of a verified example only its true class has a value.

        Where the label is known to be wrong, and no more, the entry of the class that it names is 0.
        """
        joint: Floats = transition.take(self._labels, axis=1)
        joint *= q
        if len(self._known):
            true = self._verified[self._known]
            true_joint = joint[true, self._known]
            joint[:, self._known] = 0.0
            joint[true, self._known] = true_joint
        if len(self._wrong):
            joint[self._labels[self._wrong], self._wrong] = 0.0
        return joint

    def _class_probs(self, beta: float, bias: Floats) -> Floats:
        """Return q = softmax(β u + b), shape (classes, n)."""
        q: Floats = beta * self._log_unmixed + bias[:, None]
        q -= q.max(axis=0)
        np.exp(q, out=q)
        q /= q.sum(axis=0)
        return q

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        """Return the loss, in nats per example, and its gradient."""
        beta, bias, transition = self.unpack(parameters)
        q = self._class_probs(beta, bias)
        joint = self._joint(q, transition)
        likelihood = joint.sum(axis=0) + 1e-300
        true = joint * (self._weights / likelihood)  # weighted posterior of the true classes
        slope = true - q * self._weights
        counts = np.empty_like(transition)
        for label, (a, b) in enumerate(pairwise(self._edges)):
            true[:, a:b].sum(axis=1, out=counts[:, label])
        logit_slope = counts - counts.sum(axis=1, keepdims=True) * transition
        prior_slope = parameters[0] / _BETA_PRIOR**2 / self._total_weight
        beta_slope = beta * np.vdot(slope, self._log_unmixed) - prior_slope
        gradient = np.concatenate([[beta_slope], slope.sum(axis=1)[1:], logit_slope.ravel()])
        return float(parameters[0]) * prior_slope / 2 - float(self._weights @ np.log(likelihood)), -gradient

    def information(self, parameters: Floats) -> Floats:
        """Return the mean outer product of the gradients of single examples, shape (P, P) for P parameters.

        At the most likely parameters it is close to the second derivative of the loss.
        """
        beta, bias, transition = self.unpack(parameters)
        q = self._class_probs(beta, bias)
        joint = self._joint(q, transition)
        true = joint / (joint.sum(axis=0) + 1e-300)
        slope = true - q
        m, n = self._classes, len(self._labels)
        total = np.zeros((len(parameters), len(parameters)))
        for begin in range(0, n, _CHUNK):
            part = slice(begin, min(begin + _CHUNK, n))
            labels = self._labels[part]
            own = true[:, None, part] * -transition[:, :, None]
            own[:, labels, np.arange(len(labels))] += true[:, part]
            beta_scores = beta * (slope[:, part] * self._log_unmixed[:, part]).sum(axis=0)
            scores = np.vstack([beta_scores, slope[1:, part], own.reshape(m * m, -1)])
            total += (scores * self._weights[part]) @ scores.T
        total[0, 0] += 1 / (_BETA_PRIOR**2 * self._total_weight)
        return total

    def prior(self, parameters: Floats) -> Floats:
        """Return the share of each true class, shape (classes,)."""
        beta, bias, transition = self.unpack(parameters)
        joint = self._joint(self._class_probs(beta, bias), transition)
        posterior = joint / (joint.sum(axis=0) + 1e-300)
        shares: Floats = posterior @ self._weights
        return shares
