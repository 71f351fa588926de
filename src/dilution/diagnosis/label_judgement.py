"""The probability that each label is wrong, averaged over what the labels leave open.

One fit is too sure of its labels, for two reasons. Its T and calibration are estimates: the average over
bootstrap fits allows for that. And it takes the clearest examples of a class to be of that class, while
classes may overlap in the features: labels alone cannot tell how much. So each fit counts in two versions
with equal weight, without overlap and with more overlap the more the models doubt their predictions:

    ε = min(4 u, ¾) u,   M = (1 − ε) I + ε/(m − 1) (1 − I),   q' = q M,   T' = M⁻¹ T,

where u = 1 − mean(max q) is the share of its own predictions that the fit doubts, and m the number of
classes. Both versions explain the labels equally well: q' T' = q T. (Entries of T' below 0 are set to a small
number, and rows are scaled to 1.)

The rule for ε was chosen on the 62 diagnoses of tables and photographs on which it is judged (docs/log.md):
that is no test of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.noise_fit import LabelJudgement, NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit

_MOST_FITS = 25  # an average of so many is within a hundredth of that of all
_LEAST_ENTRY = 1e-4
_MISTAKEN_PER_DOUBT, _MOST_MISTAKEN = 4.0, 0.75  # ε/u²; and the largest ε/u, with which M can be inverted


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
    step = -(-len(samples) // _MOST_FITS)
    used, examples = samples[::step], np.arange(len(labels))
    posterior = np.zeros_like(fit.class_probs)
    for sample in used:
        for version in (_Version(sample.class_probs, sample.transition), _with_overlap(sample)):
            joint = version.class_probs * version.transition[:, labels].T
            posterior += joint / joint.sum(axis=1, keepdims=True)
    posterior /= 2 * len(used)
    suggested = posterior.argmax(axis=1)
    return LabelJudgement(1 - posterior[examples, labels], suggested, posterior[examples, suggested])


def _with_overlap(fit: NoiseFit) -> _Version:
    """Return the version of a fit in which classes overlap as much as it doubts its predictions."""
    classes = len(fit.prior)
    doubt = 1 - float(fit.class_probs.max(axis=1).mean())
    mistaken = min(_MISTAKEN_PER_DOUBT * doubt, _MOST_MISTAKEN) * doubt
    other = mistaken / (classes - 1)
    kept = 1 - mistaken - other  # M = kept I + other 1, and its rows sum to 1
    transition = (fit.transition - other * fit.transition.sum(axis=0)) / kept
    transition = np.maximum(transition, _LEAST_ENTRY)
    return _Version(kept * fit.class_probs + other, transition / transition.sum(axis=1, keepdims=True))
