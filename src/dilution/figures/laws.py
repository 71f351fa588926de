"""Thresholds from a table of runs, and their law: how many clean examples an accuracy takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from dilution.errors import InputError, short_repr, unknown
from dilution.figures.threshold_law import ThresholdLaw, Thresholds
from dilution.figures.thresholds import crossing, describe_crossing
from dilution.study.measures import FRACTION_MEASURES
from dilution.study.statistics import check_table, name_matrices, varying_settings, with_diverged_at_chance
from dilution.utils.estimate import Estimate
from dilution.utils.finite_numbers import is_finite_number

_COLUMNS = ("alpha", "n", "low", "high", "runs")
_FOLLOWS_FROM_N = ("n", "n_val", "epochs", "steps", "fingerprint")
_ACCURACY = "test_acc_at_best_clean_val"  # the column that crossings are measured on
_LEAST_POINTS = 3


def thresholds(
    table: pd.DataFrame,
    level: float = 0.9,
    *,
    by: str | Sequence[str] | None = None,
    measure: str = _ACCURACY,
) -> pd.DataFrame:
    """Return how many clean examples reach an accuracy, one row per noise level.

    The logit of accuracy is fitted against log n, over the runs whose n lies within a factor of 2.9 of the
    crossing, as in Figure 9. The interval is Fieller's (1954): all n at which the line does not differ
    significantly from the level. Diverged runs count as accuracy at chance.

    Parameters
    ----------
    table
        One row per run, with several n at each noise level, as from :func:`dilution.run`.
    level
        Accuracy to reach, in (0, 1).
    by
        Settings with one row per combination. Default: ``alpha``, and all others that vary but n and the
        seed.
    measure
        Accuracy, such as ``"test_acc_last"``.

    Returns
    -------
    pandas.DataFrame
        Columns `by`; ``level``; ``n``, ``low``, ``high``, clean examples with the 95 % interval, whose bounds
        may be 0 and infinite; ``runs``, the number of runs in the fit; ``crossing``: ``"reached"``, or why n
        is NaN: ``"not reached"``, ``"reached at every n"``, ``"does not rise near the level"``.

    Raises
    ------
    InputError
        If the level, a setting or the measure breaks its rule, or a seed has two runs of one n.
    """
    if not is_finite_number(level) or not 0 < level < 1:
        raise InputError(
            f"level is {short_repr(level)}; it must be an accuracy between 0 and 1, such as 0.9."
        )
    check_table(table)
    accuracies = [name for name in FRACTION_MEASURES if "acc" in name]
    if measure not in accuracies:
        raise unknown("accuracy", measure, accuracies)
    settings = _settings(table, by)
    for column in ("n", "seed", measure, *settings):
        if column not in table:
            raise unknown("column of this table", column, map(str, table.columns))
    filled = name_matrices(with_diverged_at_chance(table))
    runs = filled.assign(**{_ACCURACY: pd.to_numeric(filled[measure])}).dropna(subset=[_ACCURACY])
    rows = []
    for values, part in runs.groupby(settings, dropna=False, sort=True):
        at_level = crossing(part, level)
        numbers = (math.nan, math.nan, math.nan, 0)
        if at_level is not None:
            numbers = (at_level.n, at_level.low, at_level.high, at_level.runs)
        rows.append((*values, level, *numbers, describe_crossing(part[_ACCURACY], level, at_level)))
    return pd.DataFrame(rows, columns=[*settings, "level", "n", "low", "high", "runs", "crossing"])


def _settings(table: pd.DataFrame, by: str | Sequence[str] | None) -> list[str]:
    if by is not None:
        return [by] if isinstance(by, str) else list(by)
    varying = [name for name in varying_settings(name_matrices(table)) if name not in _FOLLOWS_FROM_N]
    return ["alpha", *(name for name in varying if name != "alpha")]


@dataclass(frozen=True, repr=False)
class NoiseLaw:
    """The law n = n₀(1 + κα)^b of the clean examples that an accuracy takes.

    Parameters
    ----------
    exponent
        The exponent b with its 95 % interval: 1 is a straight line in α, ½ a square root, 2 a parabola. A
        bound beyond 0.05 to 10 is 0 or infinite.
    is_straight
        Whether the interval holds 1 and excludes ½ and 2.
    left_out
        Noise levels without a threshold that has a bounded interval.
    law
        The fit, with the straight line that fits best and the power of the rule.
    """

    exponent: Estimate
    is_straight: bool
    left_out: tuple[float, ...]
    law: ThresholdLaw = field(compare=False)

    @property
    def answer(self) -> str:
        """The exponent in one sentence, and which noise levels were left out."""
        if self.is_straight:
            verdict = "a straight line in α, and neither a square root nor a parabola"
        elif self.exponent.low > 1:
            verdict = "faster than a straight line in α"
        elif self.exponent.high < 1:
            verdict = "slower than a straight line in α"
        else:
            verdict = "a straight line in α cannot be told from other laws"
        levels = ", ".join(f"{alpha:g}" for alpha in self.left_out)
        left_out = f" Left out, without a bounded interval: α = {levels}." if levels else ""
        return (
            f"Exponent {self.exponent.text('.2f')} over {len(self.law.thresholds)} noise levels: {verdict}."
            f"{left_out}"
        )

    def __repr__(self) -> str:
        """Return the answer."""
        return f"NoiseLaw({self.answer})"


def threshold_law(points: pd.DataFrame) -> NoiseLaw:
    """Fit the law n = n₀(1 + κα)^b to thresholds and return its exponent with an interval.

    Each threshold counts by its own interval, and the interval of b is calibrated by simulation;
    :mod:`dilution.figures.threshold_law` has the equations.

    Parameters
    ----------
    points
        Thresholds of one accuracy, as from :func:`thresholds`: ``alpha``, ``n``, ``low``, ``high`` and
        ``runs``, one row per noise level. Rows without a bounded interval are left out, and the answer names
        them.

    Raises
    ------
    InputError
        If a column is missing, two rows have one noise level, or fewer than three thresholds are bounded.
    """
    for column in _COLUMNS:
        if column not in points:
            raise InputError(
                f"the thresholds have no column {column!r}; give the table that dilution.thresholds returned."
            )
    if points["alpha"].duplicated().any():
        alpha = points.loc[points["alpha"].duplicated(), "alpha"].iloc[0]
        raise InputError(
            f"two thresholds have alpha {alpha:g}; a law is of one accuracy and one kind of run. Keep the "
            "rows of one, such as points[points['level'] == 0.9]."
        )
    renamed = points.rename(columns={"n": "mean", "runs": "seeds"})
    known = renamed.dropna(subset=["mean", "low", "high"])
    given = Thresholds.of(known)
    missing = [float(alpha) for alpha in renamed.loc[~renamed.index.isin(known.index), "alpha"]]
    left_out = tuple(sorted({*missing, *given.left_out}))
    if len(given) < _LEAST_POINTS:
        raise InputError(
            f"{len(given)} of {len(points)} thresholds have a bounded interval; a law needs at least "
            f"{_LEAST_POINTS}. Run more n near the crossing, more seeds, or more noise levels."
        )
    law = ThresholdLaw(given)
    return NoiseLaw(law.exponent, law.is_straight(), left_out, law)
