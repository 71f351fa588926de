"""The noise fit: transition matrix and calibration from held-out predictions and noisy labels.

The models were trained on noisy labels and never saw those of the examples that they predict here.
Their probabilities are first *unmixed* with anchor points (`anchors.py`), then *calibrated*:
q = softmax(β u + b) is the probability of each true class, where u is the logarithm of the unmixed
probabilities. The calibration β, b and the transition matrix T maximise the likelihood of the
held-out noisy labels under

    P(noisy label k | image x) = Σ_c q_c(x) T[c, k].

No true label is needed. Errors of the models and errors of the labels differ in how labels agree
with the models: agreement grows with the models' confidence up to a plateau. On the plateau the
models are right, and labels that disagree there are wrong. So each class must have examples that
are unmistakable. Where classes overlap in the data, no method that sees labels alone can tell the
overlap from noise, and it counts as noise. (T = I with the models' own probabilities fits as well:
the solution without noise. Unmixing with the anchors excludes it.)
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import softmax

from dilution.diagnosis.anchors import CLEAR, Floats, Ints, find_anchors, unmix
from dilution.diagnosis.noise_likelihood import NegativeLogLikelihood
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN

_MIN_PROB = 1e-3  # an unmixed probability of 0 would never be doubted
_MAX_ITERATIONS = 200
_MIN_ENTRY = 1e-4  # an entry of T that starts at 0 would stay there


@dataclass(frozen=True)
class HeldOutPredictions:
    """Held-out predictions with the labels that they are compared with.

    Parameters
    ----------
    pred_probs
        Held-out probabilities of the noisy labels, float64, shape (n, classes).
    labels
        Noisy labels, int64, shape (n,).
    verified
        True classes where somebody has looked them up, ``WRONG_CLASS_UNKNOWN`` where the label is known to be
        wrong, −1 elsewhere; int64, shape (n,).
    weights
        Weight of each example, float64, shape (n,): counts of a bootstrap sample, or all 1.
    """

    pred_probs: Floats
    labels: Ints
    verified: Ints
    weights: Floats

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.pred_probs.shape[1])

    def log_unmixed(self, anchors: Floats) -> Floats:
        """Return u, the logarithms of the probabilities unmixed with anchors, shape (n, classes)."""
        logarithms: Floats = np.log(unmix(self.pred_probs, anchors) + _MIN_PROB)
        return logarithms


class LabelJudgement(NamedTuple):
    """What a fit says of each label.

    Parameters
    ----------
    p_wrong
        Probability that the label is wrong, float64, shape (n,).
    suggested
        Most probable class given image and label, int64, shape (n,).
    p_suggested
        Its probability, float64, shape (n,).
    """

    p_wrong: Floats
    suggested: Ints
    p_suggested: Floats


class Agreement(NamedTuple):
    """What a fit expects of labels that name the predicted class.

    Parameters
    ----------
    predicted
        Most probable class before the label is known, int64, shape (n,).
    confidence
        Its probability, float64, shape (n,).
    expected
        Probability that the label names it, float64, shape (n,).
    """

    predicted: Ints
    confidence: Floats
    expected: Floats


@dataclass(frozen=True, repr=False)
class NoiseFit:
    """Estimate of true classes and noise.

    Parameters
    ----------
    transition
        T[true, noisy], float64, shape (classes, classes), rows sum to 1.
    beta, bias
        Calibration: β, and b of shape (classes,).
    class_probs
        q: probability of each true class before the label is known, shape (n, classes).
    prior
        Share of each true class, shape (classes,).
    anchors
        Mean predicted probabilities of the clearest examples of each class, shape (classes, classes).
    """

    transition: Floats
    beta: float
    bias: Floats
    class_probs: Floats
    prior: Floats
    anchors: Floats

    def __repr__(self) -> str:
        """Return the noise rate and the size of the fit; its arrays fill pages."""
        n, classes = self.class_probs.shape
        return f"NoiseFit(noise_rate={self.noise_rate:.3f}, {n:,} examples, {classes} classes)"

    @property
    def noise_rate(self) -> float:
        """The noise rate η: the share of wrong labels."""
        return 1 - float(np.dot(self.prior, np.diag(self.transition)))

    @property
    def class_noise_rates(self) -> Floats:
        """Share of wrong labels among the examples of each class, shape (classes,)."""
        rates: Floats = 1 - np.diag(self.transition)
        return rates

    @property
    def label_noise_rates(self) -> Floats:
        """Share of wrong labels among those of each class, shape (classes,); NaN for a label of no class."""
        rates = np.full(len(self.prior), np.nan)
        for label in range(len(rates)):
            labelled = self.prior * self.transition[:, label]
            if labelled.sum() > 0:
                rates[label] = 1 - labelled[label] / labelled.sum()
        return rates

    def posterior(self, labels: Ints) -> Floats:
        """Return the probability of each true class given image and noisy label, shape (n, classes)."""
        joint: Floats = self.class_probs * self.transition[:, labels].T
        joint /= joint.sum(axis=1, keepdims=True)
        return joint

    def judge_labels(self, labels: Ints) -> LabelJudgement:
        """Return the probability that each label is wrong, with the most probable class."""
        posterior, examples = self.posterior(labels), np.arange(len(labels))
        suggested = posterior.argmax(axis=1)
        return LabelJudgement(1 - posterior[examples, labels], suggested, posterior[examples, suggested])

    def agreement(self) -> Agreement:
        """Return how often labels name the class that the models predict, according to the fit."""
        predicted = self.class_probs.argmax(axis=1)
        expected = (self.class_probs * self.transition[:, predicted].T).sum(axis=1)
        return Agreement(predicted, self.class_probs.max(axis=1), expected)


def fit_noise(predictions: HeldOutPredictions, clear: float = CLEAR) -> NoiseFit:
    """Fit transition matrix and calibration to held-out predictions and their labels.

    Parameters
    ----------
    predictions
        Predictions and labels.
    clear
        Unmixed probability from which an example is an anchor point; above 1 only the clearest
        examples of each class are.
    """
    classes = predictions.classes
    anchors, transition = find_anchors(predictions.pred_probs, predictions.labels, predictions.weights, clear)
    even = np.full(classes, 1 / classes)
    start = NoiseFit(transition, 1.0, np.zeros(classes), predictions.pred_probs, even, anchors)
    fit = _named_by_labels(maximise_likelihood(predictions, predictions.log_unmixed(anchors), start))
    if (predictions.verified != -1).any():
        fit = _named_by_verified(fit, predictions)
        fit = maximise_likelihood(predictions, predictions.log_unmixed(fit.anchors), fit)
    return fit


def maximise_likelihood(predictions: HeldOutPredictions, log_unmixed: Floats, start: NoiseFit) -> NoiseFit:
    """Return the fit of maximum likelihood in T, β and b, found from a starting point by L-BFGS.

    Parameters
    ----------
    predictions
        Predictions and labels.
    log_unmixed
        As :meth:`HeldOutPredictions.log_unmixed` returns it.
    start
        Starting point; its anchors are kept.
    """
    loss = likelihood(predictions, log_unmixed)
    best = minimize(
        loss,
        parameters_of(start),
        jac=True,
        method="L-BFGS-B",
        bounds=loss.bounds,
        options={"maxiter": _MAX_ITERATIONS, "maxfun": 2 * _MAX_ITERATIONS, "ftol": 1e-10},
    )
    return fit_with(loss, best.x, start.anchors, log_unmixed)


def likelihood(predictions: HeldOutPredictions, log_unmixed: Floats) -> NegativeLogLikelihood:
    """Return the negative log likelihood of predictions with their labels and weights."""
    return NegativeLogLikelihood(log_unmixed, predictions.labels, predictions.verified, predictions.weights)


def parameters_of(fit: NoiseFit) -> Floats:
    """Return the parameters of a fit, as its likelihood takes them; entries of T are at least 10⁻⁴."""
    bias = fit.bias[1:] - fit.bias[0]
    parameters: Floats = np.r_[np.log(fit.beta), bias, np.log(fit.transition + _MIN_ENTRY).ravel()]
    return parameters


def fit_with(
    loss: NegativeLogLikelihood, parameters: Floats, anchors: Floats, log_unmixed: Floats
) -> NoiseFit:
    """Return the fit with these parameters, with the probabilities of all examples, of weight 0 too."""
    beta, bias, transition = loss.unpack(parameters)
    # as probabilities of a diagnosis that is opened again are computed, to the bit
    q = softmax(beta * log_unmixed + bias, axis=1)
    return NoiseFit(transition, beta, bias, q, loss.prior(parameters), anchors)


def _named_by_labels(fit: NoiseFit) -> NoiseFit:
    """Assign classes to the groups of a fit so that each group's most frequent label names it.

    Labels alone cannot show which name is right: the right label is assumed to be the most frequent.
    """
    return _assigned(fit, -(fit.prior[:, None] * fit.transition).T)


def _named_by_verified(fit: NoiseFit, predictions: HeldOutPredictions) -> NoiseFit:
    """Assign classes to the groups of a fit so that most verified examples of a group have its class.

    Examples whose label is known to be wrong speak against the class that it names.
    """
    known = np.flatnonzero(predictions.verified >= 0)
    wrong = np.flatnonzero(predictions.verified == WRONG_CLASS_UNKNOWN)
    posterior = fit.posterior(predictions.labels)
    counts = np.zeros((predictions.classes, predictions.classes))
    np.add.at(counts, predictions.verified[known], posterior[known])
    np.subtract.at(counts, predictions.labels[wrong], posterior[wrong])
    return _assigned(fit, -counts)


def _assigned(fit: NoiseFit, cost: Floats) -> NoiseFit:
    """Reorder the groups of a fit by the assignment of classes of least cost[class, group]."""
    _, order = linear_sum_assignment(cost)
    return replace(
        fit,
        transition=fit.transition[order],
        bias=fit.bias[order],
        class_probs=fit.class_probs[:, order],
        prior=fit.prior[order],
        anchors=fit.anchors[order],
    )
