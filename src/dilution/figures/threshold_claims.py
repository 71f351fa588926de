"""Rules of Figure 9: whether the number of clean examples required grows linearly with the noise level."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dilution.figures.claims import Judgement, count_interval, decide, not_testable, percent
from dilution.figures.threshold_law import (
    LINE,
    PARABOLA,
    SQUARE_ROOT,
    ThresholdLaw,
    Thresholds,
    slope_difference,
    slope_estimate,
)
from dilution.figures.thresholds import ALWAYS, NEVER
from dilution.utils.estimate import Estimate

_MIN_ALPHAS, _MIN_ALPHAS_OF_LAW = 3, 4  # with known thresholds: a line has two coefficients, a law three
_TOLERANCE = 1.25  # within a quarter: as closely as a search finds a crossing


@dataclass(frozen=True)
class MissingThreshold:
    """A noise level at which no n was found for an accuracy.

    Parameters
    ----------
    level, alpha
        The accuracy and the noise level.
    reason
        One of the words of :data:`dilution.figures.thresholds.REACHED`.
    n
        The largest number of clean examples that was tried; the smallest, if every one reached the accuracy.
    """

    level: float
    alpha: float
    reason: str
    n: int

    def contradicts(self, expected: Estimate) -> bool:
        """Return whether the n tried are far above or below the whole interval of the one expected."""
        if self.reason == NEVER:
            return self.n > _TOLERANCE * expected.high
        return self.reason == ALWAYS and self.n < expected.low / _TOLERANCE

    def describe(self, expected: Estimate | None = None) -> str:
        """Return what was seen, in words, and the n that a straight line requires if that contradicts it."""
        seen = {
            NEVER: f"not reached with {self.n:,} clean examples",
            ALWAYS: f"reached with {self.n:,} already",
        }
        text = f"at α = {self.alpha:g} {seen.get(self.reason, 'accuracy does not rise near it')}"
        if expected is None or not self.contradicts(expected):
            return text
        return (
            f"{text}, where the line requires {count_interval(expected.value, expected.low, expected.high)}"
        )


def fit_laws(points: pd.DataFrame, n_alphas: int = _MIN_ALPHAS) -> dict[float, ThresholdLaw]:
    """Return the law at each level that has bounded thresholds at this many noise levels or more.

    Parameters
    ----------
    points
        Thresholds with columns ``level``, ``alpha``, ``mean``, ``low`` and ``high``, in clean examples.
    n_alphas
        The number of noise levels.
    """
    thresholds = {float(str(level)): Thresholds.of(part) for level, part in points.groupby("level")}
    return {level: ThresholdLaw(given) for level, given in thresholds.items() if len(given) >= n_alphas}


def grows_linearly(
    points: pd.DataFrame, levels: Sequence[float], missing: Sequence[MissingThreshold]
) -> Judgement:
    """Judge whether the exponent of the law is 1 at each accuracy.

    Parameters
    ----------
    points
        Thresholds, as for :func:`fit_laws`.
    levels
        The accuracies.
    missing
        The noise levels without a threshold. One that the straight line contradicts refutes the claim.
    """
    laws = fit_laws(points, _MIN_ALPHAS_OF_LAW)
    if not laws:
        return not_testable(
            f"requires an accuracy whose n has a bounded interval at {_MIN_ALPHAS_OF_LAW} noise levels"
        )
    numbers, passed = [], True
    for level, law in laws.items():
        passed &= law.is_straight()
        start, slope = law.line
        chances = [percent(law.chance_of_straight(exponent)) for exponent in (LINE, SQUARE_ROOT, PARABOLA)]
        left_out = ", ".join(f"{alpha:g}" for alpha in law.thresholds.left_out)
        numbers.append(
            f"{percent(level)}: b = {law.exponent.text('.3f').replace('inf', '∞')}; in simulations with "
            f"these intervals the rule holds for {chances[0]} of straight lines, {chances[1]} of laws with b "
            f"= ½ and {chances[2]} with b = 2; the straight line is n = {start:,.0f} + {slope:,.0f} α"
            + (f"; without a bounded interval, left out: α = {left_out}" if left_out else "")
        )
        for threshold in missing:
            if threshold.level == level:
                expected = law.n_on_line(threshold.alpha)
                passed &= not threshold.contradicts(expected)
                numbers.append(threshold.describe(expected))
    unknown = [level for level in levels if level not in laws]
    for level in unknown:
        numbers.append(
            f"{percent(level)}: fewer than {_MIN_ALPHAS_OF_LAW} noise levels have a bounded interval"
        )
        numbers += [threshold.describe() for threshold in missing if threshold.level == level]
    if passed and unknown:
        return not_testable("; ".join(numbers))
    return decide(passed, "; ".join(numbers))


def grows_faster_for_higher_accuracy(points: pd.DataFrame) -> Judgement:
    """Judge whether the line is steeper for a higher accuracy, from thresholds as for :func:`fit_laws`."""
    laws = fit_laws(points)
    if len(laws) < 2:
        return not_testable(
            f"requires two accuracies whose n has a bounded interval at {_MIN_ALPHAS} noise levels"
        )
    slopes = {level: slope_estimate(law) for level, law in laws.items()}
    numbers = [
        f"{percent(level)}: {count_interval(slope.value, slope.low, slope.high)} more clean examples per "
        "unit of α"
        for level, slope in slopes.items()
    ]
    pairs = itertools.pairwise(laws[level] for level in sorted(laws))
    gaps = [slope_difference(lower, higher) for lower, higher in pairs]
    numbers += [f"difference {count_interval(gap.value, gap.low, gap.high)}" for gap in gaps]
    return decide(all(gap.low > 0 for gap in gaps), "; ".join(numbers))
