"""The noise that methods assume: uniform noise, unless the labels show with certainty that it is not uniform.

The noise fit of a diagnosis has a number per entry of T and a bias per class. Where classes overlap and
labels are very noisy, some of these can hardly be told from labels: with two classes, a smaller noise rate of
the one and a larger one of the other look like other shares of the classes. A report shows that as wide
intervals. A model that is trained with such a T takes one class for the other. So uniform noise, which has
two numbers, is assumed, unless

- a likelihood ratio test rejects it at a level of 1 %, or
- it leaves some classes without clear examples while others have them: the noise fit rests on the assumption
  that every class has some.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import chdtri, softmax

from dilution.diagnosis import Diagnosis
from dilution.diagnosis.bootstrap import sample_weights
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.fitting.learners import Floats, Ints

_BETA_BOUNDS = (0.05, 20.0)
_BETA_PRIOR = 0.25  # standard deviation of log β around 0, as in the noise fit
_LEAST_RATE = 1e-4
_LEVEL = 0.01  # of the test of uniform noise
_CLEAREST = 0.1  # share of the examples of a class; without clear ones, their mean probability is below
_UNCLEAR, _CLEAR = 0.9, 0.95  # the first of these, and with clear ones above the second
_MIN_CLEAR = 5
_LEAST = 1e-300


@dataclass(frozen=True)
class AssumedNoise:
    """The noise fit that methods use.

    Parameters
    ----------
    fit
        The fit.
    bootstrap_fits
        Fits to bootstrap samples.
    alternative
        An equally justified fit.
    is_uniform
        Whether it is uniform noise.
    """

    fit: NoiseFit | PooledFit
    bootstrap_fits: Sequence[NoiseFit | PooledFit]
    alternative: NoiseFit | PooledFit
    is_uniform: bool


def choose_noise(diagnosis: Diagnosis, verified: Ints, groups: Ints | None, seed: int) -> AssumedNoise:
    """Return uniform noise fitted to the predictions of a diagnosis, or its own fit if that is surely better.

    Parameters
    ----------
    diagnosis
        The diagnosis.
    verified
        Verified classes, −1 where there is none; int64, shape (n,).
    groups
        Group of each example, int64, shape (n,). Default: each example is a group.
    seed
        Root seed of the bootstrap.
    """
    own, labels = diagnosis.fit, diagnosis.labels
    n_samples = len(diagnosis.bootstrap_fits)
    if isinstance(own, PooledFit):
        return AssumedNoise(own, diagnosis.bootstrap_fits, diagnosis.alternative_fit, is_uniform=False)
    predictions = HeldOutPredictions(
        diagnosis.cross_validation.pred_probs, labels, verified, np.ones(len(labels))
    )
    log_unmixed, anchors = _unmixed_evenly(predictions, own)
    uniform = _fit_uniform(predictions, log_unmixed, anchors)
    classes = predictions.classes
    n_parameters = classes * (classes - 1) + (classes - 1) - 1  # of T and the biases, beyond the noise rate
    n_independent = len(labels) if groups is None else len(np.unique(groups))
    gain = _log_likelihood(own, predictions) - _log_likelihood(uniform, predictions)
    gain *= n_independent / len(labels)  # copies are no further evidence
    if 2 * gain > chdtri(n_parameters, _LEVEL) or _has_unclear_classes(uniform):
        return AssumedNoise(own, diagnosis.bootstrap_fits, diagnosis.alternative_fit, is_uniform=False)
    fits = [
        _fit_uniform(replace(predictions, weights=weights), log_unmixed, anchors)
        for weights in sample_weights(len(labels), groups, n_samples, seed)
    ]
    other = diagnosis.alternative_fit
    assert isinstance(other, NoiseFit)
    alternative = _fit_uniform(predictions, *_unmixed_evenly(predictions, other))
    return AssumedNoise(uniform, fits, alternative, is_uniform=True)


def _has_unclear_classes(fit: NoiseFit) -> bool:
    """Return whether some classes have no clear examples though others have."""
    n, classes = fit.class_probs.shape
    count = min(n, max(_MIN_CLEAR, round(_CLEAREST * n / classes)))
    clearest = np.sort(fit.class_probs, axis=0)[-count:].mean(axis=0)
    return bool(clearest.min() < _UNCLEAR and clearest.max() >= _CLEAR)


def _unmixed_evenly(predictions: HeldOutPredictions, fit: NoiseFit) -> tuple[Floats, Floats]:
    """Return logarithms of the probabilities unmixed with anchors of uniform noise, and these anchors."""
    classes = predictions.classes
    own = float(np.average(np.diag(fit.anchors), weights=fit.prior))
    anchors = np.full((classes, classes), (1 - own) / (classes - 1))
    np.fill_diagonal(anchors, own)
    return predictions.log_unmixed(anchors), anchors


def _fit_uniform(predictions: HeldOutPredictions, log_unmixed: Floats, anchors: Floats) -> NoiseFit:
    """Return the fit of maximum likelihood in the noise rate and β."""
    classes, rows = predictions.classes, np.arange(len(predictions.labels))
    total = predictions.weights.sum()
    largest = 1 - 1 / classes

    def loss(parameters: Floats) -> float:
        log_beta, rate = parameters
        q = softmax(np.exp(log_beta) * log_unmixed, axis=1)
        other = rate / (classes - 1)
        likelihood = other + (1 - rate - other) * q[rows, predictions.labels]
        known = predictions.verified >= 0
        if known.any():
            true, label = predictions.verified[known], predictions.labels[known]
            likelihood[known] = q[known, true] * np.where(true == label, 1 - rate, other)
        wrong = predictions.verified == WRONG_CLASS_UNKNOWN
        likelihood[wrong] = other * (1 - q[rows, predictions.labels][wrong])
        prior = log_beta**2 / (2 * _BETA_PRIOR**2)
        return float((prior - predictions.weights @ np.log(likelihood + _LEAST)) / total)

    low, high = np.log(_BETA_BOUNDS)
    starts = np.linspace(_LEAST_RATE, largest, 8)[:-1]
    first = min(starts, key=lambda rate: loss(np.array([0.0, rate])))
    best = minimize(
        loss, np.array([0.0, first]), method="L-BFGS-B", bounds=[(low, high), (_LEAST_RATE, largest)]
    )
    beta, rate = float(np.exp(best.x[0])), float(best.x[1])
    transition = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    q = softmax(beta * log_unmixed, axis=1)
    fit = NoiseFit(transition, beta, np.zeros(classes), q, np.full(classes, 1 / classes), anchors)
    return replace(fit, prior=predictions.weights @ fit.posterior(predictions.labels) / total)


def _log_likelihood(fit: NoiseFit, predictions: HeldOutPredictions) -> float:
    """Return the log likelihood of labels, and of verified classes with them, in nats."""
    joint = fit.class_probs * fit.transition[:, predictions.labels].T
    known = predictions.verified >= 0
    likelihood = joint.sum(axis=1)
    likelihood[known] = joint[known, predictions.verified[known]]
    wrong = np.flatnonzero(predictions.verified == WRONG_CLASS_UNKNOWN)
    likelihood[wrong] -= joint[wrong, predictions.labels[wrong]]
    return float(predictions.weights @ np.log(likelihood + _LEAST))
