"""Methods against label noise: what each has models learn, and where it is expected to help."""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from dilution.diagnosis import Diagnosis
from dilution.diagnosis.many_classes import MANY_CLASSES, has_many_classes
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit
from dilution.fitting.learners import Floats, Ints, Targets

Method = Literal["plain", "forward", "prune", "reweight"]
METHODS: tuple[Method, ...] = get_args(Method)
"""How a model is fitted under label noise."""

DESCRIPTIONS: Mapping[Method, str] = {
    "plain": "the labels as they are",
    "forward": "forward correction with the estimated transition matrix",
    "prune": "label issues left out",
    "reweight": "each label weighted by the probability that it is right",
}
"""The methods in words."""

ISSUE = 0.5
"""Probability of being wrong above which a label is left out by ``"prune"``."""

_LEAST_NOISE_RATE = 0.01  # below it there is nothing to correct
_LEAST_SINGULAR_VALUE = 0.05  # of T; below it classes are hardly told apart by their labels
_LEAST_PER_CLASS = 3  # examples of a class that must remain


def obstacle(
    method: Method,
    diagnosis: Diagnosis,
    noise: NoiseFit | PooledFit,
    *,
    takes_transition: bool,
    takes_weights: bool,
) -> str:
    """Return why a method is not expected to help, as the end of a sentence; empty if it may.

    Parameters
    ----------
    method
        The method.
    diagnosis
        The diagnosis of the labels.
    noise
        The noise that is assumed.
    takes_transition
        Whether any of the models can be trained with forward correction.
    takes_weights
        Whether examples may have different weights.
    """
    if method == "plain":
        return ""
    if not diagnosis.learned:
        return "held-out labels are predicted no better than by their frequencies, so the noise is unknown"
    if noise.noise_rate < _LEAST_NOISE_RATE:
        return f"the estimated noise rate is {noise.noise_rate:.1%}: there is nothing to correct"
    if method == "forward":
        return _obstacle_to_forward(noise, takes_transition=takes_transition)
    if method == "reweight":
        return "" if takes_weights else "the fit of the model takes no sample_weight"
    p_wrong = noise.judge_labels(diagnosis.labels).p_wrong
    if not (p_wrong > ISSUE).any():
        return "no label is more likely wrong than right"
    kept = np.bincount(diagnosis.labels[p_wrong <= ISSUE], minlength=len(diagnosis.classes))
    if kept.min() < _LEAST_PER_CLASS:
        name = diagnosis.classes[int(kept.argmin())]
        return f"only {kept.min()} examples of the class {name!r} would remain"
    return ""


def _obstacle_to_forward(noise: NoiseFit | PooledFit, *, takes_transition: bool) -> str:
    if not takes_transition:
        return "only networks can be trained with it, by cross entropy"
    if has_many_classes(noise.prior.size):
        return f"its products with T take long: there are {noise.prior.size:,} classes, above {MANY_CLASSES}"
    smallest = float(np.linalg.svd(noise.transition, compute_uv=False)[-1])
    if smallest < _LEAST_SINGULAR_VALUE:
        return "the estimated transition matrix is nearly singular: labels hardly tell some classes apart"
    return ""


def make_targets(
    method: Method,
    labels: Ints,
    verified: Ints,
    sample_weight: Floats,
    noise: NoiseFit | PooledFit | None,
    classes: int,
) -> Targets:
    """Return what models learn under a method.

    A verified label replaces the given one under every method, and has its whole weight. The probability that
    another label is wrong comes from models that never saw the label, nor those of its copies.

    Parameters
    ----------
    method
        The method.
    labels
        Noisy labels, int64, shape (n,).
    verified
        Verified class of each example, −1 where there is none; int64, shape (n,).
    sample_weight
        Weight of each example, float64, shape (n,).
    noise
        The noise that is assumed, which ``"plain"`` does not use.
    classes
        Number of classes.
    """
    known = verified >= 0
    rows, effective = np.arange(len(labels)), np.where(known, verified, labels)
    weights = np.zeros((len(labels), classes))
    if method == "plain" or noise is None:
        weights[rows, effective] = sample_weight
        return Targets(weights)
    if method == "forward":
        if not known.any():
            weights[rows, labels] = sample_weight
            return Targets(weights, noise.transition)
        both = np.zeros((len(labels), 2 * classes))
        both[rows, np.where(known, classes + verified, labels)] = sample_weight
        return Targets(both, np.concatenate([noise.transition, np.eye(classes)], axis=1))
    p_right = np.where(known, 1.0, 1 - noise.judge_labels(labels).p_wrong)
    factor = p_right if method == "reweight" else (p_right >= 1 - ISSUE).astype(np.float64)
    weights[rows, effective] = sample_weight * factor
    return Targets(weights)
