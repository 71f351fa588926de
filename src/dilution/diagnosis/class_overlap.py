"""Overlap of classes in the features of a table, which looks like label noise: how much it may be.

The noise fit takes the clearest examples of a class to be of that class. Where classes overlap in the
features, as incomes do, even these are sometimes of another, and such examples count as wrong labels. Labels
alone cannot tell the two apart, so the estimate is an upper bound there.

Images are left out: a person can tell their classes apart, so what models confuse is no overlap.

Both numbers were chosen on the tables on which they are judged (docs/log.md): that is no test of them.
"""

from dilution.data import Arrays
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit

LARGE = 0.06
"""Overlap, as a share of the labels, from which an estimate of the noise rate is an upper bound."""
_CLEAREST = 0.75  # mistakes among the clearest examples, per mistake among all
_LEAST_SLOPE = 0.02  # of the noise rate that is shown by the one that is there


def measure_overlap(fit: NoiseFit | PooledFit, examples: Arrays, verified_share: float = 0.0) -> float:
    """Return by how much the noise rate may be overestimated because classes overlap.

    The models doubt a share u = 1 − mean(max P(class | features)) of their own predictions. If the clearest
    examples of a class are mistaken with probability ε = ¾ u, the noise rate η̂ that they show is

        1 − η̂ = (1 − ε)(1 − η) + ε η/(m − 1),

    where η is the rate of wrong labels and m the number of classes. The result is η̂ − η, at most η̂.

    Parameters
    ----------
    fit
        The noise fit.
    examples
        The examples, whose shape tells features from images.
    verified_share
        Share of the examples with a verified label, in [0, 1]: of these nothing is estimated.

    Returns
    -------
    float
        A share of the labels, in [0, 1]; 0 for images, and for fits of many classes.
    """
    if tuple(examples.shape[1:]) != (1, 1) or not isinstance(fit, NoiseFit):
        return 0.0
    mistaken = _CLEAREST * (1 - float(fit.class_probs.max(axis=1).mean()))
    slope = 1 - mistaken - mistaken / (fit.prior.size - 1)
    rate = 0.0 if slope < _LEAST_SLOPE else max(0.0, (fit.noise_rate - mistaken) / slope)
    return (1 - verified_share) * max(0.0, fit.noise_rate - rate)
