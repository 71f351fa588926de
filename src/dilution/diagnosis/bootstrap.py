"""How far an estimate can be trusted: the fit repeated on examples drawn anew."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from dilution.diagnosis.noise_fit import Floats, Mixture, Observed, climbed, scores_of
from dilution.utils import rng

DRAWS = 100


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float


def bootstrap(seen: Observed, found: Mixture, *, draws: int = DRAWS, seed: int = 0) -> list[Mixture]:
    """Fit again to examples drawn with replacement.

    The networks are not trained anew: given their predictions the held-out labels are independent. Matrix and
    calibration are fitted anew in each draw.

    Parameters
    ----------
    seen
        Predictions and labels.
    found
        The fit to them, from which each draw begins.
    draws
        How many.
    seed
        Root seed.
    """
    scores = scores_of(seen, found.corners)
    return [climbed(replace(seen, weights=weights), scores, found) for weights in _weights(seen, draws, seed)]


def interval(
    found: Mixture,
    drawn: list[Mixture],
    measure: Callable[[Mixture], float],
    other: Mixture | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return a measure, a share, of a fit with its interval.

    Parameters
    ----------
    found, drawn
        The fit, and its bootstrap draws, whose percentiles are taken.
    measure
        Function of a fit → a share in [0, 1].
    other
        A fit that is made as well in another way. By as much as its measure differs the interval is
        widened to both sides: chance among the examples is not all that an estimate hangs on.
    level
        Confidence.
    """
    values = np.array([measure(each) for each in drawn])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    value = measure(found)
    apart = 0.0 if other is None else abs(measure(other) - value)
    return Estimate(
        value, max(0.0, min(float(low), value) - apart), min(1.0, max(float(high), value) + apart)
    )


def _weights(seen: Observed, draws: int, seed: int) -> Iterator[Floats]:
    n = len(seen.labels)
    random = np.random.default_rng(rng.stream(seed, "bootstrap") & (2**63 - 1))
    for _ in range(draws):
        yield np.bincount(random.integers(n, size=n), minlength=n).astype(np.float64) * seen.weights
