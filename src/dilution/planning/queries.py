"""What a law says to somebody who buys labels: what to expect, how many more, of which quality."""

import math
from dataclasses import dataclass

import numpy as np

from dilution.planning.accuracy_law import Floats, Law, quantiles

_STRETCH = 4.0  # times the largest effective size of the pilot that the curve is trusted
_NOISIER = 6.0  # times the largest 1 + α of the pilot that the discount is trusted
_NEVER = 0.1  # share of draws in which an accuracy may be out of reach
_LOOSE = 3.0  # an interval wider than this factor to either side is no answer
_MIXES = 41  # shares of the first of two kinds that are tried
_THIN = 100  # draws of the law that a mixture is judged by


@dataclass(frozen=True)
class Answer:
    """A number with its 80 % interval, or the reason why there is none.

    Parameters
    ----------
    value, low, high
        Median and central 80 % interval; NaN where it is refused.
    refused
        Why no number is given, and what pilot would settle it; empty where one is.
    """

    value: float
    low: float
    high: float
    refused: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of label that can be had.

    Parameters
    ----------
    alpha
        Its noise level: how many noisy labels there are to each clean one.
    price
        Of one label, in any unit.
    """

    alpha: float
    price: float


def refuse(why: str) -> Answer:
    """Return an answer that gives none."""
    return Answer(math.nan, math.nan, math.nan, why)


def labels_needed(law: Law, accuracy: float, alpha: float) -> Answer:
    """Return how many labels of a noise level an accuracy takes, clean and noisy counted.

    Parameters
    ----------
    law
        The law.
    accuracy
        Test accuracy wanted, in (0, 1).
    alpha
        Noise level of the labels.
    """
    n = law.needed(accuracy, alpha)
    if (why := beyond(law, n, alpha, f"an accuracy of {100 * accuracy:.4g} %")) is not None:
        return refuse(why)
    middle, low, high = quantiles(n)
    answer = Answer(middle * (1 + alpha), low * (1 + alpha), high * (1 + alpha))
    if answer.high / answer.low > _LOOSE**2:
        return refuse(
            f"The pilot leaves the labels for {100 * accuracy:.4g} % open between {answer.low:,.0f} and "
            f"{answer.high:,.0f}. More runs near there would settle it: a pilot with more seeds."
        )
    return answer


def expected_accuracy(law: Law, labels: float, alpha: float) -> Answer:
    """Return the accuracy to expect of a number of labels of a noise level."""
    n = labels / (1 + alpha)
    if (why := beyond(law, np.full(len(law.kappa), n), alpha, f"{labels:,.0f} labels")) is not None:
        return refuse(why)
    return Answer(*quantiles(law.accuracy(n, alpha)))


def beyond(law: Law, n: Floats, alpha: float, what: str) -> str | None:
    """Return why a question lies too far from the pilot for an answer; None if it does not."""
    if 1 + alpha > _NOISIER * (1 + law.alpha):
        return (
            f"α = {alpha:g} is more than {_NOISIER:g} times as noisy as the pilot, which went to α = "
            f"{law.alpha:g}. A pilot with runs at α = {alpha / 3:.0f} would settle it."
        )
    never = float(np.mean(~np.isfinite(n)))
    if never > _NEVER:
        return (
            f"The pilot does not show that {what} can be reached: in {never:.0%} of the laws that it allows, "
            "accuracy levels off below. A pilot with more examples would settle it, "
            "unless the labels themselves are noisy: `dilution diagnose` says."
        )
    x = np.log(np.where(np.isfinite(n), n, n[np.isfinite(n)].max())) - law.discount(alpha)
    ahead = float(np.exp(np.median(x - law.reach)))
    if ahead > _STRETCH:
        return (
            f"For {what} the law would have to hold at {ahead:.0f} times the largest size of the pilot; "
            f"it is trusted to {_STRETCH:g} times. A pilot with {math.ceil(ahead / _STRETCH)} times as "
            "many examples would settle it."
        )
    return None


def mixed(law: Law, labels: Floats, alphas: Floats) -> Floats:
    """Return the clean examples that do as much as mixtures of labels, shape (draws, mixtures).

    About a hundred draws are taken. Labels that are trained on alike are labels of one quality: N of them, of
    which Σ N_k/(1 + α_k) are the clean ones, have the noise level at which that is N/(1 + α).

    Parameters
    ----------
    law
        The law.
    labels
        How many of each kind, shape (mixtures, kinds).
    alphas
        Noise level of each kind, shape (kinds,).
    """
    clean = (labels / (1 + alphas)).sum(axis=1)
    alpha = labels.sum(axis=1) / clean - 1
    thin = slice(None, None, max(1, len(law.gamma) // _THIN))
    discount = law.gamma[thin, None] * np.log1p(law.kappa[thin, None] * alpha[None, :])
    found: Floats = clean[None, :] * np.exp(-discount)
    return found


@dataclass(frozen=True)
class Mix:
    """The cheapest way to an accuracy: labels to buy of each kind, what they cost, and without the old ones.

    Parameters
    ----------
    bought
        Labels of each kind.
    cost
        In the unit of the prices.
    keep
        Whether the labels that are there are trained on too: very noisy ones can do harm beside better ones.
    """

    bought: tuple[float, ...]
    cost: float
    keep: bool


def cheapest(law: Law, accuracy: float, have: tuple[float, float], kinds: tuple[Kind, Kind]) -> Mix | None:
    """Return the cheapest mixture of two kinds that reaches an accuracy beside labels that are there.

    A kind of which :func:`labels_needed` gives no answer is not bought, nor are labels of its noise kept:
    what the pilot cannot defend of them alone it cannot defend of a mixture.

    Parameters
    ----------
    law
        The law, of which the median is taken.
    accuracy
        Test accuracy wanted.
    have
        Labels that are there, and their noise level.
    kinds
        The two kinds that can be bought.

    Returns
    -------
    Mix or None
        None where there is an answer for neither kind, or no mixture reaches the accuracy.
    """
    goal = float(np.median(law.needed(accuracy, 0.0)))
    answered = [not labels_needed(law, accuracy, kind.alpha).refused for kind in kinds]
    if not math.isfinite(goal) or not any(answered):
        return None
    shares = np.linspace(0.0, 1.0, _MIXES) if all(answered) else np.array([float(answered[0])])
    keeping = have[0] > 0 and not labels_needed(law, accuracy, have[1]).refused
    alphas = np.array([have[1], *(kind.alpha for kind in kinds)])
    prices = np.array([kind.price for kind in kinds])
    best: Mix | None = None
    for keep in (True, False) if keeping else (False,):
        there = have[0] if keep else 0.0
        for share in shares:
            parts = np.array([share, 1 - share])
            total = _least_total(law, goal, there, parts, alphas)
            cost = total * float(parts @ prices)
            if math.isfinite(cost) and (best is None or cost < best.cost * (1 - 1e-9)):
                best = Mix(tuple((total * parts).tolist()), cost, keep)
    return best


def _least_total(law: Law, goal: float, there: float, parts: Floats, alphas: Floats) -> float:
    """Return how many labels, in given parts, do as much as `goal` clean ones; infinite if none do."""
    totals = np.r_[0.0, np.geomspace(1.0, 1e9, 200)]
    labels = np.c_[np.full(len(totals), there), totals[:, None] * parts[None, :]]
    labels[:, 0] = np.maximum(labels[:, 0], 1e-9)
    reached = np.median(mixed(law, labels, alphas), axis=0)
    enough = np.flatnonzero(reached >= goal)
    if not len(enough):
        return math.inf
    first = int(enough[0])
    if first == 0:
        return 0.0
    low, high = reached[first - 1], reached[first]
    share = (goal - low) / (high - low)
    return float(totals[first - 1] + share * (totals[first] - totals[first - 1]))
