"""Test whether wrong labels favour similar classes."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from dilution.data import Arrays
from dilution.diagnosis.anchors import Floats
from dilution.diagnosis.bootstrap import interval
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.noise_pattern import RARE_CLASS, off_diagonal
from dilution.training.evaluation import Normalise
from dilution.utils import rng
from dilution.utils.estimate import UNKNOWN, Estimate

OrderName = Literal["confusing", "reverse", "random", "undecided"]

_PERMUTATIONS = 2000
_SIGNIFICANCE = 0.01
_MIN_CLASSES = 5  # four classes have 24 permutations only
_CHUNK = 1 << 12  # images held as floats at once


@dataclass(frozen=True)
class SimilarityTest:
    """Result of the test whether wrong labels favour similar classes.

    Parameters
    ----------
    kind
        As the orders of :func:`dilution.structured`: ``"confusing"``: wrong labels favour similar
        classes; ``"reverse"``: they avoid them; ``"random"``: neither is significant;
        ``"undecided"``: there are too few classes, or the noise has no pattern.
    correlation
        Correlation of the shares of the wrong classes with their rank by similarity, mean over
        classes, with a 95 % interval. Shares are not ranked: most are small and differ by chance.
    p_value
        Probability of a correlation at least this far from 0 if similarity plays no part.
    """

    kind: OrderName
    correlation: Estimate
    p_value: float


def class_similarity(data: Arrays, fit: NoiseFit) -> Floats:
    """Return the similarity of classes: minus the distance of their mean images, shape (classes, classes).

    Each image counts for the class that the models predict, whatever its label, so that label noise
    does not make classes similar.

    Parameters
    ----------
    data
        The examples.
    fit
        The noise fit to them.
    """
    predicted = torch.from_numpy(fit.class_probs.argmax(axis=1))
    classes = len(fit.transition)
    sums = torch.zeros(classes, math.prod(data.shape), dtype=torch.float64)
    # Each channel, and so each feature of a table, counts in units of its own deviation.
    prepare = Normalise(data, torch.arange(len(data)))
    for rows in torch.arange(len(data)).split(_CHUNK):
        sums.index_add_(0, predicted[rows], prepare(data.take(rows)).flatten(1).double())
    means = sums / predicted.bincount(minlength=classes).clamp_min(1)[:, None]
    distances: Floats = torch.cdist(means, means).numpy()
    return -distances


def similarity_test(
    fit: NoiseFit,
    bootstrap_fits: list[NoiseFit],
    alternative: NoiseFit,
    similarity: Floats,
    *,
    patterned: bool,
    seed: int = 0,
) -> SimilarityTest:
    """Test whether wrong labels favour similar classes, by Mantel's permutation test.

    Rows and columns of the similarity matrix are permuted together, so that a class which many
    wrong labels name does not count as similar to all. Rare classes are left out.

    Parameters
    ----------
    fit, bootstrap_fits, alternative
        As for :func:`dilution.diagnosis.bootstrap.interval`.
    similarity
        As :func:`class_similarity` returns it.
    patterned
        Whether wrong labels are spread unevenly at all.
    seed
        Root seed of the permutations.
    """
    tested = np.flatnonzero(fit.prior > RARE_CLASS / len(fit.transition))
    if not patterned or len(tested) < _MIN_CLASSES:
        return SimilarityTest("undecided", UNKNOWN, math.nan)
    block = np.ix_(tested, tested)
    ranks = _similarity_ranks(similarity[block])
    correlation = interval(
        fit,
        bootstrap_fits,
        lambda sample: _correlation(_wrong_shares(sample.transition[block]), ranks),
        alternative,
        bounds=(-math.inf, math.inf),
    )
    shares = _wrong_shares(fit.transition[block])
    random = np.random.default_rng(rng.stream(seed, "order of noise") & (2**63 - 1))
    extreme = 0
    for _ in range(_PERMUTATIONS):
        order = random.permutation(len(tested))
        extreme += abs(_correlation(shares, ranks[np.ix_(order, order)])) >= abs(correlation.value)
    p_value = (1 + extreme) / (1 + _PERMUTATIONS)
    kind: OrderName = "random"
    if p_value < _SIGNIFICANCE:
        kind = "confusing" if correlation.value > 0 else "reverse"
    return SimilarityTest(kind, correlation, p_value)


def _wrong_shares(transition: Floats) -> Floats:
    """Return the shares of the wrong classes, standardised in each row; the diagonal is 0."""
    return _with_zero_diagonal(_standardised(off_diagonal(transition)))


def _similarity_ranks(similarity: Floats) -> Floats:
    """Return the ranks of the other classes by similarity, standardised in each row; the diagonal is 0."""
    from scipy.stats import rankdata  # lazily: it takes a while to import

    return _with_zero_diagonal(_standardised(rankdata(off_diagonal(similarity), axis=1)))


def _standardised(rows: Floats) -> Floats:
    """Return rows with mean 0 and deviation 1."""
    centred: Floats = rows - rows.mean(axis=1, keepdims=True)
    centred /= np.maximum(centred.std(axis=1, keepdims=True), 1e-12)
    return centred


def _with_zero_diagonal(entries: Floats) -> Floats:
    """Return the square matrix that has these entries off its diagonal."""
    matrix = np.zeros((len(entries), len(entries)))
    matrix[~np.eye(len(entries), dtype=bool)] = entries.ravel()
    return matrix


def _correlation(shares: Floats, ranks: Floats) -> float:
    """Return the correlation of standardised entries off the diagonal, mean over rows."""
    return float((shares * ranks).sum()) / (len(ranks) * (len(ranks) - 1))
