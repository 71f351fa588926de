"""The section of a study on differences: each value of a named setting against one of them, with p-values."""

from pathlib import Path

import pandas as pd

from dilution.report.section import Section, write_tables
from dilution.report.tables import format_number
from dilution.study.comparison import SIGNIFICANT
from dilution.study.differences import compared_setting, difference_rows
from dilution.study.statistics import common_accuracy

_METHOD = (
    "Runs are paired by seed, and the interval is a 95 % Student t interval of the paired differences, not "
    "corrected. p is that of a two-sided paired t test, p_holm the same after the correction of Holm "
    "(1979) for all rows of this table: if there were no difference at all, at most 5 % of such tables "
    "would have any row with p_holm below 0.05. Diverged runs count as accuracy at chance."
)


def differences_file(file: str) -> str:
    """Return the file name of the section beside that of its study, without ending."""
    return f"{file}-differences"


def differences_section(
    name: str, runs: pd.DataFrame, folder: Path, file: str, measure: str | None = None
) -> Section | None:
    """Return the section on differences of a study, and write its table.

    Parameters
    ----------
    name
        Name of the study.
    runs
        One row per run.
    folder
        Folder for the table.
    file
        File name without its ending.
    measure
        Test accuracy that is compared. Default: that by which runs are shown together.

    Returns
    -------
    Section or None
        None if no named setting varies, or no two values of it have two seeds in common.

    Raises
    ------
    DilutionError
        If the file cannot be written.
    """
    finished = runs[runs["state"].isin(["done", "diverged"])]
    by = compared_setting(finished) if finished["seed"].nunique() > 1 else None
    if by is None:
        return None
    measure = measure or common_accuracy(finished)
    points = difference_rows(finished, by, measure=measure)
    left_out = points.attrs["left_out"]
    if points.empty or points["seeds"].max() < 2:
        return None
    write_tables(folder, file, points, pd.DataFrame())
    against = points["against"].iloc[0]
    return Section(
        name=file,
        title=f"{name}: differences",
        summary=_summary(points, by),
        svg="",
        caption=f"Differences of {measure} from that of {by} {against}, in percentage points, by pairs of "
        "runs of one seed." + (f" Runs without a partner: {left_out}." if left_out else ""),
        method=_METHOD,
        claims=pd.DataFrame(),
        points=points,
        runs=pd.DataFrame(),
        points_title="Differences in percentage points",
    )


def _summary(points: pd.DataFrame, by: str) -> str:
    """Return how many differences are significant, and the largest of them, in two sentences."""
    significant = points[points["p_holm"] < SIGNIFICANT]
    against = points["against"].iloc[0]
    count = "no difference" if significant.empty else f"{len(significant)}"
    verb = "are" if len(significant) > 1 else "is"
    sentence = f"Of {len(points)} differences from {against} {count} {verb} significant at 5 % (Holm)."
    if significant.empty:
        return sentence
    top = significant.loc[significant["mean"].abs().idxmax()]
    low, high = (format_number(top[name], as_percent=True) for name in ("low", "high"))
    columns = list(points.columns)
    conditions = [
        f"{name} {top[name]}" for name in columns[: columns.index(by)] if points[name].nunique() > 1
    ]
    where = f" ({', '.join(conditions)})" if conditions else ""
    size = f"{100 * top['mean']:+.1f} points [{low}, {high}]"
    largest = "It" if len(significant) == 1 else "The largest of these"
    return f"{sentence} {largest} is that of {top[by]}{where}: {size}."
