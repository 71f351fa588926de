"""Questions to the law of accuracy: accuracy to expect, labels needed, the cheapest purchase."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilution.planning.accuracy_law import AccuracyLaw, Floats, median_and_interval
from dilution.utils.estimate import Estimate

_MAX_SIZE_RATIO = 4.0  # the curve is trusted up to this multiple of the pilot's largest effective size
_MAX_LOG_RATIO = math.log(1_000_000)  # beyond it a number of times says nothing
_MAX_NOISE_RATIO = 6.0  # the discount is trusted up to this multiple of the pilot's largest 1 + α
_MAX_UNREACHED = 0.1  # share of draws in which an accuracy may be out of reach
_MAX_FACTOR = 3.0  # an interval wider than this factor on both sides is no answer
_N_SHARES = 41  # shares of the first of two kinds that are tried
_MIX_DRAWS = 100  # draws of the law that a mixture is judged by
_CHOICE_DRAWS = 100  # draws by which a mixture is chosen; its size is then that of all draws
_MOST_LABELS, _N_TOTALS, _HALVINGS = 1e9, 60, 40  # totals that are tried, and halvings between two of them


@dataclass(frozen=True)
class PlanEstimate(Estimate):
    """A number with its 80 % interval, or the reason why none is given.

    Parameters
    ----------
    value, low, high
        Median and central 80 % interval; NaN if no number is given.
    refusal
        Why no number is given, and which pilot would give it; empty if one is given.
    """

    refusal: str = ""


@dataclass(frozen=True)
class LabelKind:
    """A kind of label that can be bought.

    Parameters
    ----------
    alpha
        Its noise level: noisy labels per clean label.
    price
        Price of one label.
    eta
        Its noise rate, if the user gave that instead of the noise level; sentences then give it too.
    """

    alpha: float
    price: float
    eta: float | None = None

    @property
    def description(self) -> str:
        """Text for sentences: ``"clean labels"``, ``"labels of noise rate 0.3"``."""
        if self.alpha == 0:
            return "clean labels"
        if self.eta is not None:
            return f"labels of noise rate {self.eta:.3g}"
        return f"labels of noise level α = {self.alpha:.3g}"


@dataclass(frozen=True)
class Purchase:
    """A purchase of labels that reaches an accuracy.

    Parameters
    ----------
    n_labels
        Number of labels of each kind.
    cost
        Their total price.
    keep_existing
        Whether the existing labels are trained on too: very noisy ones can do harm beside better ones.
    """

    n_labels: tuple[float, ...]
    cost: float
    keep_existing: bool


def _refused(reason: str) -> PlanEstimate:
    return PlanEstimate(math.nan, math.nan, math.nan, reason)


def labels_needed(law: AccuracyLaw, accuracy: float, alpha: float, eta: float | None = None) -> PlanEstimate:
    """Return the number of labels of a noise level that an accuracy needs, clean and noisy together.

    Parameters
    ----------
    law
        The law.
    accuracy
        Test accuracy, in (0, 1).
    alpha, eta
        Noise level of the labels, and their noise rate if the user gave that.
    """
    n = law.n_needed(accuracy, alpha)
    goal = f"{100 * accuracy:.4g} % test accuracy"
    if reason := _refusal_reason(law, n, alpha, goal, eta):
        return _refused(reason)
    median, low, high = (bound * (1 + alpha) for bound in median_and_interval(n))
    if high / low > _MAX_FACTOR**2:
        return _refused(
            f"The pilot leaves the number of labels for {goal} open between {low:,.0f} and {high:,.0f}. "
            "A pilot with more runs would settle it."
        )
    return PlanEstimate(median, low, high)


def expected_accuracy(
    law: AccuracyLaw, n_labels: float, alpha: float, eta: float | None = None
) -> PlanEstimate:
    """Return the test accuracy to expect from a number of labels of a noise level."""
    n = n_labels / (1 + alpha)
    if n == 0:
        return _refused("There are no labels.")
    if reason := _refusal_reason(law, np.full(len(law.kappa), n), alpha, f"{n_labels:,.0f} labels", eta):
        return _refused(reason)
    return PlanEstimate(*median_and_interval(law.accuracy(n, alpha)))


def _refusal_reason(law: AccuracyLaw, n: Floats, alpha: float, subject: str, eta: float | None) -> str:
    """Return why a question is too far from the pilot to be answered; an empty string if it is not.

    Parameters
    ----------
    law
        The law.
    n
        Clean examples that the question is about, shape (draws,); infinite if out of reach.
    alpha
        Noise level.
    subject
        Subject of the question, for the sentence.
    eta
        Noise rate, if the user gave that.
    """
    if 1 + alpha > _MAX_NOISE_RATIO * (1 + law.max_alpha):
        noise = f"α = {alpha:.3g}" if eta is None else f"The noise rate {eta:g} (α = {alpha:.3g})"
        return (
            f"{noise} is more than {_MAX_NOISE_RATIO:g} times as noisy as the pilot, whose largest is "
            f"α = {law.max_alpha:g}. A pilot with runs at α = {alpha / 3:.0f} would settle it."
        )
    unreached = float(np.mean(~np.isfinite(n)))
    if unreached > _MAX_UNREACHED:
        return (
            f"The pilot does not show that {subject} can be reached: in {100 * unreached:.0f} % of the laws "
            "that fit the pilot, accuracy levels off below. A pilot with more examples would settle it, "
            "unless the labels themselves are noisy: the command diagnose estimates that."
        )
    x = np.log(np.where(np.isfinite(n), n, n[np.isfinite(n)].max())) - law.log_discount(alpha)
    log_ratio = float(np.median(x - law.max_x))
    if log_ratio > _MAX_LOG_RATIO:
        return (
            f"For {subject} the law would be extrapolated to more than {math.exp(_MAX_LOG_RATIO):,.0f} times "
            "the pilot's largest size: the pilot shows no way to get there."
        )
    ratio = math.exp(log_ratio)
    if ratio > _MAX_SIZE_RATIO:
        return (
            f"For {subject} the law would be extrapolated to {ratio:.0f} times the pilot's largest size; it "
            f"is trusted up to {_MAX_SIZE_RATIO:g} times. A pilot with "
            f"{math.ceil(ratio / _MAX_SIZE_RATIO)} times as many examples would settle it."
        )
    return ""


def equivalent_clean_n(law: AccuracyLaw, n_labels: Floats, alphas: Floats) -> Floats:
    """Return the clean examples that do as much as mixtures of labels, shape (draws, mixtures).

    About a hundred draws are used. Labels of several kinds that are trained on alike are labels of
    one quality: N labels, of which Σ N_k/(1 + α_k) are clean, have the noise level at which that
    is N/(1 + α).

    Parameters
    ----------
    law
        The law.
    n_labels
        Number of labels of each kind, shape (mixtures, kinds).
    alphas
        Noise level of each kind, shape (kinds,).
    """
    clean = (n_labels / (1 + alphas)).sum(axis=1)
    alpha = n_labels.sum(axis=1) / clean - 1
    thinned = slice(None, None, max(1, len(law.gamma) // _MIX_DRAWS))
    discount = law.gamma[thinned, None] * np.log1p(law.kappa[thinned, None] * alpha[None, :])
    equivalent: Floats = clean[None, :] * np.exp(-discount)
    return equivalent


def cheapest_purchase(
    law: AccuracyLaw, accuracy: float, n_existing: float, kinds: tuple[LabelKind, LabelKind]
) -> Purchase | None:
    """Return the cheapest purchase of two kinds of labels that reaches an accuracy.

    A kind for which :func:`labels_needed` gives no number is not bought, and existing labels of it
    are not kept: where the pilot cannot support a number for a kind alone, it cannot for a mixture.

    Parameters
    ----------
    law
        The law, of which the median is taken.
    accuracy
        Test accuracy wanted.
    n_existing
        Number of existing labels, which are of the first kind.
    kinds
        The two kinds that can be bought.

    Returns
    -------
    Purchase or None
        None if neither kind has a number, or no mixture reaches the accuracy.
    """
    needed = law.n_needed(accuracy, 0.0)
    is_supported = [not labels_needed(law, accuracy, kind.alpha).refusal for kind in kinds]
    if not math.isfinite(float(np.median(needed))) or not any(is_supported):
        return None
    shares = np.linspace(0.0, 1.0, _N_SHARES) if all(is_supported) else np.array([float(is_supported[0])])
    alphas = np.array([kinds[0].alpha, *(kind.alpha for kind in kinds)])
    prices = np.array([kind.price for kind in kinds])
    thinned = slice(None, None, max(1, len(needed) // _CHOICE_DRAWS))
    best, best_cost = None, math.inf
    for keep in (True, False) if n_existing > 0 and is_supported[0] else (False,):
        for share in shares:
            parts = np.array([share, 1 - share])
            existing = n_existing if keep else 0.0
            cost = _smallest_total(law, needed, existing, parts, alphas, thinned) * float(parts @ prices)
            if cost < best_cost * (1 - 1e-9):
                best, best_cost = (keep, parts), cost
    if best is None:
        return None
    keep, parts = best
    total = _smallest_total(law, needed, n_existing if keep else 0.0, parts, alphas, slice(None))
    if not math.isfinite(total):
        return None
    return Purchase(tuple((total * parts).tolist()), total * float(parts @ prices), keep)


def _smallest_total(
    law: AccuracyLaw, needed: Floats, n_existing: float, parts: Floats, alphas: Floats, draws: slice
) -> float:
    """Return how many labels, bought in these parts, are enough: the median over the laws; infinite if none.

    For labels of one kind that is what :func:`labels_needed` gives, less the existing ones.

    Parameters
    ----------
    law
        The law.
    needed
        Clean examples that do as much, shape (draws,).
    n_existing
        Existing labels that are kept, of the first of `alphas`.
    parts
        Share of each kind that is bought, shape (2,).
    alphas
        Noise level of the existing labels and of both kinds, shape (3,).
    draws
        Draws of the law that are used.
    """
    needed, gamma, kappa = needed[draws], law.gamma[draws], law.kappa[draws]

    def is_enough(totals: Floats) -> NDArray[np.bool_]:
        """Return whether totals do as much, shape (..., draws)."""
        n_labels = n_existing + totals
        clean = n_existing / (1 + alphas[0]) + totals * float((parts / (1 + alphas[1:])).sum())
        alpha = n_labels / np.maximum(clean, 1e-9) - 1
        enough: NDArray[np.bool_] = clean * np.exp(-gamma * np.log1p(kappa * np.maximum(alpha, 0))) >= needed
        return enough

    grid = np.r_[0.0, np.geomspace(1e-3, _MOST_LABELS, _N_TOTALS)]
    reached = np.stack([is_enough(np.full(len(needed), total)) for total in grid])
    first = reached.argmax(
        axis=0
    )  # worse labels beside good ones may do harm: the first total that is enough
    high = np.where(reached.any(axis=0), grid[first], np.inf)
    low = np.where(first > 0, grid[np.maximum(first - 1, 0)], 0.0)
    is_between = np.isfinite(high) & (first > 0)
    for _ in range(_HALVINGS):
        middle = np.where(is_between, (low + high) / 2, 0.0)
        enough = is_enough(middle)
        high = np.where(is_between & enough, middle, high)
        low = np.where(is_between & ~enough, middle, low)
    return median_and_interval(high)[0]
