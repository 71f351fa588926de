"""In which order the false classes come: those that look alike first, last, or neither."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.stats import rankdata

from dilution import seeds
from dilution.data import Arrays
from dilution.diagnosis.intervals import Estimate
from dilution.diagnosis.mixture import Floats, Mixture

OrderName = Literal["confusing", "reverse", "random", "undecided"]

_SHUFFLES = 2000
_SIGNIFICANT = 0.01
_LEAST = 4  # classes: with three a class has two false ones, and any order is likely by chance
_CHUNK = 1 << 12  # pictures held as floats at once


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
        and 97.5 percentiles over bootstrap draws. Shares are not ranked: most are small and differ by chance.
    p
        How probable a correlation as far from 0 is if the order is random.
    """

    kind: OrderName
    correlation: Estimate
    p: float


def likeness(data: Arrays, found: Mixture) -> Floats:
    """Return how alike classes look: minus the distance of their mean pictures, shape (classes, classes).

    Pictures count for the class that the networks see in them, whatever their label, so that noise among the
    labels is not read as likeness.
    """
    taken = torch.from_numpy(found.posterior.argmax(axis=1))
    classes = len(found.matrix)
    sums = torch.zeros(classes, math.prod(data.shape), dtype=torch.float64)
    for rows in torch.arange(len(data)).split(_CHUNK):
        sums.index_add_(0, taken[rows], data.take(rows).flatten(1).double())
    means = sums / taken.bincount(minlength=classes).clamp_min(1)[:, None]
    distance: Floats = torch.cdist(means, means).numpy()
    return -distance


def order_of(
    found: Mixture, drawn: list[Mixture], alike: Floats, *, patterned: bool, seed: int = 0
) -> NoiseOrder:
    """Compare the false labels of a fit with how alike the classes look.

    The p-value is from shuffles of the false classes within each true class.

    Parameters
    ----------
    found, drawn
        The fit, and its bootstrap draws.
    alike
        As :func:`likeness` returns it.
    patterned
        Whether false labels are spread unevenly at all.
    seed
        Root seed of the shuffles.
    """
    classes = len(found.matrix)
    if classes < _LEAST or not patterned:
        return NoiseOrder("undecided", Estimate(math.nan, math.nan, math.nan), math.nan)
    ranks = _standard(rankdata(_off(alike), axis=1))
    heard = found.prior > 0.2 / classes  # rows of hardly any examples say nothing
    ours = _standard(_off(found.matrix))
    value = _correlation(ours, ranks, heard)
    again = [_correlation(_standard(_off(each.matrix)), ranks, heard) for each in drawn]
    low, high = np.quantile(again, [0.025, 0.975])
    random = np.random.default_rng(seeds.stream(seed, "order of noise") & (2**63 - 1))
    chance = [_correlation(random.permuted(ours, axis=1), ranks, heard) for _ in range(_SHUFFLES)]
    p = (1 + sum(abs(each) >= abs(value) for each in chance)) / (1 + _SHUFFLES)
    kind: OrderName = "random"
    if p < _SIGNIFICANT:
        kind = "confusing" if value > 0 else "reverse"
    return NoiseOrder(kind, Estimate(value, min(float(low), value), max(float(high), value)), p)


def _off(table: Floats) -> Floats:
    """Return the entries off the diagonal, row by row."""
    kept: Floats = table[~np.eye(len(table), dtype=bool)].reshape(len(table), -1)
    return kept


def _standard(rows: Floats) -> Floats:
    """Return rows with mean 0 and deviation 1."""
    centred: Floats = rows - rows.mean(axis=1, keepdims=True)
    centred /= np.maximum(centred.std(axis=1, keepdims=True), 1e-12)
    return centred


def _correlation(one: Floats, other: Floats, heard: np.ndarray) -> float:
    return float((one * other).mean(axis=1)[heard].mean())
