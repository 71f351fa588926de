"""The command for people who check labels: review."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dilution.cli.options import DataRootOption, shows_stages
from dilution.utils.stage_log import begin_stage, end_stage

if TYPE_CHECKING:
    from dilution.review.answers import AnswerFile
    from dilution.review.items import ReviewItems


@shows_stages
def review(
    folder: Annotated[Path, typer.Argument(help="Folder that diagnose wrote.", show_default=True)] = Path(
        "diagnosis"
    ),
    data: Annotated[
        str | None,
        typer.Option("--data", help="The data, if their path is not that which diagnose was given."),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            min=0,
            help="How many examples to check, the most suspicious first. Default: as many as there are label "
            "issues, but at least 20 and at most 2,000.",
        ),
    ] = None,
    n_random: Annotated[
        int, typer.Option("--random", min=0, help="Further examples, drawn at random from all others.")
    ] = 0,
    write: Annotated[
        Path | None, typer.Option("--write", help="Write the page as one HTML file that works offline.")
    ] = None,
    label_studio: Annotated[
        Path | None, typer.Option("--label-studio", help="Write tasks for Label Studio: a JSON file.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. Default: a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    data_root: DataRootOption = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the files of --write and --label-studio if they exist. Without it, such a file "
            "ends the command with an error.",
        ),
    ] = False,
) -> None:
    """Check label issues on a page, most suspicious first.

    Serves the page to this machine only. Every answer is saved to verified_labels.csv in the folder, which
    diagnose takes as --verified. Run the command again to resume.
    """
    from dilution.review.answers import FILE_NAME, AnswerFile
    from dilution.review.items import collect_items
    from dilution.review.label_issues import read_diagnosis
    from dilution.review.label_studio import write_tasks
    from dilution.review.page import check_free, write_page

    for file in filter(None, (write, label_studio)):
        check_free(file, overwrite=overwrite)
    begin_stage("reading the diagnosis and the data")
    diagnosis = read_diagnosis(folder)
    source = data or _check_name(diagnosis.name, folder)
    items, examples = collect_items(
        diagnosis.label_issues,
        source,
        n=n,
        n_random=n_random,
        root=data_root,
        log=lambda line: typer.echo(line, err=True),
    )
    answers = AnswerFile(folder / FILE_NAME, items, examples, diagnosis.label_issues)
    for note in (*items.contents.notes, *answers.notes):
        typer.echo(f"note: {note}", err=True)
    command = _diagnose_again(source, answers.path, folder)
    if write is not None:
        typer.echo(f"page: {write_page(items, answers.table, write, command, overwrite=overwrite)}")
    if label_studio is not None:
        tasks, configuration = write_tasks(items, label_studio, overwrite=overwrite)
        typer.echo(f"tasks: {tasks}\nlabelling configuration: {configuration}")
    end_stage()
    if write is None and label_studio is None:
        _serve(items, answers, command, port, opens_browser=browser)


def _serve(items: ReviewItems, answers: AnswerFile, command: str, port: int, *, opens_browser: bool) -> None:
    """Serve the page until Ctrl-C, and say what was saved."""
    from dilution.review.server import ReviewServer

    with ReviewServer(items, answers, command, port) as server:
        before = len(answers.answers())
        resumed = f", {before:,} of them reviewed" if before else ""
        typer.echo(f"{len(items):,} examples to review{resumed}. Ctrl-C ends the review.")
        typer.echo(f"review: {server.url}")
        sys.stdout.flush()
        if opens_browser and _has_screen():
            import webbrowser

            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            answers.finish()
    typer.echo(f"\n{_describe(items, answers)}")
    if answers.answers():
        typer.echo(f"next: {command}")


def _describe(items: ReviewItems, answers: AnswerFile) -> str:
    """Return what was reviewed, in a sentence."""
    from dilution.review.answers import count_verdicts

    given = answers.answers()
    if not given:
        return "No answer was given" + (f"; {answers.path} is unchanged." if answers.path.exists() else ".")
    counts = ", ".join(f"{count:,} {name}" for name, count in count_verdicts(items, given).items() if count)
    return f"{len(given):,} of {len(items):,} reviewed: {counts}. Saved in {answers.path}."


def _check_name(name: str, folder: Path) -> str:
    """Return the name of the data of a diagnosis, if a name was given to it that is no code."""
    from dilution.errors import InputError
    from dilution.utils.references import is_reference

    if name == "data":
        raise InputError(
            f"{folder} is the diagnosis of data that had no name, such as arrays in Python. Name a file with "
            "--data that has the same examples, or call write_review of dilution.review in Python."
        )
    if is_reference(name):
        raise InputError(
            f"{folder} is the diagnosis of {name!r}, a function that would be imported; the folder may be "
            f"somebody else's. If you trust that code, name it: "
            f"`dilution review {shlex.quote(str(folder))} --data {name}`."
        )
    return name


def _diagnose_again(source: str, answers: Path, folder: Path) -> str:
    """Return the command that uses the answers."""
    words = ["dilution", "diagnose", source, "--verified", str(answers)]
    return shlex.join([*words, *(["--out", str(folder)] if folder != Path("diagnosis") else [])])


def _has_screen() -> bool:
    """Return whether a browser with windows can open; one of the terminal would stop this command."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
