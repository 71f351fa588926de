"""Data frames as cells of text for a page."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dilution.utils.named_call import shorten_matrices

MISSING = "–"
BOUNDS = ("mean", "low", "high")


@dataclass(frozen=True)
class Cells:
    """A table as text: `head` and `numeric` have one entry per column, `rows` one per row."""

    head: list[str]
    numeric: list[bool]
    rows: list[list[str]]


def points_cells(points: pd.DataFrame, as_percent: bool, confidence: int = 95, value: str = "mean") -> Cells:
    """Format a table of points, with the bounds joined into one interval column.

    Other columns with bounds, such as ``gain``, ``gain_low`` and ``gain_high``, become one: "2.8 [0.6, 5.1]".
    Settings that all points share are left out; the caption names them.

    Parameters
    ----------
    points
        As from :func:`dilution.study.statistics.intervals`. A table without ``mean``, ``low`` and
        ``high`` is formatted as it is.
    as_percent
        Whether means and bounds are fractions in [0, 1], shown in percent with one decimal. Other columns
        with bounds are differences of such, shown in percentage points.
    confidence
        Confidence of the intervals, in percent.
    value
        What ``mean`` is called.
    """
    if not set(BOUNDS) <= set(points.columns):
        return plain_cells(points)
    if len(points) > 1:
        kept = [
            name
            for name in points.columns
            if name in (*BOUNDS, "seeds", "p", "p_holm") or points[name].nunique(dropna=False) > 1
        ]
        points = points[kept]

    def interval(low: float, high: float) -> str:
        missing = pd.isna(low) or pd.isna(high)
        return (
            MISSING if missing else f"{format_number(low, as_percent)} to {format_number(high, as_percent)}"
        )

    unit = " (%)" if as_percent else ""
    shown = points.drop(columns=list(BOUNDS))
    place = list(points.columns).index("mean")
    means = [format_number(mean, as_percent) for mean in points["mean"]]
    bounds = [interval(low, high) for low, high in zip(points["low"], points["high"], strict=True)]
    shown.insert(place, f"{confidence} % interval{unit}", bounds)
    shown.insert(place, f"{value}{unit}", means)
    others = _columns_with_bounds(shown)
    shown = _join_bounds(shown, others, as_percent)
    cells = runs_cells(shown)
    cells.numeric[place : place + 2] = [True, True]
    for number, name in enumerate(shown.columns):
        if name in others:
            cells.numeric[number] = True
            cells.head[number] = f"{name} (points)" if as_percent else name
    return cells


def _columns_with_bounds(points: pd.DataFrame) -> list[str]:
    """Return the columns whose bounds are in columns of their own, such as ``gain``."""
    return [name for name in points.columns if {f"{name}_low", f"{name}_high"} <= set(points.columns)]


def _join_bounds(points: pd.DataFrame, names: list[str], as_percent: bool) -> pd.DataFrame:
    """Return a table in which these columns have their bounds in brackets behind them."""
    shown = points.drop(columns=[f"{name}_{end}" for name in names for end in ("low", "high")])
    for name in names:
        bounds = zip(points[name], points[f"{name}_low"], points[f"{name}_high"], strict=True)
        shown[name] = [_with_bounds(*values, as_percent=as_percent) for values in bounds]
    return shown


def _with_bounds(value: float, low: float, high: float, *, as_percent: bool) -> str:
    """Return a value with its bounds in brackets, if there are any; a dash for a missing value."""
    numbers = [format_number(number, as_percent) for number in (value, low, high)]
    return numbers[0] if MISSING in numbers else f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def runs_cells(runs: pd.DataFrame) -> Cells:
    """Format a table of runs; accuracies are shown in percent with one decimal."""
    shown = runs.copy()
    names = {}
    for name in runs.columns:
        if _is_accuracy(str(name)):
            shown[name] = [format_number(accuracy, as_percent=True) for accuracy in runs[name]]
            names[name] = f"{name} (%)"
    cells = plain_cells(shown.rename(columns=names))
    for place, name in enumerate(runs.columns):
        cells.numeric[place] = cells.numeric[place] or name in names
    return cells


def setting_text(name: str, value: Any) -> tuple[str, str]:
    """Return the name of a column and one of its values as text, accuracies in percent."""
    if _is_accuracy(name) and not pd.isna(value):
        return name, f"{format_number(value, as_percent=True)} %"
    return name, format_value(value)


def format_number(value: float, as_percent: bool) -> str:
    """Return a mean or bound as text: in percent with one decimal, or with four significant digits."""
    if pd.isna(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if as_percent:
        return f"{100 * value:.1f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _is_accuracy(name: str) -> bool:
    return name.startswith(("test_acc", "val_acc"))


def plain_cells(table: pd.DataFrame) -> Cells:
    """Format any table: numbers with four significant digits, a dash for a missing value."""
    numeric = [
        pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in table.dtypes
    ]
    rows = [[format_value(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return Cells([str(name) for name in table.columns], numeric, rows)


def format_value(value: Any) -> str:
    """Return one cell as text: whole numbers without a decimal point, a dash for a missing value."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return MISSING
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e12 else f"{value:.4g}"
    return shorten_matrices(str(value))
