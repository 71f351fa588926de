"""The law of thresholds: how the clean examples that an accuracy requires grow with the noise level.

The law is n = n₀(1 + κα)^b. It is a straight line at b = 1, a square root at b = ½, a parabola at b = 2.
Each threshold counts by its own interval. A threshold comes from a fit to a few runs, so its standard error
is an estimate with few degrees of freedom, and its deviation from the law follows a Student t distribution:

    D(n₀, κ, b) = Σ_i (ν_i + 1) log(1 + e_i²/ν_i),    e_i = (log n_i − log n₀ − b log(1 + κ α_i))/s_i

The best law has the smallest D. The interval of b holds the exponents whose best D exceeds that by no more
than a critical value. With so few thresholds the 95 % quantile of χ² with one degree of freedom would make it
too narrow; it is multiplied by the mean excess in simulations from the best straight line (Bartlett 1937).
There are as many as tell it from the excesses of ½, 1 and 2, on which a verdict rests.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from dilution.utils.estimate import Estimate, central_interval

Floats = NDArray[np.float64]

SQUARE_ROOT, LINE, PARABOLA = 0.5, 1.0, 2.0
"""Exponents of the rule: a straight line, and the laws that it must be told from."""

_SMALLEST, _LARGEST = 0.05, 10.0  # exponents beyond count as 0 and infinite
_STARTS = np.array([0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.5])  # exponents from which the best one is searched
_KAPPAS = np.exp(np.linspace(math.log(1e-3), math.log(1e3), 16))  # from which the best κ is searched
_LEAST_ERROR = 1e-3  # a standard error below it would be an accident of a few runs
_CALIBRATIONS, _SIMULATIONS, _DRAWS = 2_048, 512, 2_000  # the first two are powers of two for Sobol
_MOST_CALIBRATIONS = 64  # simulations of a critical value
_CALIBRATION_ERROR = 0.01  # of one simulation, relative, measured over 64 of them
_RESOLVED = 4.0  # standard errors that tell a critical value from an excess
_STEPS = 16  # of a search
_POWER_SEED = 1  # of the simulations of power
_ROUNDS = 6  # of reweighting: the deviations of a t distribution are weighted by their size
_LEVEL = 0.95


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of one accuracy at several noise levels.

    Parameters
    ----------
    alpha
        Noise levels, float64, shape (m,).
    log_n
        Logarithm of the clean examples at each, shape (m,).
    error
        Its standard error, shape (m,).
    freedom
        Degrees of freedom of the standard error, shape (m,).
    left_out
        Noise levels whose threshold has no bounded interval.
    """

    alpha: Floats
    log_n: Floats
    error: Floats
    freedom: Floats
    left_out: tuple[float, ...] = ()

    @classmethod
    def of(cls, points: pd.DataFrame) -> "Thresholds":
        """Return the thresholds of points with Fieller intervals.

        Parameters
        ----------
        points
            ``alpha``; ``mean``, ``low`` and ``high`` in clean examples, a 95 % interval; ``seeds``, the
            number of runs in the fit, which has two degrees of freedom less.
        """
        points = points.sort_values("alpha")
        freedom = points["seeds"].to_numpy(dtype=np.float64) - 2
        bounded = (points["low"] > 0) & np.isfinite(points["high"]) & (freedom >= 1)
        kept, freedom = points[bounded], freedom[bounded.to_numpy()]
        width = np.log(kept["high"].to_numpy() / kept["low"].to_numpy())
        return cls(
            kept["alpha"].to_numpy(dtype=np.float64),
            np.log(kept["mean"].to_numpy(dtype=np.float64)),
            np.maximum(width / 2 / scipy.special.stdtrit(freedom, 0.5 + _LEVEL / 2), _LEAST_ERROR),
            freedom,
            tuple(points.loc[~bounded, "alpha"]),
        )

    def __len__(self) -> int:
        """Return the number of noise levels."""
        return len(self.alpha)


@dataclass(frozen=True)
class ThresholdLaw:
    """The law n = n₀(1 + κα)^b fitted to thresholds.

    Parameters
    ----------
    thresholds
        At least three.
    """

    thresholds: Thresholds

    @cached_property
    def exponent(self) -> Estimate:
        """The exponent b with its 95 % interval; a bound beyond 0.05 to 10 is 0 or infinite."""
        best = float(self._best.exponent[0])
        return Estimate(best, self._bound(best, _SMALLEST), self._bound(best, _LARGEST))

    @cached_property
    def critical_value(self) -> float:
        """The excess of D up to which an exponent lies in the interval.

        The mean of one simulation or more, up to 64: until it is four standard errors away from the excesses
        of the exponents ½, 1 and 2.
        """
        excesses = [self._excess(exponent) for exponent in (SQUARE_ROOT, LINE, PARABOLA)]
        simulated: list[float] = []
        for seed in _calibration_seeds():
            simulated.append(self._simulated_critical_value(seed))
            mean = float(np.mean(simulated))
            deviation = max(
                float(np.std(simulated, ddof=1)) if len(simulated) > 1 else 0.0, _CALIBRATION_ERROR * mean
            )
            nearest = min(abs(excess - mean) for excess in excesses)
            if nearest >= _RESOLVED * deviation / math.sqrt(len(simulated)):
                break
        return mean

    def _simulated_critical_value(self, seed: int) -> float:
        given = self.thresholds
        line = _fit(given, given.log_n[None], given.error[None], LINE)
        log_n, error = _simulate(given, line, _CALIBRATIONS, seed)
        straight, best = _fit(given, log_n, error, LINE).deviance, _fit(given, log_n, error).deviance
        excess = np.maximum(straight - best, 0)
        return float(scipy.special.chdtri(1, 1 - _LEVEL) * excess.mean())  # χ² with one degree has mean 1

    def _excess(self, exponent: float) -> float:
        """Return by how much the best D of an exponent exceeds the smallest."""
        given = self.thresholds
        fit = _fit(given, given.log_n[None], given.error[None], exponent)
        return float(fit.deviance[0] - self._best.deviance[0])

    def is_straight(self) -> bool:
        """Return whether the interval of b holds 1 and excludes ½ and 2."""
        given = self.thresholds
        return bool(self._are_straight(given.log_n[None], given.error[None])[0])

    def chance_of_straight(self, exponent: float) -> float:
        """Return how often the rule would find a straight line if this were the exponent: its power at 1.

        Parameters
        ----------
        exponent
            The exponent. Thresholds are simulated from the best law that has it, with the standard errors of
            the measured ones.
        """
        given = self.thresholds
        law = _fit(given, given.log_n[None], given.error[None], exponent)
        return float(self._are_straight(*_simulate(given, law, _SIMULATIONS, _POWER_SEED)).mean())

    @cached_property
    def line(self) -> tuple[float, float]:
        """The straight line n = a + s α that fits best: a and s in clean examples."""
        start, slope = _fit_lines(self.thresholds, self.thresholds.log_n[None])
        return float(start[0]), float(slope[0])

    def line_draws(self, seed: int) -> tuple[Floats, Floats]:
        """Return a and s of straight lines through thresholds drawn by their errors, each (draws,)."""
        given, random = self.thresholds, np.random.default_rng(seed)
        deviations = random.standard_t(given.freedom, (_DRAWS, len(given)))
        return _fit_lines(given, given.log_n + given.error * deviations)

    def n_on_line(self, alpha: float) -> Estimate:
        """Return the clean examples that the straight line requires at a noise level, with 95 % interval."""
        (start, slope), (starts, slopes) = self.line, self.line_draws(seed=0)
        low, high = central_interval(starts + slopes * alpha, _LEVEL)
        return Estimate(start + slope * alpha, float(low), float(high))

    @cached_property
    def _best(self) -> "_Fit":
        given = self.thresholds
        return _fit(given, given.log_n[None], given.error[None])

    def _bound(self, best: float, end: float) -> float:
        """Return where the excess of D reaches the critical value between the best exponent and an end."""

        def excess(log_exponent: float) -> float:
            return self._excess(math.exp(log_exponent)) - self.critical_value

        if excess(math.log(end)) <= 0:
            return 0.0 if end < best else math.inf
        if excess(math.log(best)) >= 0:
            return best
        return math.exp(float(scipy.optimize.brentq(excess, math.log(best), math.log(end), xtol=1e-3)))

    def _are_straight(self, log_n: Floats, error: Floats) -> NDArray[np.bool_]:
        """Return for each set of thresholds whether the interval of b holds 1 and excludes ½ and 2."""
        best = _fit(self.thresholds, log_n, error).deviance
        inside = {
            exponent: _fit(self.thresholds, log_n, error, exponent).deviance - best <= self.critical_value
            for exponent in (SQUARE_ROOT, LINE, PARABOLA)
        }
        straight: NDArray[np.bool_] = ~inside[SQUARE_ROOT] & inside[LINE] & ~inside[PARABOLA]
        return straight


def slope_difference(lower: ThresholdLaw, higher: ThresholdLaw) -> Estimate:
    """Return how much steeper the straight line of a higher accuracy is, in clean examples per unit of alpha.

    The thresholds of both are drawn independently. Runs that serve both make them alike, so that the interval
    is rather too wide than too narrow.
    """
    low, high = central_interval(higher.line_draws(seed=0)[1] - lower.line_draws(seed=1)[1], _LEVEL)
    return Estimate(higher.line[1] - lower.line[1], float(low), float(high))


def slope_estimate(law: ThresholdLaw) -> Estimate:
    """Return the slope of the straight line with its 95 % interval, in clean examples per unit of alpha."""
    low, high = central_interval(law.line_draws(seed=0)[1], _LEVEL)
    return Estimate(law.line[1], float(low), float(high))


@dataclass(frozen=True)
class _Fit:
    """The best laws of several sets of thresholds: D, exponent and κ, each of shape (sets,)."""

    deviance: Floats
    exponent: Floats
    kappa: Floats


def _fit(given: Thresholds, log_n: Floats, error: Floats, exponent: float | None = None) -> _Fit:
    """Return the best law of each set of thresholds, of a given exponent or of any.

    From the best of several starts, Levenberg's method finds log κ (and log b); n₀ follows from both.

    Parameters
    ----------
    given
        Noise levels and degrees of freedom.
    log_n, error
        Thresholds and standard errors, shape (sets, m).
    exponent
        The exponent; None: the best one from 0.05 to 10.
    """
    exponents = _STARTS if exponent is None else np.array([exponent])
    starts = np.log([[kappa, start] for kappa in _KAPPAS for start in exponents])
    # of one set all starts are tried at once; of many that would take much memory
    parts = [starts] if len(log_n) == 1 else np.split(starts, len(starts))
    precision = error**-2.0
    tried = [_deviance(given, log_n, precision, part, rounds=2)[0] for part in parts]
    place = starts[np.reshape(tried, (len(starts), -1)).argmin(axis=0)]
    low, high = np.log([_KAPPAS[0], _SMALLEST]), np.log([_KAPPAS[-1], _LARGEST])
    free = np.array([1.0, float(exponent is None)])
    best, weight, rest = _deviance(given, log_n, precision, place)
    damping = np.full(len(log_n), 0.1)
    for _ in range(_STEPS):
        gradient, curvature = _derivatives(given, place, weight, rest)
        ridge = damping * (curvature[:, 0, 0] + curvature[:, 1, 1]) + 1e-12
        step = np.linalg.solve(curvature + ridge[:, None, None] * np.eye(2), (gradient * free)[..., None])
        moved = np.clip(place + free * step[..., 0], low, high)
        deviance, new_weight, new_rest = _deviance(given, log_n, precision, moved)
        better = deviance < best
        best = np.where(better, deviance, best)
        place[better], weight[better], rest[better] = moved[better], new_weight[better], new_rest[better]
        damping = np.where(better, damping / 5, damping * 5).clip(1e-6, 1e6)
    return _Fit(best, np.exp(place[:, 1]), np.exp(place[:, 0]))


def _deviance(
    given: Thresholds, log_n: Floats, precision: Floats, place: Floats, rounds: int = _ROUNDS
) -> tuple[Floats, Floats, Floats]:
    """Return D at the best n₀, shape (sets,), with weights and deviations, shape (sets, m).

    Parameters
    ----------
    given, log_n
        As for :func:`_fit`.
    precision
        1/error², shape (sets, m).
    place
        log κ and log b of each set, or of all, shape (sets, 2) or (1, 2).
    rounds
        Rounds of reweighting.
    """
    rest = log_n - np.exp(place[:, 1:]) * np.log1p(np.exp(place[:, :1]) * given.alpha)
    weight, numerator = precision, precision * (given.freedom + 1)
    for _ in range(rounds):
        start = (rest * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
        deviation = rest - start
        squares = deviation**2
        squares *= precision
        weight = numerator / (given.freedom + squares)
    deviance = ((given.freedom + 1) * np.log1p(squares / given.freedom)).sum(axis=1)
    return deviance, weight, deviation


def _derivatives(given: Thresholds, place: Floats, weight: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """Return gradient and curvature of the weighted squares by (log κ, log b), of each set."""
    kappa, exponent = np.exp(place[:, :1]), np.exp(place[:, 1:])
    by_kappa = exponent * kappa * given.alpha / (1 + kappa * given.alpha)
    slopes = np.stack([by_kappa, exponent * np.log1p(kappa * given.alpha)], axis=1)
    weighted = slopes * weight[:, None]
    total = weight.sum(axis=1)[:, None, None]
    slopes = slopes - weighted.sum(axis=2, keepdims=True) / total  # n₀ is fitted too
    return (slopes @ (weight * rest)[..., None])[..., 0], (slopes * weight[:, None]) @ slopes.mT


def _calibration_seeds() -> Iterator[int]:
    """Return the seeds of the simulations of a critical value: others than that of the power."""
    seeds = (seed for seed in itertools.count() if seed != _POWER_SEED)
    return itertools.islice(seeds, _MOST_CALIBRATIONS)


def _simulate(given: Thresholds, law: _Fit, count: int, seed: int) -> tuple[Floats, Floats]:
    """Return thresholds and standard errors simulated from a law, each of shape (count, m).

    Points of a Sobol sequence take the place of random numbers: a mean over 2,048 of them is as exact as one
    over 20,000 random draws. Other seeds change a critical value by 1 % (standard deviation).
    """
    from scipy.stats import qmc  # half a second, which commands without this law need not wait for

    m = len(given)
    uniform = qmc.Sobol(2 * m, seed=seed).random(count)
    normal = scipy.special.ndtri(uniform[:, :m])
    log_n = law.exponent[0] * np.log1p(law.kappa[0] * given.alpha) + given.error * normal
    return log_n, given.error * np.sqrt(scipy.special.chdtri(given.freedom, uniform[:, m:]) / given.freedom)


def _fit_lines(given: Thresholds, log_n: Floats) -> tuple[Floats, Floats]:
    """Return starts and slopes of the straight lines in alpha that fit best, each of shape (sets,).

    Errors are relative, so the weights follow from the fitted line, and are found in rounds.
    """
    n = np.exp(log_n)
    fitted = n
    for _ in range(2 * _ROUNDS):
        deviation = given.error * np.maximum(fitted, n / 10)
        squares = ((n - fitted) / deviation) ** 2
        weight = (given.freedom + 1) / (given.freedom + squares) / deviation**2
        total = weight.sum(axis=-1)
        centre, level = (weight * given.alpha).sum(axis=-1) / total, (weight * n).sum(axis=-1) / total
        distance = given.alpha - centre[:, None]
        slope = (weight * distance * n).sum(axis=-1) / (weight * distance**2).sum(axis=-1)
        start = level - slope * centre
        fitted = start[:, None] + slope[:, None] * given.alpha
    return start, slope
