"""The same page as Markdown, for readers of a repository."""

import re
from collections.abc import Sequence
from pathlib import Path

from dilution.report.page import Page
from dilution.report.section import Section
from dilution.report.tables import points_cells
from dilution.utils.output_folder import write_output
from dilution.utils.printable import page_bytes


def write_markdown(page: Page, folder: Path) -> Path:
    """Write ``README.md``: each figure with its summary, plot, caption and verdicts, then what produced them.

    Parameters
    ----------
    page
        The page.
    folder
        Folder of the page and its plots.

    Raises
    ------
    DilutionError
        If the file cannot be written.
    """
    lines = [f"# {_escape(page.title)}", "", *([_escape(page.answer), ""] if page.answer else [])]
    lines += _list(page.findings)
    lines += ["The same content as an HTML page: index.html.", ""]
    for section in page.sections:
        lines += _section(section)
    lines += ["## What produced this page", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in page.made_by.items()]
    return write_output(folder / "README.md", page_bytes("\n".join(lines) + "\n"))


def _section(section: Section) -> Sequence[str]:
    lines = [f"## {_escape(section.name)}: {_escape(section.title)}", "", _escape(section.summary), ""]
    lines += _list(section.findings)
    if section.svg:
        lines += [f"![{_escape_brackets(section.title)}]({section.name}.png)", ""]
    lines += [_escape(section.caption), ""]
    if section.points_title and len(section.points):
        lines += [f"{_escape(section.points_title)}:", "", *_table(section), ""]
    if section.notes:
        lines += ["Notes on the data:", "", *_list(section.notes)]
    if not section.claims.empty:
        lines += ["| claim | verdict | measured | rule |", "|---|---|---|---|"]
        columns = ("claim", "verdict", "numbers", "rule")
        lines += [
            "| " + " | ".join(_cell(row[column]) for column in columns) + " |"
            for row in section.claims.to_dict(orient="records")
        ]
        lines.append("")
    return lines


def _list(sentences: Sequence[str]) -> list[str]:
    """Return sentences as a list, with an empty line behind it; nothing without any."""
    return [*(f"- {_escape(sentence)}" for sentence in sentences), ""] if sentences else []


def _table(section: Section) -> list[str]:
    """Return the points of a section as a table."""
    cells = points_cells(section.points, section.as_percent, section.confidence, section.value_name)
    head, *rows = ("| " + " | ".join(map(_cell, row)) + " |" for row in (cells.head, *cells.rows))
    return [head, f"|{'|'.join('---:' if numeric else '---' for numeric in cells.numeric)}|", *rows]


_SPECIAL = r"""
    \\(?![0-9A-Za-z])                       # an escape
    | [`*]                                  # code and emphasis
    | (?<![0-9A-Za-z])_ | _(?![0-9A-Za-z])  # emphasis; not the _ inside test_acc
    | ~(?=~) | (?<=~)~                      # strikethrough
    | !(?=\[) | \](?=[(\[:])                # images, links, what they refer to
    | ^(?:[-+](?=[-\s]|$) | \#(?=[\#\s]|$) | \[ | >) | ^\d{1,9}[.)](?=\s|$)  # lists, headings, definitions
"""
_IN_TEXT = re.compile(_SPECIAL, re.VERBOSE)
_IN_IMAGE = re.compile(rf"{_SPECIAL} | [\[\]]", re.VERBOSE)


def _escape(text: str, special: re.Pattern[str] = _IN_TEXT) -> str:
    """Return text on one line that Markdown reads as text alone."""
    line = " ".join(text.split())
    line = special.sub(lambda match: f"{match[0][:-1]}\\{match[0][-1]}", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape_brackets(text: str) -> str:
    """Return text for the description of an image, which ends at a bracket."""
    return _escape(text, _IN_IMAGE)


def _cell(value: object) -> str:
    return _escape(str(value)).replace("|", "\\|")
