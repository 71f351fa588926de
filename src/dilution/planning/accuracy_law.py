"""The law of accuracy: what clean examples and noise give, fitted to a pilot, with its uncertainty.

Accuracy A depends on the n clean examples and the noise level α through one number, the clean examples that
would do as much without noise:

    logit A = a + b x + c x²,    x = log n − γ log(1 + κ α)

With κ = γ = 1, n grows as 1 + α for a given accuracy: the paper's finding that the threshold grows linearly.
All n(1 + α) labels then grow as (1 + α)², so that a label of noise α is worth 1/(1 + α)² of a clean one.

κ and γ are taken on a grid; given both, the rest is linear regression. Weights over the grid are posterior
probabilities, so that what the pilot cannot tell about an extrapolation shows in its interval.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from dilution.errors import InputError

Floats = NDArray[np.float64]

_KAPPA = np.exp(np.linspace(-1.5, 1.5, 25))
_GAMMA = np.linspace(0.4, 1.6, 25)
_PRIOR_KAPPA, _PRIOR_GAMMA = 0.5, 0.25  # deviations of log κ around 0 and of γ around 1
_DRAWS = 2000
_EDGE = 2e-3  # accuracies are kept this far from 0 and 1, where a logit means little
_LEAST_RUNS = 8


@dataclass(frozen=True)
class Law:
    """A sample of the laws that a pilot allows.

    Parameters
    ----------
    kappa, gamma
        κ and γ, float64, shape (draws,).
    curve
        a, b and c, shape (draws, 3), for x less `centre`.
    centre
        What x is counted from.
    sigma
        Standard deviation of a run's logit around the law, shape (draws,).
    reach
        Largest x of the pilot, shape (draws,): beyond it the law is not tested.
    alpha
        Largest noise level of the pilot.
    """

    kappa: Floats
    gamma: Floats
    curve: Floats
    centre: float
    sigma: Floats
    reach: Floats
    alpha: float

    def discount(self, alpha: float) -> Floats:
        """Return log((1 + κ α)^γ), shape (draws,): by how much noise shrinks the logarithm of n."""
        found: Floats = self.gamma * np.log1p(self.kappa * alpha)
        return found

    def accuracy(self, n: float, alpha: float) -> Floats:
        """Return the accuracy that n clean examples give at a noise level, shape (draws,).

        A parabola that has reached its top stays there: more examples do no harm.
        """
        a, b, c = self.curve.T
        x = math.log(n) - self.discount(alpha) - self.centre
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.where(c < 0, np.minimum(x, -b / (2 * c)), x)
        found: Floats = expit(a + b * x + c * x**2)
        return found

    def needed(self, accuracy: float, alpha: float) -> Floats:
        """Return the clean examples that an accuracy takes, shape (draws,); infinite if out of reach."""
        a, b, c = self.curve.T
        goal = float(logit(accuracy))
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(b**2 - 4 * c * (a - goal))
            # The rising branch; written so that c may be 0.
            x = 2 * (goal - a) / (b + root)
            n = np.exp(x + self.centre + self.discount(alpha))
        found: Floats = np.where(np.isfinite(n) & (b + root > 0), n, np.inf)
        return found

    def price(self, alpha: float) -> Floats:
        """Return what a label of noise α is worth in clean ones, shape (draws,); theory says 1/(1 + α)².

        n clean examples and their noisy labels, n(1 + α) in all, do as much as n/(1 + κ α)^γ clean ones.
        """
        found: Floats = np.exp(-self.discount(alpha)) / (1 + alpha)
        return found

    def exponent(self, alpha: float) -> Floats:
        """Return p where the price is 1/(1 + α)^p, shape (draws,); theory says 2."""
        found: Floats = -np.log(self.price(alpha)) / math.log1p(alpha)
        return found


def fit_law(n: Floats, alpha: Floats, accuracy: Floats, n_test: int, seed: int = 0) -> Law:
    """Fit the law to runs.

    Parameters
    ----------
    n, alpha, accuracy
        Clean examples, noise level and test accuracy of each run, float64, shape (runs,).
    n_test
        Test examples behind each accuracy: a run counts less where they leave its logit uncertain.
    seed
        Of the sample of laws.

    Raises
    ------
    InputError
        If there are fewer than eight runs, or all have one n or one noise level.
    """
    if len(n) < _LEAST_RUNS or len(np.unique(n)) < 3 or len(np.unique(alpha)) < 2:
        raise InputError(
            f"the pilot has {len(n)} runs at {len(np.unique(n))} sizes and {len(np.unique(alpha))} noise "
            f"levels; the law takes at least {_LEAST_RUNS} runs, 3 sizes and 2 noise levels. Add runs."
        )
    share = np.clip(accuracy, _EDGE, 1 - _EDGE)
    y = logit(share)
    # What the test set leaves open, and as much again for seeds; the scale of both is fitted.
    weight = 1 / (1 / (n_test * share * (1 - share)) + np.median(1 / (n_test * share * (1 - share))))
    weight /= weight.mean()
    centre = float(np.log(n).mean() - np.log1p(alpha).mean())
    fits = [_regression(n, alpha, y, weight, centre, kappa, gamma) for kappa in _KAPPA for gamma in _GAMMA]
    log_weight = np.array([each.log_weight for each in fits])
    chances = np.exp(log_weight - log_weight.max())
    random = np.random.default_rng(seed)
    chosen = random.choice(len(fits), size=_DRAWS, p=chances / chances.sum())
    free = len(n) - 3
    scale = np.sqrt(free / random.chisquare(free, size=_DRAWS))
    kappa, gamma, curve, sigma, reach = [], [], [], [], []
    for place, stretch in zip(chosen, scale, strict=True):
        each = fits[place]
        kappa.append(each.kappa)
        gamma.append(each.gamma)
        sigma.append(each.sigma * stretch)
        curve.append(each.mean + stretch * each.root @ random.normal(size=3))
        reach.append(each.reach)
    return Law(
        np.array(kappa),
        np.array(gamma),
        np.array(curve),
        centre,
        np.array(sigma),
        np.array(reach),
        float(alpha.max()),
    )


@dataclass(frozen=True)
class _Fit:
    """Linear regression at one κ and γ."""

    kappa: float
    gamma: float
    mean: Floats
    root: Floats  # of the covariance of `mean`
    sigma: float
    reach: float
    log_weight: float


def _regression(
    n: Floats, alpha: Floats, y: Floats, weight: Floats, centre: float, kappa: float, gamma: float
) -> _Fit:
    x = np.log(n) - gamma * np.log1p(kappa * alpha) - centre
    design = np.vander(x, 3, increasing=True)
    # A curve that bends upward has no place: accuracy saturates. A weak prior keeps c near 0.
    ridge = np.diag([0.0, 0.0, 1.0])
    gram = design.T @ (weight[:, None] * design) + ridge
    mean: Floats = np.linalg.solve(gram, design.T @ (weight * y)).astype(np.float64)
    rest = float(weight @ (y - design @ mean) ** 2) + float(mean @ ridge @ mean)
    free = len(y) - 3
    sigma = math.sqrt(rest / free)
    root = sigma * np.linalg.cholesky(np.linalg.inv(gram))
    prior = (math.log(kappa) / _PRIOR_KAPPA) ** 2 / 2 + ((gamma - 1) / _PRIOR_GAMMA) ** 2 / 2
    log_weight = -free / 2 * math.log(rest) - float(np.linalg.slogdet(gram)[1]) / 2 - prior
    return _Fit(kappa, gamma, mean, root, sigma, float(x.max()) + centre, log_weight)


def quantiles(values: Floats, level: float = 0.8) -> tuple[float, float, float]:
    """Return the median and the bounds of the central interval; infinite values count as large."""
    low, middle, high = np.quantile(values, [(1 - level) / 2, 0.5, (1 + level) / 2], method="nearest")
    return float(middle), float(low), float(high)
