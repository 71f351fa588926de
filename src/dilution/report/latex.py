"""Tables for papers: LaTeX with the rules of booktabs."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import pandas as pd

from dilution.errors import InputError, short_repr, unknown
from dilution.report.figure_style import FigureStyle, current_style
from dilution.report.tables import MISSING, format_value
from dilution.study.differences import compared_setting
from dilution.study.measures import FRACTION_MEASURES
from dilution.study.recorded_run import TRAINED_BY
from dilution.study.statistics import (
    check_table,
    common_accuracy,
    intervals,
    name_matrices,
    settings_of_points,
)
from dilution.utils.printable import printable

Interval = Literal["half", "bounds", "none"]

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "α": r"$\alpha$",
    "δ": r"$\delta$",
    "η": r"$\eta$",
    "±": r"$\pm$",
    "−": "$-$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "\xa0": "~",
}
_TABLE = str.maketrans(_ESCAPES)


def latex_table(
    table: pd.DataFrame,
    *,
    rows: str | None = None,
    columns: str | Sequence[str] | None = None,
    measure: str | None = None,
    interval: Interval = "half",
    decimals: int = 1,
    caption: str = "",
    label: str = "",
    labels: Mapping[str, str] | None = None,
) -> str:
    r"""Return means over seeds as a LaTeX table with the rules of the package booktabs.

    Accuracies are in percent. A cell is ``$93.1 \pm 0.4$``, with half the width of the 95 % Student t
    interval over seeds, or ``93.1 [92.7, 93.5]``. Names are escaped. Diverged runs count as accuracy at
    chance; a comment above the table says how many there are, and what a cell is.

    Parameters
    ----------
    table
        One row per run, as from :func:`dilution.run`.
    rows
        Setting with one row per value. Default: the named setting that varies, such as ``"loss"``.
    columns
        Settings with one column per combination of values. Default: all others that vary.
    measure
        Column that is averaged. Default: the accuracy by which a report shows the study.
    interval
        ``"half"``: ± half the width; ``"bounds"``: both bounds; ``"none"``.
    decimals
        Digits behind the point.
    caption, label
        Caption and label; with one of them the table is a float, ``\begin{table}``.
    labels
        Name in the table → text in its place, as for figures: ``{"gce": "GCE"}``. Formulas between dollar
        signs stay as they are. Default: those of the figures that are drawn now, if any.

    Returns
    -------
    str
        Lines of LaTeX, which end in a line break.

    Raises
    ------
    InputError
        If a setting or the measure is unknown, a label breaks its rule, runs differ in a setting that neither
        rows nor columns have, or two runs of one seed are in one cell.
    """
    check_table(table)
    if interval not in get_args(Interval):
        raise unknown("kind of interval", str(interval), get_args(Interval))
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= 9:
        raise InputError(
            f"decimals is {decimals!r}; it must be a whole number from 0 to 9, such as decimals=1."
        )
    style = current_style() if labels is None else FigureStyle(labels=labels)
    named = name_matrices(table)
    finished = named[named["state"].isin(["done", "diverged"])] if "state" in named else named
    if finished.empty:
        raise InputError("the table has no finished run; run the study first.")
    measure = measure or common_accuracy(finished)
    rows, others = _checked_settings(finished, rows, columns)
    if TRAINED_BY in finished and TRAINED_BY not in (rows, *others):
        finished = finished.assign(**{rows: _with_trainer(finished, rows)})
    points = intervals(finished, by=[rows, *others], value=measure)
    in_percent = measure in FRACTION_MEASURES
    cells = [_cell(point, interval, decimals, in_percent) for point in points.to_dict(orient="records")]
    row_values, column_values = _order(finished, [rows]), _order(finished, others)
    places = {
        (_values(point, [rows]), _values(point, others)): cell
        for point, cell in zip(points.to_dict(orient="records"), cells, strict=True)
    }
    frame = pd.DataFrame(
        [
            [
                _name([rows], row, style),
                *(places.get((row, column), escape(MISSING)) for column in column_values),
            ]
            for row in row_values
        ]
    )
    frame.columns = pd.Index(
        [_labelled(rows, style), *(_name(others, column, style) for column in column_values)]
    )
    text: str = frame.to_latex(
        index=False,
        escape=False,
        column_format="l" + "c" * len(column_values),
        caption=escape(caption) or None,
        label=label or None,
    )
    return _comment(finished, points, measure, interval, in_percent) + text


def escape(text: str) -> str:
    """Return a text that LaTeX prints as it is, on one line."""
    escaped = printable(" ".join(text.split())).translate(_TABLE)
    return _at_the_start(re.sub("-(?=-)", "-{}", escaped).replace("–", "--"))  # two hyphens would be one dash


def _at_the_start(text: str) -> str:
    """Return a text of LaTeX that may begin a row: brackets and stars there would be arguments."""
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _checked_settings(
    table: pd.DataFrame, rows: str | None, columns: str | Sequence[str] | None
) -> tuple[str, list[str]]:
    """Return the settings of the rows and of the columns."""
    if rows is not None and not isinstance(rows, str):
        raise InputError(
            f"rows is {short_repr(rows)}; it must be the name of one setting. Use rows='loss', and columns "
            "for the others."
        )
    varying = [name for name in settings_of_points(table) if name != TRAINED_BY]
    rows = rows or compared_setting(table) or next(iter(varying), "model")
    chosen = [columns] if isinstance(columns, str) else columns
    others = [name for name in varying if name != rows] if chosen is None else list(chosen)
    for name in (rows, *others):
        if name not in table:
            raise unknown("setting of the table", name, map(str, table.columns))
    if len({rows, *others}) < 1 + len(others):
        raise InputError(
            f"rows is {rows!r} and columns is {others!r}; each setting can be there once. Leave out what is "
            "there twice."
        )
    missing = [name for name in varying if name not in (rows, *others)]
    if missing:
        raise InputError(
            f"runs differ in {', '.join(missing)} too, which neither rows nor columns name; a cell is a "
            f"mean over seeds alone. Use columns={[*others, *missing]!r}."
        )
    return rows, others


def _with_trainer(table: pd.DataFrame, rows: str) -> list[Any]:
    """Return the values of a setting; those of recorded runs with the name of who trained them."""
    pairs = zip(table[rows], table[TRAINED_BY], strict=True)
    return [f"{format_value(value)} ({trainer})" if trainer else value for value, trainer in pairs]


def _order(table: pd.DataFrame, settings: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the values of settings in the order of the runs; numbers ascend."""
    values = list(dict.fromkeys(_values(row, settings) for row in table.to_dict(orient="records")))
    is_number = all(isinstance(x, int | float) for value in values for x in value)
    return sorted(values) if is_number else values


def _values(row: Any, settings: Sequence[str]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(row[name]) else row[name] for name in settings)


def _name(settings: Sequence[str], values: Sequence[Any], style: FigureStyle) -> str:
    """Return values as the head of a row or column; numbers have the name of their setting."""
    parts = []
    for name, value in zip(settings, values, strict=True):
        if name == TRAINED_BY and value == "":
            parts.append("Dilution")
        elif isinstance(value, str):
            parts.append(value or MISSING)
        elif value is not None:
            parts.append(f"{name} {format_value(value)}")
    return _labelled(", ".join(parts) or ("mean" if not settings else MISSING), style)


def _labelled(text: str, style: FigureStyle) -> str:
    """Return a text, or the label in its place, for LaTeX; of a label formulas between dollar signs stay."""
    label = style.renamed(text)
    if label == text:
        return escape(text)
    parts = re.split(r"(\$[^$]+\$)", " ".join(label.split()))
    printed = [part if place % 2 else printable(part).translate(_TABLE) for place, part in enumerate(parts)]
    return _at_the_start("".join(printed))


def _cell(point: Any, interval: Interval, decimals: int, in_percent: bool) -> str:
    mean, low, high = ((100 if in_percent else 1) * point[name] for name in ("mean", "low", "high"))
    if math.isnan(mean):
        return escape(MISSING)
    if interval == "none" or math.isnan(low):
        return f"${mean:.{decimals}f}$"
    if interval == "half":
        return rf"${mean:.{decimals}f} \pm {(high - low) / 2:.{decimals}f}$"
    return f"${mean:.{decimals}f}$ $[{low:.{decimals}f}, {high:.{decimals}f}]$"


def _comment(
    table: pd.DataFrame, points: pd.DataFrame, measure: str, interval: Interval, in_percent: bool
) -> str:
    """Return lines of comment that say what a cell is."""
    unit = ", in percent" if in_percent else ""
    shown = {
        "half": " and half the width of its 95 % Student t interval over seeds",
        "bounds": " and its 95 % Student t interval over seeds",
        "none": "",
    }[interval]
    low, high = points["seeds"].min(), points["seeds"].max()
    seeds = f"{high}" if low == high else f"{low} to {high}"
    lines = [
        "needs \\usepackage{booktabs}",
        f"cells: mean {measure}{unit}{shown}; seeds per cell: {seeds}",
    ]
    if diverged := int((table["state"] == "diverged").sum()) if "state" in table else 0:
        lines.append(f"{diverged} of {len(table)} runs diverged and count as accuracy at chance")
    if without := len(table) - int(points["seeds"].sum()):
        lines.append(f"{without} of {len(table)} runs have no {measure} and are in no cell")
    return "".join(f"% {line}\n" for line in lines)
