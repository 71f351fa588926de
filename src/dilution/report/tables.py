"""Data frames as cells of text for the page."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

MISSING = "–"
BOUNDS = ("mean", "low", "high")


@dataclass(frozen=True)
class Cells:
    """A table ready to print: one `head` and one entry of `numeric` a column, `rows` of text."""

    head: list[str]
    numeric: list[bool]
    rows: list[list[str]]


def points_cells(points: pd.DataFrame, shares: bool, level: int = 95) -> Cells:
    """Format an aggregated table, its bounds joined into one interval column.

    A setting that all points share is left out: the caption has it.

    Parameters
    ----------
    points
        As from :func:`dilution.study.statistics.intervals`. A table without ``mean``, ``low`` and
        ``high`` is printed as it is.
    shares
        Whether the bounds are shares in [0, 1], printed as percent with one decimal.
    level
        Confidence of the bounds, in percent.
    """
    if not set(BOUNDS) <= set(points.columns):
        return plain_cells(points)
    if len(points) > 1:
        kept = [
            name
            for name in points.columns
            if name in (*BOUNDS, "seeds") or points[name].nunique(dropna=False) > 1
        ]
        points = points[kept]

    def interval(low: float, high: float) -> str:
        missing = pd.isna(low) or pd.isna(high)
        return MISSING if missing else f"{number(low, shares)} to {number(high, shares)}"

    unit = " (%)" if shares else ""
    shown = points.drop(columns=list(BOUNDS))
    at = list(points.columns).index("mean")
    means = [number(mean, shares) for mean in points["mean"]]
    bounds = [interval(*pair) for pair in zip(points["low"], points["high"], strict=True)]
    shown.insert(at, f"{level} % interval{unit}", bounds)
    shown.insert(at, f"mean{unit}", means)
    cells = plain_cells(shown)
    cells.numeric[at : at + 2] = [True, True]
    return cells


def runs_cells(runs: pd.DataFrame) -> Cells:
    """Format a table of runs; its accuracy columns become percent with one decimal."""
    shown = runs.copy()
    names = {}
    for name in runs.columns:
        if _is_share(str(name)):
            shown[name] = [number(share, shares=True) for share in runs[name]]
            names[name] = f"{name} (%)"
    cells = plain_cells(shown.rename(columns=names))
    for at, name in enumerate(runs.columns):
        cells.numeric[at] = cells.numeric[at] or name in names
    return cells


def column_text(name: str, value: Any) -> tuple[str, str]:
    """Return a column's name and one of its values as text, accuracies in percent."""
    share = _is_share(name) and not pd.isna(value)
    return name, f"{number(value, shares=True)} %" if share else text(value)


def number(value: float, shares: bool) -> str:
    """Return a mean or bound as text: a share as percent with one decimal, others with four digits."""
    if pd.isna(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if shares:
        return f"{100 * value:.1f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _is_share(name: str) -> bool:
    return name.startswith("test_") or name == "val_acc_clean"


def plain_cells(table: pd.DataFrame) -> Cells:
    """Format any table: four significant digits, a dash where there is no value."""
    numeric = [
        pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in table.dtypes
    ]
    rows = [[text(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return Cells([str(name) for name in table.columns], numeric, rows)


def text(value: Any) -> str:
    """Return one cell as text: whole numbers without a point, missing values as a dash."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return MISSING
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e12 else f"{value:.4g}"
    return str(value)
