"""One self-contained HTML page: verdicts first, then each figure with its evidence.

The page makes no network request and carries its plots within itself. All of it can be read without
script; the one script it runs lets a reader point at a plot and zoom (`plot.js`), search and sort
(`tables.js`).
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dilution.errors import InputError, unknown
from dilution.report.marks import Mark
from dilution.report.svg import inline_svg, tips
from dilution.report.tables import BOUNDS, Cells, points_cells, runs_cells, text
from dilution.study.selection import common_settings, varying_settings
from dilution.utils.atomic import write_whole

# Verdict to the class that colours its badge and the symbol that says the same without colour.
VERDICTS = {
    "reproduced": ("yes", "✓"),
    "not reproduced": ("no", "✕"),
    "not testable at this scale": ("open", "?"),
}
CLAIM_COLUMNS = ("figure", "claim", "rule", "verdict", "numbers")


@dataclass(frozen=True)
class Section:
    """One figure of the report and everything that stands behind it.

    Parameters
    ----------
    name
        Short name, such as ``fig1``.
    title
        What the figure shows.
    finding
        What was found, in one plain sentence.
    svg
        The plot as SVG text; empty for a section without a plot.
    caption
        Scale and data, and what differs from the paper.
    method
        How it was done. A blank line starts a new paragraph.
    claims
        Columns ``figure``, ``claim``, ``rule``, ``verdict`` and ``numbers``, one row a claim. A
        verdict is "reproduced", "not reproduced" or "not testable at this scale".
    points
        Aggregated table with ``mean``, ``low``, ``high`` and ``seeds``.
    runs
        One row a run.
    shares
        Whether the means of `points` are shares in [0, 1], to be shown as percent.
    marks
        The points of the plot that a reader can ask about.
    level
        Confidence of the intervals of `points`, in percent.
    seeded
        Whether they are Student's t over seeds.
    runs_title, runs_file
        What the table of `runs` lists, and the file that has all of it. Default: runs, ``NAME-runs.csv``. A
        table
        of anything else is shown with all its columns.
    """

    name: str
    title: str
    finding: str
    svg: str
    caption: str
    method: str
    claims: pd.DataFrame
    points: pd.DataFrame
    runs: pd.DataFrame
    shares: bool = True
    marks: tuple[Mark, ...] = ()
    level: int = 95
    seeded: bool = True
    runs_title: str = "runs behind this figure"
    runs_file: str = ""


@dataclass(frozen=True)
class Page:
    """A report: its title, its figures in order, and what produced it (label to value).

    Its first sentence is the answer, or without one a count of the verdicts.
    """

    title: str
    sections: Sequence[Section]
    made_by: dict[str, str] = field(default_factory=dict)
    answer: str = ""


@dataclass(frozen=True)
class _Claim:
    """A row of claims as the template prints it."""

    figure: str
    claim: str
    rule: str
    verdict: str
    numbers: str
    look: str
    symbol: str


@dataclass(frozen=True)
class _Figure:
    """A section as the template prints it: `tips` is what its points say, `intervals` if they have any."""

    anchor: str
    section: Section
    claims: list[_Claim]
    plot: Markup
    tips: list[dict[str, Any]]
    intervals: bool
    points: Cells
    runs: Cells


def render(page: Page) -> str:
    """Return the page as HTML; every text in it is escaped.

    Raises
    ------
    InputError
        If a table of claims lacks a column or holds a verdict that does not exist.
    """
    figures = [_figure(number, section) for number, section in enumerate(page.sections, start=1)]
    folder = files("dilution.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(folder.joinpath("page.html.jinja").read_text("utf-8"))
    css, *scripts = (
        folder.joinpath(name).read_text("utf-8") for name in ("page.css", "plot.js", "tables.js")
    )
    script = "\n".join(scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return template.render(
        page=page,
        figures=figures,
        css=Markup(css),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),  # the browser runs this script and no other
        summary=page.answer or _summary([claim.verdict for figure in figures for claim in figure.claims]),
    )


def write(page: Page, path: Path) -> Path:
    """Render the page into a file and return its path.

    Raises
    ------
    DilutionError
        If the file cannot be written. No half-written file is left.
    """
    return write_whole(Path(path), render(page).encode("utf-8"))


def _figure(number: int, section: Section) -> _Figure:
    label = f"{section.title}. {section.finding}"
    return _Figure(
        anchor=f"figure-{number}",
        section=section,
        claims=_claims(section.claims),
        plot=Markup(inline_svg(section.svg, f"plot-{number}", label) if section.svg else ""),
        tips=tips(section.marks, section.shares, _about(section.runs)),
        intervals=set(BOUNDS) <= set(section.points.columns),
        points=points_cells(section.points, section.shares, section.level),
        runs=runs_cells(_differing(section.runs) if "state" in section.runs else section.runs),
    )


def _about(runs: pd.DataFrame) -> str:
    shared = common_settings(runs)
    return f"All runs: {shared}." if shared else ""


def _differing(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs with what tells them apart and what they reached first, without what is the same in all."""
    first = [
        name
        for name in (*varying_settings(runs), "seed", "state", "test_acc_at_best_clean_val")
        if name in runs
    ]
    rest = [name for name in runs.columns if name not in first]
    return runs[[*first, *(name for name in rest if len(runs) < 2 or runs[name].nunique(dropna=False) > 1)]]


def _claims(table: pd.DataFrame) -> list[_Claim]:
    if table.empty:
        return []
    missing = [column for column in CLAIM_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            f"the table of claims lacks {', '.join(missing)}; its columns must be {', '.join(CLAIM_COLUMNS)}."
        )
    claims = []
    for row in table.loc[:, list(CLAIM_COLUMNS)].itertuples(index=False, name=None):
        figure, claim, rule, verdict, numbers = map(text, row)
        if verdict not in VERDICTS:
            raise unknown("verdict", verdict, VERDICTS)
        claims.append(_Claim(figure, claim, rule, verdict, numbers, *VERDICTS[verdict]))
    return claims


def _summary(verdicts: list[str]) -> str:
    """Count the verdicts in one plain sentence."""
    if not verdicts:
        return "This report makes no claims."
    yes, no, untested = (verdicts.count(verdict) for verdict in VERDICTS)
    tested = yes + no
    if not tested:
        return "No claim of this report can be tested at this scale."
    claims = "the one claim" if tested == 1 else f"the {tested} claims"
    sentence = f"Of {claims} tested here, {yes or 'none'} {'is' if yes < 2 else 'are'} reproduced"
    sentence += f" and {no} {'is' if no == 1 else 'are'} not." if no else "."
    if untested:
        more = "One more" if untested == 1 else f"{untested} more"
        sentence += f" {more} cannot be tested at this scale."
    return sentence
