"""One self-contained HTML page: the answer first, then each figure with its evidence.

The page makes no network request and contains its plots. Everything on it can be read without script; its
single script adds tooltips and zoom to the plots (`plot.js`) and search and sorting to the tables
(`tables.js`).
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dilution.errors import InputError, unknown
from dilution.report.section import Section
from dilution.report.svg import inline_svg, tooltips
from dilution.report.tables import BOUNDS, Cells, format_value, points_cells, runs_cells
from dilution.study.statistics import common_settings, varying_settings
from dilution.utils.output_folder import write_output
from dilution.utils.printable import page_bytes

# Verdict → class that colours its badge, and a symbol that says the same without colour.
VERDICTS = {
    "reproduced": ("yes", "✓"),
    "not reproduced": ("no", "✕"),
    "not testable": ("open", "?"),
}
_MAX_EXAMPLE = 14  # letters of each word of the example for the search: both fit into its field
_WIDE = 500  # points: more than one panel

CLAIM_COLUMNS = ("figure", "claim", "rule", "verdict", "numbers")


@dataclass(frozen=True)
class Page:
    """A page: its title, its sections in order, what produced it, and the answer.

    Parameters
    ----------
    title
        Title of the page.
    sections
        The sections, in order.
    made_by
        What produced the page, label to value; see :func:`dilution.report.provenance.made_by`.
    answer
        First sentence of the page. Default: a count of the verdicts.
    findings
        Further answers, a line each, below the first.
    """

    title: str
    sections: Sequence[Section]
    made_by: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _ClaimView:
    """A row of the claims for the template."""

    figure: str
    claim: str
    rule: str
    verdict: str
    numbers: str
    badge_class: str
    symbol: str


@dataclass(frozen=True)
class _SectionView:
    """A section for the template.

    Whether its plot is wider than the text, whether its points have intervals, and words that find its last
    row among all.
    """

    anchor: str
    section: Section
    claims: list[_ClaimView]
    plot: Markup
    is_wide: bool
    tooltips: list[dict[str, Any]]
    has_intervals: bool
    points: Cells
    runs: Cells
    search_example: str


def render(page: Page) -> str:
    """Return the page as HTML, with every text escaped.

    Raises
    ------
    InputError
        If a table of claims lacks a column or has an unknown verdict.
    """
    views = [_view(number, section) for number, section in enumerate(page.sections, start=1)]
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
        views=views,
        css=Markup(css),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),  # the browser runs this script and no other
        answer=page.answer or _count_verdicts([claim.verdict for view in views for claim in view.claims]),
    )


def write(page: Page, path: Path) -> Path:
    """Write the page as HTML and return its path.

    Raises
    ------
    DilutionError
        If the file cannot be written. No half-written file is left.
    """
    return write_output(Path(path), page_bytes(render(page)))


def _view(number: int, section: Section) -> _SectionView:
    findings = [text if text.endswith(".") else f"{text}." for text in section.findings]
    label = " ".join([f"{section.title}.", section.summary, *findings])
    runs = runs_cells(_varying_columns(section.runs) if "state" in section.runs else section.runs)
    return _SectionView(
        anchor=f"figure-{number}",
        section=section,
        claims=_claim_views(section.claims),
        plot=Markup(inline_svg(section.svg, f"plot-{number}", label) if section.svg else ""),
        is_wide=_plot_width(section.svg) > _WIDE,
        tooltips=tooltips(
            section.marks, section.as_percent, _shared_settings(section.runs), section.confidence
        ),
        has_intervals=set(BOUNDS) <= set(section.points.columns),
        points=points_cells(section.points, section.as_percent, section.confidence, section.value_name),
        runs=runs,
        search_example=_search_example(runs),
    )


def _plot_width(svg: str) -> float:
    """Return the width of a plot in points; 0 without one."""
    match = re.search(r"viewBox\W+0 0 ([\d.]+) ", svg)
    return float(match[1]) if match else 0.0


def _search_example(cells: Cells) -> str:
    """Return words that find rows of a table: a text of its first row, and a number with its column."""
    if not cells.rows:
        return ""
    columns = list(zip(cells.head, cells.numeric, cells.rows[0], strict=True))
    texts = [cell for _, numeric, cell in columns if not numeric]
    numbers = [f"{name}={cell}" for name, numeric, cell in columns if numeric]
    short = ([word for word in words if _is_example(word)] for words in (texts, numbers))
    return " ".join(word for words in short for word in words[:1])


def _is_example(word: str) -> bool:
    return " " not in word and 1 < len(word) <= _MAX_EXAMPLE


def _shared_settings(runs: pd.DataFrame) -> str:
    settings = common_settings(runs)
    return f"All runs: {settings}." if settings else ""


def _varying_columns(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs without the columns that are equal in all of them; varying settings and accuracy first."""
    first = [
        name
        for name in (*varying_settings(runs), "seed", "state", "test_acc_at_best_clean_val")
        if name in runs
    ]
    others = [name for name in runs.columns if name not in first]
    varying = [name for name in others if len(runs) < 2 or runs[name].nunique(dropna=False) > 1]
    return runs[[*first, *varying]]


def _claim_views(table: pd.DataFrame) -> list[_ClaimView]:
    if table.empty:
        return []
    missing = [column for column in CLAIM_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            f"the table of claims lacks {', '.join(missing)}; its columns must be {', '.join(CLAIM_COLUMNS)}."
        )
    views = []
    for row in table.loc[:, list(CLAIM_COLUMNS)].itertuples(index=False, name=None):
        figure, claim, rule, verdict, numbers = map(format_value, row)
        if verdict not in VERDICTS:
            raise unknown("verdict", verdict, VERDICTS)
        views.append(_ClaimView(figure, claim, rule, verdict, numbers, *VERDICTS[verdict]))
    return views


def _count_verdicts(verdicts: list[str]) -> str:
    """Return a sentence that counts the verdicts, such as "2 of 3 tested claims are reproduced."."""
    if not verdicts:
        return "This page makes no claims."
    reproduced, failed, untested = (verdicts.count(verdict) for verdict in VERDICTS)
    tested = reproduced + failed
    if not tested:
        return "No claim can be tested with these runs."
    if len(verdicts) == 1:
        return f"The claim is {verdicts[0]}."
    verb = "is" if reproduced == 1 else "are"
    sentence = f"{reproduced} of {tested} tested claims {verb} reproduced."
    if untested:
        sentence += f" {untested} more cannot be tested with these runs."
    return sentence
