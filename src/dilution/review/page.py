"""The review page: one HTML file without a request to anywhere, which asks for a verdict on each example.

Served by :mod:`dilution.review.server` it sends every answer back; as a file it keeps answers in the browser
and saves them as a download. Texts of strangers reach it as JSON and are shown as text only.
"""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dilution.errors import InputError
from dilution.report.json_file import json_text
from dilution.review.answers import COLUMNS, FILE_NAME, AnswerTable, read_answers
from dilution.review.items import ReviewItems, collect_items
from dilution.utils.atomic import write_atomic
from dilution.utils.printable import page_bytes

_SCRIPTS = ("verified_labels.js", "state.js", "saving.js", "drawing.js", "page.js")  # one script in the page
_LESS_THAN = "\\u003c"  # in JSON within HTML: no text can end the element or begin a comment


def write_review(
    label_issues: pd.DataFrame,
    data: Any,
    path: str | Path,
    *,
    label: str | None = None,
    ids: Any = None,
    n: int | None = None,
    n_random: int = 0,
    cells: pd.DataFrame | None = None,
    answers: str | Path | None = None,
    name: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a page for the review of label issues, one file that works without a server; return its path.

    The page keeps answers in the browser and saves them as ``verified_labels.csv``, which
    :func:`dilution.diagnose` takes as `verified_labels`.

    Parameters
    ----------
    label_issues
        ``Diagnosis.label_issues``.
    data
        The data that were diagnosed, as :func:`dilution.diagnose` takes them.
    path
        HTML file to write.
    label, ids
        As of :func:`dilution.diagnose`.
    n
        Number of the most suspicious examples. Default: all label issues, at least 20 and at most 2,000.
    n_random
        Number of further examples, drawn from all others: labels that look right.
    cells
        Rows to show, one per example of the data. Default: the rows of a table, otherwise the features.
    answers
        File of verified labels with which the page starts.
    name
        Name of the data on the page.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If the data are not those of the label issues, or the file exists.
    DataError
        If the data or answers cannot be read.
    DilutionError
        If the page cannot be written.
    """
    items, examples = collect_items(
        label_issues, data, label=label, ids=ids, name=name, n=n, n_random=n_random, cells=cells
    )
    table = AnswerTable() if answers is None else read_answers(Path(answers), examples)[0]
    return write_page(items, table, Path(path), overwrite=overwrite)


def write_page(
    items: ReviewItems, table: AnswerTable, path: Path, command: str = "", *, overwrite: bool = False
) -> Path:
    """Write the page of a review as a file, and return its path.

    Parameters
    ----------
    items
        The examples.
    table
        Answers with which the page starts.
    path
        HTML file to write.
    command
        Command that uses the answers.
    overwrite
        Whether an existing file is replaced.
    """
    check_free(path, overwrite=overwrite)
    return write_atomic(path, page_bytes(render_page(items, table, command)))


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise InputError if there is a file of this name that may not be replaced."""
    if not overwrite and (path.exists() or path.is_symlink()):
        raise InputError(
            f"{path} exists and is left as it is. Choose another name, or --overwrite (overwrite=True) to "
            "replace it."
        )


def render_page(items: ReviewItems, table: AnswerTable, command: str = "", save_to: str = "") -> str:
    """Return the page as HTML.

    Parameters
    ----------
    items
        The examples.
    table
        Answers with which the page starts.
    command
        Command that uses the answers.
    save_to
        Address to which every answer is sent. Default: the page saves the file as a download.
    """
    folder = files("dilution.review")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(folder.joinpath("page.html.jinja").read_text("utf-8"))
    css = folder.joinpath("page.css").read_text("utf-8")
    script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template.render(
        title=f"Review of {items.name}",
        css=Markup(css),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),  # the browser runs this script and no other
        is_served=bool(save_to),
        review=_embed(_review(items)),
        state=_embed(_state(items, table, command, save_to)),
    )


def _review(items: ReviewItems) -> dict[str, Any]:
    """Return what does not change while a review goes on."""
    contents = items.contents
    return {
        "key": items.key,
        "classes": items.classes,
        "ids": items.ids,
        "given": items.given,
        "suggested": items.suggested,
        "p_wrong": items.p_wrong,
        "p_suggested": items.p_suggested,
        "images": contents.images,
        "columns": contents.columns,
        "cells": contents.cells,
        "notes": contents.notes,
    }


def _state(items: ReviewItems, table: AnswerTable, command: str, save_to: str) -> dict[str, Any]:
    """Return the answers so far, and the rows of the file that must be kept."""
    return {
        "answers": list(table.answers(items).items()),
        "file": FILE_NAME,
        "file_columns": table.columns,
        "n_own_columns": len(COLUMNS),
        "rows": [list(row.values()) for row in table.rows.values()],
        "save_to": save_to,
        "command": command,
    }


def _embed(content: dict[str, Any]) -> Markup:
    return Markup(json_text(content).replace("<", _LESS_THAN))
