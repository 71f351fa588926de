"""In which order the false classes come: those that look alike first, last, or neither."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.stats import rankdata

from dilution.data import Arrays
from dilution.diagnosis.bootstrap import Estimate
from dilution.diagnosis.noise_fit import Floats, Mixture
from dilution.training.evaluation import Normalise
from dilution.utils import rng

OrderName = Literal["confusing", "reverse", "random", "undecided"]

_SHUFFLES = 2000
_SIGNIFICANT = 0.01
_LEAST = 5  # classes: four can be given each other's likeness in 24 ways only
_HEARD = 0.2  # share of an even prior below which a class is left out
_CHUNK = 1 << 12  # images held as floats at once


@dataclass(frozen=True)
class NoiseOrder:
    """How the false labels of a class follow the likeness of the classes.

    Parameters
    ----------
    kind
        ``"confusing"``: classes that look alike are named for one another; ``"reverse"``: they are avoided;
        ``"random"``: neither was found; ``"undecided"``: too few classes, or noise without a pattern.
    correlation
        Of the shares of the false classes with their rank in likeness, the mean over classes, with the 2.5
        and 97.5 percentiles over bootstrap draws, widened as other intervals are. Shares are not ranked:
        most are small and differ by chance.
    p
        How probable a correlation as far from 0 is if the order is random.
    """

    kind: OrderName
    correlation: Estimate
    p: float


def likeness(data: Arrays, found: Mixture) -> Floats:
    """Return how alike classes look: minus the distance of their mean images, shape (classes, classes).

    Images count for the class that the networks see in them, whatever their label, so that noise among the
    labels is not read as likeness.
    """
    taken = torch.from_numpy(found.posterior.argmax(axis=1))
    classes = len(found.matrix)
    sums = torch.zeros(classes, math.prod(data.shape), dtype=torch.float64)
    # Each channel, and so each feature of a table, counts in units of its own deviation.
    prepare = Normalise(data, torch.arange(len(data)))
    for rows in torch.arange(len(data)).split(_CHUNK):
        sums.index_add_(0, taken[rows], prepare(data.take(rows)).flatten(1).double())
    means = sums / taken.bincount(minlength=classes).clamp_min(1)[:, None]
    distance: Floats = torch.cdist(means, means).numpy()
    return -distance


def order_of(
    found: Mixture,
    drawn: list[Mixture],
    other: Mixture,
    alike: Floats,
    *,
    patterned: bool,
    seed: int = 0,
) -> NoiseOrder:
    """Compare the false labels of a fit with how alike the classes look.

    The p-value is that of Mantel's test: the classes are given each other's likeness, rows and columns
    together, so that a class that many are mistaken for is no likeness. Classes of hardly any examples are
    left out.

    Parameters
    ----------
    found, drawn, other
        The fit, its bootstrap draws, and the fit that takes only the surest examples for clear.
    alike
        As :func:`likeness` returns it.
    patterned
        Whether false labels are spread unevenly at all.
    seed
        Root seed of the shuffles.
    """
    classes = len(found.matrix)
    nothing = NoiseOrder("undecided", Estimate(math.nan, math.nan, math.nan), math.nan)
    if not patterned:
        return nothing
    heard = np.flatnonzero(found.prior > _HEARD / classes)
    if len(heard) < _LEAST:
        return nothing
    ranks = _ranks(alike[np.ix_(heard, heard)])
    ours, theirs, *again = (
        _correlation(each.matrix[np.ix_(heard, heard)], ranks) for each in (found, other, *drawn)
    )
    low, high = np.quantile(again, [0.025, 0.975])
    apart = abs(theirs - ours)
    random = np.random.default_rng(rng.stream(seed, "order of noise") & (2**63 - 1))
    shuffles = (heard[random.permutation(len(heard))] for _ in range(_SHUFFLES))
    matrix = found.matrix[np.ix_(heard, heard)]
    chance = [_correlation(matrix, _ranks(alike[np.ix_(at, at)])) for at in shuffles]
    p = (1 + sum(abs(each) >= abs(ours) for each in chance)) / (1 + _SHUFFLES)
    kind: OrderName = "random"
    if p < _SIGNIFICANT:
        kind = "confusing" if ours > 0 else "reverse"
    return NoiseOrder(kind, Estimate(ours, min(float(low), ours) - apart, max(float(high), ours) + apart), p)


def _off(table: Floats) -> Floats:
    """Return the entries off the diagonal, row by row."""
    kept: Floats = table[~np.eye(len(table), dtype=bool)].reshape(len(table), -1)
    return kept


def _standard(rows: Floats) -> Floats:
    """Return rows with mean 0 and deviation 1."""
    centred: Floats = rows - rows.mean(axis=1, keepdims=True)
    centred /= np.maximum(centred.std(axis=1, keepdims=True), 1e-12)
    return centred


def _ranks(alike: Floats) -> Floats:
    return _standard(rankdata(_off(alike), axis=1))


def _correlation(matrix: Floats, ranks: Floats) -> float:
    return float((_standard(_off(matrix)) * ranks).mean())
