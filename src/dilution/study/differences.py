"""Each value of a named setting against one of them, paired by seed, with corrected p-values."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.errors import InputError, short_repr, unknown
from dilution.study.comparison import canonical_value, check_measure, compare, settings_of_row
from dilution.study.recorded_run import TRAINED_BY
from dilution.study.run_spec import Run
from dilution.study.statistics import (
    name_matrices,
    settings_of_points,
    varying_settings,
    with_diverged_at_chance,
)

_NAMED_FIRST = ("strategy", "loss", "model", TRAINED_BY, "optimizer", "schedule", "targets", "precision")
"""Settings that are compared rather than others, the first that varies."""

_CONDITIONS = ("noise", "labels", "label_mode", "noise_order", "image_source", "dataset", "matrix")
"""Settings that are compared only if no other one varies: differences between them are of the task."""


def compared_setting(table: pd.DataFrame) -> str | None:
    """Return the named setting whose values a study compares; None if none varies.

    Parameters
    ----------
    table
        One row per run, as from :func:`dilution.run`.
    """
    named = [name for name in varying_settings(name_matrices(table)) if _is_named(name, table)]
    ranks = {name: rank for rank, name in enumerate(_NAMED_FIRST)}
    ranks |= {name: 2 * len(ranks) + rank for rank, name in enumerate(_CONDITIONS)}
    return min(named, key=lambda name: ranks.get(name, len(_NAMED_FIRST)), default=None)


def _is_named(name: str, table: pd.DataFrame) -> bool:
    """Return whether the values of a setting are names."""
    return name != "fingerprint" and all(isinstance(v, str) for v in table[name].dropna())


def differences(
    table: pd.DataFrame, by: str | None = None, *, reference: Any = None, measure: str = "test_acc_last"
) -> pd.DataFrame:
    """Return the difference of each value of a setting from the reference, paired by seed, one row per value.

    Where other settings vary, such as the noise, there is one row per value and combination of them. The
    p-values are those of two-sided paired t tests; ``p_holm`` are the same after the correction of Holm
    (1979) over all rows: with it, the probability that any row is significant without a difference is at most
    the level.

    Parameters
    ----------
    table
        One row per run, as from :func:`dilution.run`.
    by
        Setting whose values are compared. Default: the named setting that varies, such as ``"loss"``.
    reference
        Value of the setting that the others are compared with. Default: the default of a run if the table has
        it, else the first value.
    measure
        Column that is compared.

    Returns
    -------
    pandas.DataFrame
        Columns: the other settings that vary, `by`, ``against``; ``mean``, ``low``, ``high``, the difference
        and its 95 % Student t interval in the unit of the measure; ``seeds``; ``p``, ``p_holm``. Interval and
        p are NaN with one seed. ``attrs["left_out"]`` is the number of runs without a partner.

    Raises
    ------
    InputError
        If no named setting varies, the setting, reference or measure is unknown, or no two runs are a pair.
    """
    compared = difference_rows(table, by, reference=reference, measure=measure)
    if compared.empty:
        named = name_matrices(with_diverged_at_chance(table))
        raise _no_pair(named, _checked_setting(named, by), reference, measure)
    return compared


def difference_rows(
    table: pd.DataFrame, by: str | None = None, *, reference: Any = None, measure: str = "test_acc_last"
) -> pd.DataFrame:
    """Return what :func:`differences` returns, without a row where no two runs are a pair.

    Parameters
    ----------
    table, by, reference, measure
        As for :func:`differences`.

    Raises
    ------
    InputError
        If no named setting varies, or the setting, reference or measure is unknown.
    """
    check_measure(table, measure)
    named = name_matrices(with_diverged_at_chance(table))
    by = _checked_setting(named, by)
    values = _values(named, by)
    against = _reference(by, values, reference)
    conditions = [name for name in settings_of_points(named) if name not in (by, TRAINED_BY)]
    rows, left_out = [], int(named[by].isna().sum())
    for condition, part in _groups(named, conditions):
        known = part[measure].notna()
        is_of = {value: _has(part, _settings(by, value, values)) for value in values}
        seeds = {value: set(part.loc[rows_of & known, "seed"]) for value, rows_of in is_of.items()}
        for value in values:
            if against is None or value == against:
                continue
            if not seeds[value] & seeds[against]:
                left_out += int(is_of[value].sum())
                continue
            sides = [_settings(by, side, values) for side in (value, against)]
            compared = compare(part, *sides, measure=measure)
            left_out += compared.left_out
            difference = compared.difference
            rows.append(
                {
                    **condition,
                    by: _label(value),
                    "against": _label(against),
                    **{"mean": difference.value, "low": difference.low, "high": difference.high},
                    **{"seeds": len(compared.pairs), "p": compared.p},
                }
            )
    columns = [*conditions, by, "against", "mean", "low", "high", "seeds", "p"]
    compared_values = pd.DataFrame(rows, columns=columns)
    compared_values["p_holm"] = holm(compared_values["p"].to_numpy(dtype=np.float64))
    compared_values.attrs["left_out"] = left_out
    return compared_values


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values after the step-down correction of Holm (1979) for their number; NaN stays NaN.

    In ascending order p₁ ≤ … ≤ p_m, the corrected p_i is the largest of (m − j + 1) p_j for j ≤ i, at most 1.

    Parameters
    ----------
    p
        p-values, float64, shape (m,).
    """
    corrected = np.full(len(p), math.nan)
    order = [place for place in np.argsort(p, kind="stable") if not math.isnan(p[place])]
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, (len(order) - rank) * float(p[place]))
        corrected[place] = min(1.0, largest)
    return corrected


def _reference(by: str, values: Sequence[tuple[Any, str]], reference: Any) -> tuple[Any, str] | None:
    """Return the value that the others are compared with; None if there are none and none is named."""
    if reference is None and not values:
        return None
    reference = (
        _default(by, [value for value, _ in values]) if reference is None else canonical_value(by, reference)
    )
    against = next((value for value in values if value[0] == reference), None)
    if against is None:
        raise InputError(
            f"no run has {by} {short_repr(reference)}; the table has "
            f"{', '.join(short_repr(value) for value, _ in values[:10]) or 'no value of it'}."
        )
    return against


def _no_pair(table: pd.DataFrame, by: str, reference: Any, measure: str) -> InputError:
    """Return the error of a setting no two values of which have runs that are a pair, with what helps."""
    measured = table[table[measure].notna()]
    if measured.empty:
        return InputError(f"no run of the table has {measure}; train the runs, or name another measure.")
    values = _values(table, by)
    against = _reference(by, values, reference)
    if against is None:
        return InputError(f"no run of the table has a value of {by}; name a setting that has two values.")
    is_against = _has(measured, _settings(by, against, values))
    others, second = measured[~is_against], measured[is_against]
    first = others[others[by].notna()]
    text = f"no run has a partner with {by} {short_repr(against[0])} and the same other settings and seed"
    if first.empty:
        text = f"no run with {measure} has another {by} than {short_repr(against[0])}"
        first = others[others[TRAINED_BY] == ""] if TRAINED_BY in others else others  # have the setting off
    common = first["seed"].isin(second["seed"])
    if not common.any():
        return InputError(f"{text}. Train runs of both with the same seeds, or name another setting.")
    row = first[common].iloc[0]
    partner = second[second["seed"] == row["seed"]].iloc[0]
    differing = [
        name for name in varying_settings(table) if name != by and not _is_same(row[name], partner[name])
    ]
    reason = f"; such runs differ in {', '.join(differing)} too" if differing else ""
    sides = [settings_of_row(side, [by, *differing]) for side in (row, partner)]
    return InputError(f"{text}{reason}. Use dilution.compare(table, {sides[0]}, {sides[1]}, {measure=}).")


def _is_same(a: Any, b: Any) -> bool:
    return bool(a == b or (pd.isna(a) and pd.isna(b)))


def _checked_setting(table: pd.DataFrame, by: str | None) -> str:
    if by is None:
        by = compared_setting(table)
        if by is None:
            raise InputError(
                "no named setting varies among the runs; differences are between values such as the losses "
                "of a study. Name the setting: by='lr'."
            )
    settings = (TRAINED_BY, *Run.model_fields)
    if by not in settings:
        raise unknown("setting", str(by), settings)
    if by == "seed":
        raise InputError(
            "by is 'seed'; differences are paired by seed, so that no two seeds make a pair. Name another "
            "setting, such as by='loss'."
        )
    if by not in table:
        raise InputError(f"the table has no column {by!r}; give the table that dilution.run returned.")
    return by


def _values(table: pd.DataFrame, by: str) -> list[tuple[Any, str]]:
    """Return the values of a setting in the order of the runs, each with who trained its runs."""
    trainers = table[TRAINED_BY] if TRAINED_BY in table else itertools.repeat("")
    pairs = ((value, trainer) for value, trainer in zip(table[by], trainers, strict=False) if pd.notna(value))
    return list(dict.fromkeys(pairs))


def _default(by: str, values: Sequence[Any]) -> Any:
    default = "" if by == TRAINED_BY else Run.model_fields[by].default
    return default if default in values else values[0]


def _groups(table: pd.DataFrame, by: list[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Return the combinations of settings in the order of the runs, each with its runs."""
    if not by:
        return [({}, table)]
    groups: Any = table.groupby(by, dropna=False, sort=False)
    return [(dict(zip(by, values, strict=True)), part) for values, part in groups]


def _settings(by: str, value: tuple[Any, str], values: Sequence[tuple[Any, str]]) -> dict[str, Any]:
    """Return the settings that select the runs of a value."""
    trainers = {trainer for _, trainer in values}
    return {by: value[0]} if by == TRAINED_BY or len(trainers) == 1 else {by: value[0], TRAINED_BY: value[1]}


def _has(table: pd.DataFrame, settings: dict[str, Any]) -> "pd.Series[bool]":
    has = pd.Series(True, table.index)
    for name, value in settings.items():
        has &= table[name] == value
    return has


def _label(value: tuple[Any, str]) -> Any:
    """Return the text of a value; recorded runs have the name of who trained them beside it."""
    name, trainer = value
    return f"{name} ({trainer})" if trainer and name != trainer else name if name != "" else "Dilution"
