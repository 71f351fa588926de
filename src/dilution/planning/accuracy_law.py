"""The law of accuracy: test accuracy by clean examples and noise level, fitted to a pilot.

Accuracy A depends on the n clean examples and the noise level α through one number, the effective
number of examples: the clean examples that would do as much without noise.

    logit A = a + b x + c x²,    x = log n − γ log(1 + κ α)

With κ = γ = 1 the n for a given accuracy grows as 1 + α: the paper's finding that the threshold
grows linearly. All n(1 + α) labels then grow as (1 + α)², so that a label of noise level α is worth
1/(1 + α)² of a clean one.

κ and γ are taken on a grid; given both, the rest is linear regression. The weights over the grid
are posterior probabilities, so that the interval of an extrapolation shows what the pilot leaves open.
Their prior is centred on κ = γ = 1 and their grid has ends: an exponent far from the theory, such as 1, is
pulled towards it or cannot be represented. A plan shows the exponent of the prior beside the measured one.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from dilution.errors import InputError

Floats = NDArray[np.float64]

LEVEL = 0.8
"""Probability that an interval of a plan contains the true number."""

# Steps of 0.03 and 0.0125, well below the width of a posterior: a grid of twice the step already made
# 80 % intervals of the value of a label too narrow.
_KAPPAS = np.exp(np.linspace(-1.5, 1.5, 97))
_GAMMAS = np.linspace(0.4, 1.6, 97)
_KAPPA_PRIOR, _GAMMA_PRIOR = 0.5, 0.25  # standard deviations of log κ around 0 and of γ around 1
_DRAWS = 2000
_MARGIN = 2e-3  # accuracies are kept this far from 0 and 1, where a logit means little
_EXACT = 1e-9  # squared logits: residuals of fits that differ from the accuracies by rounding alone
_MIN_RUNS, _MIN_SIZES, _MIN_LEVELS = 8, 3, 2


@dataclass(frozen=True, repr=False)
class AccuracyLaw:
    """Posterior draws of the law of accuracy.

    Parameters
    ----------
    kappa, gamma
        κ and γ, float64, shape (draws,).
    coefficients
        a, b and c for x − `centre`, shape (draws, 3).
    centre
        Origin of x.
    sigma
        Standard deviation of a run's logit around the law, shape (draws,).
    max_x
        Largest x of the pilot, shape (draws,): beyond it the law is an extrapolation.
    max_alpha
        Largest noise level of the pilot.
    """

    kappa: Floats
    gamma: Floats
    coefficients: Floats
    centre: float
    sigma: Floats
    max_x: Floats
    max_alpha: float

    def __repr__(self) -> str:
        """Return the medians of κ and γ, and the number of draws."""
        kappa, gamma = float(np.median(self.kappa)), float(np.median(self.gamma))
        return f"AccuracyLaw(kappa={kappa:.3g}, gamma={gamma:.3g}, draws={len(self.kappa)})"

    def log_discount(self, alpha: float) -> Floats:
        """Return γ log(1 + κ α), shape (draws,): how much noise reduces the logarithm of n."""
        discount: Floats = self.gamma * np.log1p(self.kappa * alpha)
        return discount

    def accuracy(self, n: float, alpha: float) -> Floats:
        """Return the accuracy with n clean examples at a noise level, shape (draws,).

        Beyond the top of a parabola accuracy stays constant: more examples do no harm.
        """
        a, b, c = self.coefficients.T
        x = math.log(n) - self.log_discount(alpha) - self.centre
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.where(c < 0, np.minimum(x, -b / (2 * c)), x)
        accuracy: Floats = scipy.special.expit(a + b * x + c * x**2)
        return accuracy

    def n_needed(self, accuracy: float, alpha: float) -> Floats:
        """Return the clean examples needed for an accuracy, shape (draws,); infinite if out of reach."""
        a, b, c = self.coefficients.T
        target = float(scipy.special.logit(accuracy))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # what overflows is out of reach
            root = np.sqrt(b**2 - 4 * c * (a - target))
            # The rising branch; written so that c may be 0.
            x = 2 * (target - a) / (b + root)
            n = np.exp(x + self.centre + self.log_discount(alpha))
        needed: Floats = np.where(np.isfinite(n) & (b + root > 0), n, np.inf)
        return needed

    def label_value(self, alpha: float) -> Floats:
        """Return the value of a label of noise level α in clean labels, shape (draws,).

        n clean examples and their noisy labels, n(1 + α) labels in total, do as much as
        n/(1 + κ α)^γ clean ones. With κ = γ = 1 the value is 1/(1 + α)².
        """
        value: Floats = np.exp(-self.log_discount(alpha)) / (1 + alpha)
        return value

    def exponent(self, alpha: float) -> Floats:
        """Return p such that a label is worth 1/(1 + α)^p clean ones, shape (draws,); theory: 2."""
        exponent: Floats = -np.log(self.label_value(alpha)) / math.log1p(alpha)
        return exponent


def prior_exponent(alpha: float) -> tuple[float, float, float]:
    """Return the exponent of :meth:`AccuracyLaw.exponent` that the prior alone gives: median and interval.

    The prior holds κ and γ near 1, and with them the exponent near the theory: what a pilot measures is shown
    beside it.

    Parameters
    ----------
    alpha
        Noise level.
    """
    kappa, gamma = (axis.ravel() for axis in np.meshgrid(_KAPPAS, _GAMMAS, indexing="ij"))
    weights = np.exp(-_minus_log_prior(kappa, gamma))
    exponents = 1 + gamma * np.log1p(kappa * alpha) / math.log1p(alpha)
    order = np.argsort(exponents)
    shares = np.cumsum(weights[order]) / weights.sum()
    places = np.searchsorted(shares, [0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2])
    median, low, high = exponents[order][places].tolist()
    return median, low, high


def _minus_log_prior(kappa: Floats, gamma: Floats) -> Floats:
    """Return the negative logarithm of the prior of κ and γ, up to a constant."""
    return (np.log(kappa) / _KAPPA_PRIOR) ** 2 / 2 + ((gamma - 1) / _GAMMA_PRIOR) ** 2 / 2


def fit_accuracy_law(n: Floats, alpha: Floats, accuracy: Floats, n_test: int, seed: int = 0) -> AccuracyLaw:
    """Fit the law of accuracy to the runs of a pilot.

    Parameters
    ----------
    n, alpha, accuracy
        Clean examples, noise level and test accuracy of each run, float64, shape (runs,).
    n_test
        Test examples behind each accuracy: a run has less weight where they leave its logit uncertain.
    seed
        Seed of the posterior draws.

    Raises
    ------
    InputError
        If there are too few runs, sizes or noise levels.
    """
    _check_runs(n, alpha)
    clipped = np.clip(accuracy, _MARGIN, 1 - _MARGIN)
    y = scipy.special.logit(clipped)
    # Variance from the test set, and as much again for the seeds; the scale of their sum is fitted.
    test_variance = 1 / (n_test * clipped * (1 - clipped))
    weight = 1 / (test_variance + np.median(test_variance))
    weight /= weight.mean()
    centre = float(np.log(n).mean() - np.log1p(alpha).mean())
    regressions = _regressions(n, alpha, y, weight, centre, float(weight @ test_variance) / len(y))
    return _draw_laws(regressions, centre, len(n) - 3, float(alpha.max()), seed)


def _check_runs(n: Floats, alpha: Floats) -> None:
    sizes, levels = len(np.unique(n)), len(np.unique(alpha))
    if len(n) < _MIN_RUNS or sizes < _MIN_SIZES or levels < _MIN_LEVELS:
        raise InputError(
            f"the pilot has {len(n)} runs with {sizes} sizes and {levels} noise levels; the law of accuracy "
            f"needs at least {_MIN_RUNS} runs, {_MIN_SIZES} sizes and {_MIN_LEVELS} noise levels. Add runs."
        )


@dataclass(frozen=True)
class _Regressions:
    """Linear regressions, one per pair of κ and γ; arrays of shape (pairs, ...)."""

    kappa: Floats
    gamma: Floats
    mean: Floats
    root: Floats  # of the covariance of `mean`
    sigma: Floats
    max_x: Floats
    log_weight: Floats


def _regressions(
    n: Floats, alpha: Floats, y: Floats, weight: Floats, centre: float, test_variance: float
) -> _Regressions:
    """Return the regressions; logits that a law fits exactly are as uncertain as the test set leaves them."""
    kappa, gamma = (axis.ravel() for axis in np.meshgrid(_KAPPAS, _GAMMAS, indexing="ij"))
    x = np.log(n) - gamma[:, None] * np.log1p(kappa[:, None] * alpha) - centre
    design = np.stack([np.ones_like(x), x, x**2], axis=2)
    # Accuracy saturates, so the curve must not bend upward: a weak prior keeps c near 0.
    ridge = np.diag([0.0, 0.0, 1.0])
    weighted = design * weight[:, None]
    gram = weighted.transpose(0, 2, 1) @ design + ridge
    mean: Floats = np.linalg.solve(gram, weighted.transpose(0, 2, 1) @ y[:, None])[:, :, 0].astype(np.float64)
    errors = y - (design @ mean[:, :, None])[:, :, 0]
    residual = errors**2 @ weight + np.einsum("gi,ij,gj->g", mean, ridge, mean)
    is_exact = residual <= _EXACT
    residual = np.maximum(residual, _EXACT)
    degrees = len(y) - 3
    sigma = np.sqrt(np.where(is_exact, test_variance, residual / degrees))
    root = sigma[:, None, None] * np.linalg.cholesky(np.linalg.inv(gram))
    log_weight = -degrees / 2 * np.log(residual) - np.linalg.slogdet(gram)[1] / 2
    log_weight -= _minus_log_prior(kappa, gamma)
    return _Regressions(kappa, gamma, mean, root, sigma, x.max(axis=1) + centre, log_weight)


def _draw_laws(
    regressions: _Regressions, centre: float, degrees: int, max_alpha: float, seed: int
) -> AccuracyLaw:
    """Draw laws from the posterior: κ and γ by their weights, the coefficients from a t distribution."""
    weights = np.exp(regressions.log_weight - regressions.log_weight.max())
    random = np.random.default_rng(seed)
    chosen = random.choice(len(weights), size=_DRAWS, p=weights / weights.sum())
    scales = np.sqrt(degrees / random.chisquare(degrees, size=_DRAWS))
    normal = random.normal(size=(_DRAWS, 3, 1))
    errors = scales[:, None] * (regressions.root[chosen] @ normal)[:, :, 0]
    return AccuracyLaw(
        kappa=regressions.kappa[chosen],
        gamma=regressions.gamma[chosen],
        coefficients=regressions.mean[chosen] + errors,
        centre=centre,
        sigma=regressions.sigma[chosen] * scales,
        max_x=regressions.max_x[chosen],
        max_alpha=max_alpha,
    )


def median_and_interval(values: Floats, level: float = LEVEL) -> tuple[float, float, float]:
    """Return the median and the bounds of the central interval; infinite values count as large."""
    low, middle, high = np.quantile(values, [(1 - level) / 2, 0.5, (1 + level) / 2], method="nearest")
    return float(middle), float(low), float(high)
