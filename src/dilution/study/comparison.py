"""Two settings of a study compared by pairs of runs: mean difference, interval, p-value, in a sentence."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dilution.errors import DilutionError, InputError, short_repr, unknown
from dilution.noise import canonical_noise
from dilution.study.measures import FRACTION_MEASURES, MEASURES, TEXT_MEASURES
from dilution.study.pairs import mean_interval
from dilution.study.recorded_run import TRAINED_BY
from dilution.study.statistics import (
    check_seeds,
    check_table,
    name_matrices,
    rounding_deviation,
    two_sided_p,
    varying_settings,
    with_diverged_at_chance,
)
from dilution.training.losses import resolve_loss
from dilution.utils.estimate import Estimate
from dilution.utils.named_call import shorten_matrices

SIGNIFICANT = 0.05
"""Level of a test: a smaller p-value is a significant difference."""


@dataclass(frozen=True, repr=False)
class RunComparison:
    """The difference of two settings, as :func:`compare` returns it.

    Parameters
    ----------
    a, b
        The settings that were compared.
    measure
        Name of the measure.
    difference
        Mean of a − b over seeds with its 95 % Student t interval, in the unit of the measure.
    p
        Two-sided p-value of a paired t test, which agrees with the interval: differences scatter at least as
        much as accuracies are rounded. NaN with one seed, and if all seeds differ by the same and the
        rounding of the measure is unknown; so are the bounds of the interval then.
    pairs
        One row per seed: ``seed``, ``a``, ``b`` (means over the other settings), ``difference``.
    points
        Number of combinations of the other settings; both have each of them.
    left_out
        Number of runs without a partner.
    unstated
        Settings that recorded runs of one side do not state, so that pairs may differ in them.
    unbalanced
        Number of runs with a partner that are left out, so that every seed counts the same other settings.
    """

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    measure: str
    difference: Estimate
    p: float
    pairs: pd.DataFrame
    points: int
    left_out: int
    unstated: tuple[str, ...] = ()
    unbalanced: int = 0

    @property
    def answer(self) -> str:
        """The result in one sentence."""
        first, second = _text(self.a), _text(self.b)
        is_share = self.measure in FRACTION_MEASURES
        unit, factor = (" points", 100) if is_share else ("", 1)
        low, high = factor * self.difference.low, factor * self.difference.high
        value = factor * self.difference.value
        interval = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
        shown = f"{value:+.2f}{unit}{interval}".replace("-", "−")
        basis = f"{len(self.pairs)} seeds" + (f", {self.points} settings each" if self.points > 1 else "")
        if math.isnan(self.p) and len(self.pairs) > 1:
            verdict = "All seeds differ by the same, so nothing says how far this is chance."
        elif math.isnan(self.p):
            verdict = "One seed gives no interval."
        elif self.p < SIGNIFICANT:
            verdict = "The difference is significant at 5 %."
        else:
            verdict = "The difference may be chance."
        p = "" if math.isnan(self.p) else f", p = {self.p:.2g}"
        left_out = f" Without a partner and left out: {_runs(self.left_out)}." if self.left_out else ""
        if self.unbalanced:
            left_out += f" Left out, so that each seed counts the same settings: {_runs(self.unbalanced)}."
        unstated = f" One side does not state {', '.join(self.unstated)}." if self.unstated else ""
        return f"{self.measure}: {first} − {second} is {shown} ({basis}{p}). {verdict}{left_out}{unstated}"

    def __repr__(self) -> str:
        """Return the answer."""
        return f"RunComparison({self.answer})"


def compare(
    table: pd.DataFrame, a: Mapping[str, Any], b: Mapping[str, Any], *, measure: str = "test_acc_last"
) -> RunComparison:
    """Compare two settings of a study by pairs of runs that differ in nothing else.

    The command line calls this compare-runs; its command compare is :func:`dilution.compare_diagnoses`.

    Runs are paired by seed and by all settings that vary and are not named. Differences are averaged over
    the other settings within a seed, and the interval is over seeds, which are independent. Where pairs are
    missing, every seed still counts the same other settings: either the seeds that lack one are left out or
    the settings that a seed lacks, whichever keeps more pairs, and at least two seeds if that is possible.
    Diverged runs count as accuracy at chance.

    Runs that were recorded (:func:`dilution.record`) are paired with those of Dilution only if both sides
    name ``trained_by``, which is ``""`` for the latter; pairs may then differ in settings that the recorded
    ones do not state, and the answer names these.

    Parameters
    ----------
    table
        One row per run, as from :func:`dilution.run`.
    a, b
        Settings with their values, such as ``{"loss": "gce"}`` and ``{"loss": "cross_entropy"}``; None stands
        for a setting without a value.
    measure
        Column that is compared. The default needs no choice of a step.

    Returns
    -------
    RunComparison

    Raises
    ------
    InputError
        If a setting or the measure is unknown, no run has the values, no two runs are a pair, a setting
        has two runs of one seed, or no other settings are common to the seeds.
    """
    check_measure(table, measure)
    for side, settings in (("a", a), ("b", b)):
        if not isinstance(settings, Mapping):
            raise InputError(
                f"{side} is {short_repr(settings)}; it must be settings with their values, such as "
                "{'loss': 'gce'}."
            )
    filled = name_matrices(with_diverged_at_chance(table))
    others = [name for name in varying_settings(filled) if name not in (*a, *b, "fingerprint")]
    sides = [_rows(filled, settings) for settings in (a, b)]
    unstated = [name for name in others if any(_is_unstated(side, name) for side in sides)]
    others = [name for name in others if name not in unstated]
    for side, settings in zip(sides, (a, b), strict=True):
        check_seeds(side, others, remedy=partial(_named_too, settings))
    left, right = sides
    keys = ["seed", *others]
    values = [_measured(side, keys, measure, name) for side, name in ((left, "a"), (right, "b"))]
    pairs = values[0].merge(values[1], on=keys)
    if pairs.empty:
        remedy = "Run both settings with the same seeds."
        apart = [name for name in others if set(left[name]).isdisjoint(right[name])]
        if apart:
            remedy = f"All of them differ in {', '.join(apart)}: name their values on both sides too."
        if TRAINED_BY in others:
            remedy = (
                "Runs that were recorded are compared with those of Dilution only if both sides name "
                f"{TRAINED_BY}, which is empty for the latter."
            )
        raise InputError(
            f"no run with {_text(a)} has a partner with {_text(b)}: pairs agree in {', '.join(keys)}. "
            f"{remedy}"
        )
    balanced = _balanced(pairs, others)
    groups = balanced.groupby("seed")
    by_seed = groups[["a", "b"]].mean().reset_index()
    by_seed = by_seed.assign(difference=by_seed["a"] - by_seed["b"])
    points = int(groups.size().max())
    rounding = rounding_deviation(table, measure) * math.sqrt(2 / points)
    difference = mean_interval(by_seed["difference"], rounding=rounding)
    p = two_sided_p(by_seed["a"].tolist(), by_seed["b"].tolist(), rounding=rounding or None)
    if math.isnan(p):  # nothing says how the differences scatter
        difference = Estimate(difference.value, math.nan, math.nan)
    return RunComparison(
        dict(a),
        dict(b),
        measure,
        difference,
        p,
        by_seed,
        points,
        len(left) + len(right) - 2 * len(pairs),
        tuple(unstated),
        2 * (len(pairs) - len(balanced)),
    )


def _balanced(pairs: pd.DataFrame, others: list[str]) -> pd.DataFrame:
    """Return pairs of which every seed has the same other settings, so that means over them are alike.

    Raises
    ------
    InputError
        If no seed has all settings, and no setting all seeds.
    """
    if not others:
        return pairs
    setting = pairs.groupby(others, dropna=False).ngroup()
    n_settings = setting.groupby(pairs["seed"]).transform("size")
    n_seeds = pairs["seed"].groupby(setting).transform("size")
    with_all_settings = pairs[n_settings == setting.nunique()]
    of_all_seeds = pairs[n_seeds == pairs["seed"].nunique()]
    kept = max(with_all_settings, of_all_seeds, key=lambda part: (min(part["seed"].nunique(), 2), len(part)))
    if kept.empty:
        names = [name for name in others if pairs[name].nunique(dropna=False) > 1]
        raise InputError(
            f"no seed has pairs at all values of {', '.join(names)}, and no value has pairs of all seeds, so "
            "that seeds would be compared at different settings. Name a value on both sides, such as "
            f"{settings_of_row(pairs.iloc[0], names)}."
        )
    return kept


def settings_of_row(row: "pd.Series[Any]", names: list[str]) -> dict[str, Any]:
    """Return settings of a row in types of Python; a setting without a value is None."""
    values = {name: row[name] for name in names}
    return {
        name: None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
    }


def _named_too(settings: Mapping[str, Any], row: "pd.Series[Any]", names: list[str]) -> str:
    """Return how runs of a side that differ in settings are told apart."""
    return f"name a value on that side, such as {dict(settings) | settings_of_row(row, names)}"


def _measured(side: pd.DataFrame, keys: list[str], measure: str, name: str) -> pd.DataFrame:
    """Return keys and measure of the runs of a side that have the measure, under another name."""
    values = pd.to_numeric(side[measure])
    known = values.notna()
    return side.loc[known, keys].assign(**{name: values[known]})


def check_measure(table: pd.DataFrame, measure: str) -> None:
    """Refuse a measure that no comparison can be made of.

    Raises
    ------
    InputError
        If it is unknown or a text, or the table lacks it.
    """
    check_table(table)
    measures = [name for name in MEASURES if name not in TEXT_MEASURES]
    if measure not in measures:
        raise unknown("measure", measure, measures)
    if measure not in table:
        raise InputError(f"the table has no column {measure!r}; give the table that dilution.run returned.")


def _is_unstated(side: pd.DataFrame, name: str) -> bool:
    """Return whether all runs of a side were recorded without a setting."""
    return TRAINED_BY in side and bool((side[TRAINED_BY] != "").all() and side[name].isna().all())


def _rows(table: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the runs that have the settings."""
    if not settings:
        raise InputError("the settings are {}; name at least one with its value, such as {'loss': 'gce'}.")
    rows = table
    for name, value in settings.items():
        if name not in table:
            raise unknown("setting of the table", name, [str(column) for column in table])
        rows = rows[rows[name].isna() if value is None else rows[name] == canonical_value(name, value)]
        if rows.empty:
            values = list(dict.fromkeys(table[name].dropna()))
            raise InputError(
                f"no run has {name} {short_repr(value)}; the table has "
                f"{', '.join(map(short_repr, values[:10]))}."
            )
    return rows


def canonical_value(name: str, value: Any) -> Any:
    """Return a value of a setting as tables have it: the canonical text of a loss or of noise."""
    try:
        if name == "loss" and isinstance(value, str):
            return resolve_loss(value).text
        if name == "noise" and isinstance(value, str):
            return canonical_noise(value)
    except DilutionError:  # of another training loop: tables have it as it is
        return value
    return value


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value_text(name, value)}" for name, value in settings.items())


def _value_text(name: str, value: Any) -> str:
    if value is None:
        return "none"
    return "Dilution" if name == TRAINED_BY and value == "" else shorten_matrices(str(value))
