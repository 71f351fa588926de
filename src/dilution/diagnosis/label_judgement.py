"""The probability that each label is wrong, averaged over what the labels leave open.

One fit is too sure of its labels, for two reasons. Its T and calibration are estimates: the average over
bootstrap fits allows for that. And it takes the clearest examples of a class to be of that class, while
classes may overlap in the features: then a part of what looks like noise is none, and labels alone cannot
tell how much. So each fit counts in two versions with equal weight, without overlap and with

    M = I + s (T − I),   q' = q M,   T' = M⁻¹ T,   s = min(4 u²/η, ½),

where M[c, k] is the probability that an example whose features are those of class c is of class k, u = 1 −
mean(max q) the share of its own predictions that the fit doubts, and η its noise rate: about the share s of
the apparent noise is overlap, the more the models doubt themselves, and at most half. Both versions explain
the labels as well, q' T' = q T, but for entries of T' just below 0, which become a small number.

The rule for s was chosen on the 62 diagnoses of tables and photographs on which it is judged (docs/log.md):
that is no test of it. The methods of ``dilution.fit`` ask the fit alone: validation decides which is used.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.noise_fit import LabelJudgement, NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit

_LEAST_ENTRY = 1e-4
_OVERLAP_PER_DOUBT, _MOST_OVERLAP = 4.0, 0.5


class _Version(NamedTuple):
    class_probs: Floats  # shape (n, classes)
    transition: Floats  # shape (classes, classes)


def judge_labels(
    fit: NoiseFit | PooledFit, bootstrap_fits: Sequence[NoiseFit | PooledFit], labels: Ints
) -> LabelJudgement:
    """Return the probability that each label is wrong, with the most probable class.

    Parameters
    ----------
    fit
        The noise fit to the labels. Of many classes it alone is asked.
    bootstrap_fits
        The fits to its bootstrap samples; without any, `fit` takes their place.
    labels
        The labels, int64, shape (n,).
    """
    if isinstance(fit, PooledFit):
        return fit.judge_labels(labels)
    samples = [sample for sample in bootstrap_fits if isinstance(sample, NoiseFit)] or [fit]
    posterior, examples = np.zeros_like(fit.class_probs), np.arange(len(labels))
    for sample in samples:
        for version in (_Version(sample.class_probs, sample.transition), _with_overlap(sample)):
            joint = version.class_probs * version.transition[:, labels].T
            posterior += joint / joint.sum(axis=1, keepdims=True)
    posterior /= 2 * len(samples)
    suggested = posterior.argmax(axis=1)
    return LabelJudgement(1 - posterior[examples, labels], suggested, posterior[examples, suggested])


def _with_overlap(fit: NoiseFit) -> _Version:
    """Return the version of a fit in which a part of the apparent noise is overlap of classes."""
    doubt = 1 - float(fit.class_probs.max(axis=1).mean())
    share = min(_OVERLAP_PER_DOUBT * doubt**2 / max(fit.noise_rate, _LEAST_ENTRY), _MOST_OVERLAP)
    identity = np.eye(len(fit.prior))
    confusion = identity + share * (fit.transition - identity)
    transition = np.maximum(np.linalg.solve(confusion, fit.transition), _LEAST_ENTRY)
    return _Version(fit.class_probs @ confusion, transition / transition.sum(axis=1, keepdims=True))
