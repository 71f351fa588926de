"""The noise fit for many classes: T in a family that the labels support, among candidates.

The model is that of the noise fit (`noise_fit.py`): q = softmax(β u) is the probability of each true
class, u the logarithm of the unmixed probabilities, and β and T maximise the likelihood of the labels.
With C classes T has C² entries, of which thousands of classes with a few labels each show none. So

- all classes with fewer than 60 labels share one noise rate, and a class with 60 or more has its own;
- how the wrong labels of a class are spread is taken from its anchor: the mean prediction of its clear
  examples, or, for a class with fewer than 5 labels, of the clear examples of all other classes;
- only the classes that the models find most probable are told apart in each example (`candidates.py`).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from dilution.diagnosis.anchors import CLEAR, Floats, Ints
from dilution.diagnosis.candidates import Candidates, find_candidates
from dilution.diagnosis.noise_fit import Agreement, HeldOutPredictions, LabelJudgement
from dilution.diagnosis.pooled_anchors import OWN_ANCHOR_LABELS, find_pooled_anchors
from dilution.diagnosis.pooled_rows import PooledRows
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN

MAX_CLASSES = 100
"""Number of classes up to which T has a parameter per entry."""

OWN_RATE_LABELS = 60
"""Labels from which a class has a noise rate of its own."""

_FLOOR = 1e-3  # of unmixed probabilities, divided by the classes: together they would not be doubted
_MAX_ITERATIONS = 200
_BETA_BOUNDS = (0.05, 20.0)
_BETA_PRIOR = 0.25  # as for few classes
_LOGIT_BOUND = 20.0
_MIN_RATE = 1e-4  # a noise rate that starts at 0 would stay there


@dataclass(frozen=True, eq=False)
class Evidence:
    """What all fits to one set of predictions share.

    Parameters
    ----------
    candidates
        Candidates of each example.
    labels, verified
        Noisy labels, and verified classes, ``WRONG_CLASS_UNKNOWN`` or −1; int64, shape (n,).
    log_unmixed
        u, with that of a single other class in the last column, shape (n, candidates + 1).
    rows
        The family of T.
    """

    candidates: Candidates
    labels: Ints
    verified: Ints
    log_unmixed: Floats
    rows: PooledRows

    @cached_property
    def rates(self) -> Ints:
        """Number of the noise rate of each candidate, and of others, int64, shape (n, candidates + 1)."""
        rates = self.rows.rate_of_class[self.candidates.classes]
        return np.hstack([rates, np.zeros((len(rates), 1), dtype=np.int64)])

    @cached_property
    def spread(self) -> Floats:
        """Share of the wrong labels of each candidate that name the label, shape (n, candidates + 1)."""
        others = self.rows.anchors.background[self.labels]
        return np.hstack([self.rows.spread(self.candidates.classes, self.labels[:, None]), others[:, None]])

    @cached_property
    def allowed(self) -> Floats:
        """1 where an example may be of a candidate, 0 elsewhere: verified examples are of one class.

        Where the label is known to be wrong, and no more, an example may be of any class but that.
        """
        is_true = self.candidates.classes == self.verified[:, None]
        is_other = self.candidates.classes != self.labels[:, None]
        is_wrong = (self.verified == WRONG_CLASS_UNKNOWN)[:, None]
        allowed = np.hstack([is_true, np.zeros((len(is_true), 1), dtype=bool)])
        allowed |= is_wrong & np.hstack([is_other, np.ones((len(is_other), 1), dtype=bool)])
        result: Floats = (allowed | (self.verified == -1)[:, None]).astype(np.float64)
        return result

    def class_probs(self, beta: float) -> Floats:
        """Return q, shape (n, candidates + 1)."""
        logits = beta * self.log_unmixed
        logits[:, -1] += np.log(self.candidates.n_others)
        q: Floats = softmax(logits, axis=1)
        return q

    def joint(self, q: Floats, noise_rates: Floats) -> Floats:
        """Return q_c T[c, label] where an example may be of the candidate, 0 elsewhere."""
        rates = noise_rates[self.rates]
        entries = rates * self.spread
        entries[:, 0] = 1 - rates[:, 0]  # the first candidate is the label
        joint: Floats = q * entries * self.allowed
        return joint


@dataclass(frozen=True, eq=False, repr=False)
class PooledFit:
    """Estimate of noise rates where classes are many.

    Parameters
    ----------
    evidence
        What the fit was made from.
    beta
        Calibration β.
    rates
        The shared noise rate of classes, and those of classes with their own; float64, shape (rates,).
    noise_rate
        The noise rate η.
    prior
        Share of each true class, shape (classes,).
    label_noise_rates
        Share of wrong labels among those of each class, shape (classes,); that of all without such labels.
    """

    evidence: Evidence
    beta: float
    rates: Floats
    noise_rate: float
    prior: Floats
    label_noise_rates: Floats

    def __repr__(self) -> str:
        """Return the noise rate and the size of the fit; its arrays fill pages."""
        return (
            f"PooledFit(noise_rate={self.noise_rate:.3f}, {len(self.evidence.labels):,} examples, "
            f"{self.prior.size:,} classes)"
        )

    @property
    def class_noise_rates(self) -> Floats:
        """Share of wrong labels among the examples of each class, shape (classes,)."""
        return self.rates[self.evidence.rows.rate_of_class]

    @property
    def transition(self) -> Floats:
        """T[true, noisy], float64, shape (classes, classes), computed at each access: it is large."""
        numbers = np.arange(len(self.prior))
        return self.entry_probs(numbers[:, None], numbers)

    def largest_entries(self) -> Floats:
        """Return the largest entry of each row of T, shape (classes,)."""
        rates = self.class_noise_rates
        largest: Floats = np.maximum(1 - rates, rates * self.evidence.rows.largest_spread)
        return largest

    @property
    def concentrations(self) -> Floats:
        """Sum of the squared wrong entries of each row of T, shape (classes,)."""
        return self.class_noise_rates**2 * self.evidence.rows.squared_spread()

    def candidate_posterior(self, *, verified: bool = True) -> Floats:
        """Return the probability of each candidate given image and label, shape (n, candidates + 1).

        Parameters
        ----------
        verified
            Whether verified classes are certain.
        """
        evidence = (
            self.evidence
            if verified
            else replace(self.evidence, verified=np.full_like(self.evidence.verified, -1))
        )
        joint = evidence.joint(evidence.class_probs(self.beta), self.rates)
        joint /= joint.sum(axis=1, keepdims=True) + 1e-300
        return joint

    def judge_labels(self, labels: Ints) -> LabelJudgement:
        """Return the probability that each label is wrong, with the most probable class.

        Parameters
        ----------
        labels
            The labels that were fitted.
        """
        if labels is not self.evidence.labels and not np.array_equal(labels, self.evidence.labels):
            raise ValueError("the labels are not those of the fit, whose candidates depend on them")
        posterior = self.candidate_posterior(verified=False)
        examples, best = np.arange(len(posterior)), posterior[:, :-1].argmax(axis=1)
        suggested = self.evidence.candidates.classes[examples, best]
        return LabelJudgement(1 - posterior[:, 0], suggested, posterior[examples, best])

    def agreement(self) -> Agreement:
        """Return how often labels name the class that the models predict, according to the fit."""
        q, candidates = self.evidence.class_probs(self.beta), self.evidence.candidates
        examples, best = np.arange(len(q)), q[:, :-1].argmax(axis=1)
        predicted = candidates.classes[examples, best]
        expected = (q[:, :-1] * self.entry_probs(candidates.classes, predicted[:, None])).sum(axis=1)
        return Agreement(predicted, q[examples, best], expected)

    def prior_of(self, weights: Floats) -> Floats:
        """Return the share of each true class among examples with these weights, shape (classes,)."""
        return _prior(self.evidence, self.candidate_posterior(verified=False), weights)

    def frequent_entries(self) -> tuple[Ints, Ints]:
        """Return true class and noisy label of the wrong entries of T that are no part of an even spread."""
        true, noisy = np.divmod(self.evidence.rows.anchors.keys, self.evidence.rows.n_classes)
        return true, noisy

    def entry_probs(self, true: Ints, noisy: Ints) -> Floats:
        """Return entries T[true, noisy], float64, in the shape to which `true` and `noisy` broadcast."""
        rates = self.class_noise_rates[true]
        probs: Floats = np.where(true == noisy, 1 - rates, rates * self.evidence.rows.spread(true, noisy))
        return probs


def describe_family(fit: PooledFit) -> str:
    """Return in one or two sentences which noise rates the fit has, and how wrong labels are spread."""
    rows = fit.evidence.rows
    n, n_own = rows.n_classes, rows.n_rates - 1
    n_shared, n_rare = n - n_own, int((rows.anchors.own < 0).sum())
    few = f"fewer than {OWN_RATE_LABELS} labels"
    if not n_own:
        text = f"Each of the {n:,} classes has {few}: all share one noise rate"
    elif n_shared:
        text = f"Of {n:,} classes the {n_shared:,} with {few} share one noise rate"
    else:
        text = f"Each of the {n:,} classes has a noise rate of its own"
    text += ", and the wrong labels of a class are taken to be spread as the models predict them."
    if not n_rare:
        return text
    return (
        f"{text} The {n_rare:,} classes with fewer than {OWN_ANCHOR_LABELS} labels share this spread too: if "
        "most wrong labels of such a class name one other class, the estimate is too low."
    )


def fit_pooled(predictions: HeldOutPredictions, clear: float = CLEAR) -> PooledFit:
    """Fit noise rates and calibration to held-out predictions of many classes.

    Parameters
    ----------
    predictions, clear
        As for :func:`dilution.diagnosis.noise_fit.fit_noise`.
    """
    labels = predictions.labels
    candidates = find_candidates(predictions.pred_probs, labels, predictions.verified)
    anchors, examples = find_pooled_anchors(
        predictions.pred_probs, candidates, labels, predictions.weights, clear
    )
    unmixed = anchors.unmix(candidates)
    unmixed[:, -1] /= candidates.n_others
    log_unmixed = np.log(unmixed + _FLOOR / candidates.n_classes)
    has_rate = np.bincount(labels, predictions.weights, minlength=candidates.n_classes) >= OWN_RATE_LABELS
    rows = PooledRows(anchors, np.where(has_rate, np.cumsum(has_rate), 0))
    evidence = Evidence(candidates, labels, predictions.verified, log_unmixed, rows)
    weights = predictions.weights[examples.rows]
    is_wrong = labels[examples.rows] != examples.predicted
    rate = rows.rate_of_class[examples.predicted]
    wrong = np.bincount(rate, weights * is_wrong, minlength=rows.n_rates)
    total = np.bincount(rate, weights, minlength=rows.n_rates)
    return maximise_pooled(evidence, predictions.weights, 1.0, (wrong + 0.2) / (total + 1.0))


def maximise_pooled(evidence: Evidence, weights: Floats, beta: float, rates: Floats) -> PooledFit:
    """Return the fit of maximum likelihood in β and the noise rates, found from a starting point by L-BFGS.

    Parameters
    ----------
    evidence
        Predictions, labels, and the family of T.
    weights
        Weight of each example, shape (n,).
    beta, rates
        Starting point.
    """
    loss = PooledLoss(evidence, weights)
    low, high = np.log(_BETA_BOUNDS)
    best = minimize(
        loss,
        np.r_[np.log(beta), logit(np.clip(rates, _MIN_RATE, 1 - _MIN_RATE))],
        jac=True,
        method="L-BFGS-B",
        bounds=[(float(low), float(high))] + [(-_LOGIT_BOUND, _LOGIT_BOUND)] * len(rates),
        options={"maxiter": _MAX_ITERATIONS, "maxfun": 2 * _MAX_ITERATIONS, "ftol": 1e-10},
    )
    return loss.fit(best.x)


class PooledLoss:
    """Mean negative log likelihood and its gradient, in log β and the logits of the noise rates."""

    def __init__(self, evidence: Evidence, weights: Floats) -> None:
        self._evidence = evidence
        self._total_weight = float(weights.sum())
        self._weights = weights / self._total_weight

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        """Return the loss, in nats per example, and its gradient."""
        evidence, beta = self._evidence, float(np.exp(parameters[0]))
        rates = expit(parameters[1:])
        q = evidence.class_probs(beta)
        joint = evidence.joint(q, rates)
        likelihood = joint.sum(axis=1) + 1e-300
        true = joint * (self._weights / likelihood)[:, None]
        slope = true - q * self._weights[:, None]
        counts = np.bincount(evidence.rates.ravel(), true.ravel(), minlength=len(rates))
        right = np.bincount(evidence.rates[:, 0], true[:, 0], minlength=len(rates))
        logit_slope = counts - right - counts * rates
        prior_slope = parameters[0] / _BETA_PRIOR**2 / self._total_weight
        beta_slope = beta * (slope * evidence.log_unmixed).sum() - prior_slope
        loss = float(parameters[0]) * prior_slope / 2 - float(self._weights @ np.log(likelihood))
        return loss, -np.r_[beta_slope, logit_slope]

    def fit(self, parameters: Floats) -> PooledFit:
        """Return the fit with these parameters."""
        evidence, beta = self._evidence, float(np.exp(parameters[0]))
        rates = expit(parameters[1:])
        joint = evidence.joint(evidence.class_probs(beta), rates)
        posterior = joint / (joint.sum(axis=1, keepdims=True) + 1e-300)
        n_classes = evidence.candidates.n_classes
        wrong = 1 - posterior[:, 0]
        total = np.bincount(evidence.labels, self._weights, minlength=n_classes)
        wrong_total = np.bincount(evidence.labels, self._weights * wrong, minlength=n_classes)
        noise_rate = float(self._weights @ wrong)
        # A bootstrap sample may have no label of a class.
        of_labels = np.divide(wrong_total, total, out=np.full(n_classes, noise_rate), where=total > 0)
        prior = _prior(evidence, posterior, self._weights)
        return PooledFit(evidence, beta, rates, noise_rate, prior, of_labels)


def _prior(evidence: Evidence, posterior: Floats, weights: Floats) -> Floats:
    """Return the share of each true class; the other classes of an example have theirs by label frequency."""
    weighted = posterior * weights[:, None]
    classes = evidence.candidates.classes
    prior = np.bincount(classes.ravel(), weighted[:, :-1].ravel(), minlength=evidence.candidates.n_classes)
    prior += weighted[:, -1].sum() * evidence.rows.anchors.background
    normalised: Floats = prior / max(prior.sum(), 1e-300)
    return normalised
