"""The command line: parses, calls, prints. Modules that load slowly are imported inside the commands."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from dilution.cli import labels, review, studies
from dilution.cli.benchmark import benchmark
from dilution.cli.compare import compare
from dilution.cli.compare_runs import compare_runs
from dilution.cli.data import data_app
from dilution.cli.fit import fit
from dilution.cli.foreign_settings import leave_out_foreign_settings
from dilution.cli.group import SectionedGroup
from dilution.cli.lists import list_app
from dilution.cli.noise import show_app
from dilution.cli.predict import predict
from dilution.cli.show_run import show_run
from dilution.cli.signals import end_like_ctrl_c
from dilution.utils.protected_output import protected_output

RESEARCHERS = "Researchers (figures and studies)"
LABELS = "Doubtful labels"
LOOK = "Look around"

_OUTPUT_CLOSED = 128 + 13  # as a shell reports SIGPIPE

app = typer.Typer(
    cls=SectionedGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)


def _print_version(is_set: bool) -> None:
    if is_set:
        from dilution.utils.version import code_version

        typer.echo(f"dilution {code_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Measure how much label noise a model tolerates, and what more or better labels would cost."""
    del version


app.command(rich_help_panel=RESEARCHERS)(studies.reproduce)
app.command(rich_help_panel=RESEARCHERS)(benchmark)
app.command(rich_help_panel=RESEARCHERS)(studies.run)
app.command(rich_help_panel=RESEARCHERS)(studies.status)
app.command(rich_help_panel=RESEARCHERS)(studies.claims)
app.command(rich_help_panel=RESEARCHERS)(studies.report)
app.command("compare-runs", rich_help_panel=RESEARCHERS)(compare_runs)
app.command(rich_help_panel=RESEARCHERS)(studies.export)
app.command("import", rich_help_panel=RESEARCHERS)(studies.import_)
app.command(rich_help_panel=RESEARCHERS)(studies.merge)
app.command(rich_help_panel=LABELS)(labels.diagnose)
app.command(rich_help_panel=LABELS)(review.review)
app.command(rich_help_panel=LABELS)(compare)
app.command(rich_help_panel=LABELS)(labels.plan)
app.command(rich_help_panel=LABELS)(labels.advise)
app.command(rich_help_panel=LABELS)(fit)
app.command(rich_help_panel=LABELS)(predict)
show_app.command("run")(show_run)
app.add_typer(show_app, name="show", rich_help_panel=LOOK)
app.add_typer(list_app, name="list", rich_help_panel=LOOK)
app.add_typer(data_app, name="data", rich_help_panel=LOOK)


def main() -> None:
    """Run the command line; how it ends is the same whatever ends it.

    SIGTERM and a closed terminal end it like Ctrl-C. It goes on where nobody reads its output any more, and
    then exits with code 141, as a program that SIGPIPE ended.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it reports a home folder that is not writable
    end_like_ctrl_c()
    with protected_output() as output:
        _check_current_folder()
        leave_out_foreign_settings()
        try:
            app(standalone_mode=True)
        except SystemExit as end:
            if output is not None and output.reader_is_gone and not end.code:
                sys.exit(_OUTPUT_CLOSED)
            raise


def _check_current_folder() -> None:
    """End with a message if the current folder was deleted: libraries would end without one."""
    try:
        Path.cwd()
    except OSError as error:
        typer.echo(
            f"error: the current folder cannot be used: {error.strerror}. Change to another one.", err=True
        )
        sys.exit(2)
