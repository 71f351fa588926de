"""The same report as a short Markdown page, for readers of a repository."""

from collections.abc import Sequence
from pathlib import Path

from dilution.report.page import Page, Section
from dilution.utils.atomic import write_whole


def write_markdown(page: Page, folder: Path, command: str) -> Path:
    """Write ``README.md`` beside the page: claims with verdicts, then each figure with its caption.

    Parameters
    ----------
    page
        The report.
    folder
        Where the page and the figures are.
    command
        The command that makes it all again.

    Raises
    ------
    DilutionError
        If the file cannot be written.
    """
    lines = [
        f"# {_plain(page.title)}",
        "",
        f"Written by `{_plain(command)}`; the same as a page: index.html.",
        "",
    ]
    for section in page.sections:
        lines += _section(section)
    lines += ["## What produced it", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in page.made_by.items()]
    return write_whole(folder / "README.md", ("\n".join(lines) + "\n").encode())


def _section(section: Section) -> Sequence[str]:
    lines = [f"## {_plain(section.title)}", "", _plain(section.finding), ""]
    if section.svg:
        lines += [f"![{_plain(section.title)}]({section.name}.png)", ""]
    lines += [_plain(section.caption), ""]
    if not section.claims.empty:
        lines += ["| claim | here | measured | rule |", "|---|---|---|---|"]
        columns = ("claim", "verdict", "numbers", "rule")
        lines += [
            "| " + " | ".join(_cell(row[column]) for column in columns) + " |"
            for row in section.claims.to_dict(orient="records")
        ]
        lines.append("")
    return lines


def _plain(text: str) -> str:
    """Keep text from being read as HTML, where Markdown allows it."""
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _cell(text: object) -> str:
    return _plain(str(text)).replace("|", "\\|").replace("\n", " ")
