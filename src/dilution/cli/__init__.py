"""The command line: parses, calls, prints. Every import that is slow happens inside a command."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Annotated

import typer

from dilution.cli import labels, studies
from dilution.cli.data import data_app
from dilution.cli.noise import show_app
from dilution.errors import DilutionError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from dilution.utils.version import code_version

        typer.echo(f"dilution {code_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Measure how much label noise a network can take, and what it costs to buy your way out.

    Your way out: more labels, or better ones.
    """
    del version


app.command()(studies.reproduce)
app.command()(studies.run)
app.command()(studies.status)
app.command()(studies.export)
app.command()(studies.claims)
app.command("import")(studies.import_)
app.command()(studies.merge)
app.command()(studies.report)
app.command()(labels.diagnose)
app.command()(labels.plan)
app.command()(labels.advise)
app.add_typer(data_app, name="data")
app.add_typer(show_app, name="show")


def main() -> None:
    """Run the command line; what a user can mend ends with one message and exit code 2."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except DilutionError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EPIPE, errno.EIO) or error.filename:
            raise
        typer.echo(f"error: the output cannot be written: {error.strerror}.", err=True)
        sys.exit(2)


def _interrupt(number: int, frame: object) -> None:
    """End on SIGTERM as on Ctrl-C, so that workers are stopped and finished runs kept."""
    del number, frame
    raise KeyboardInterrupt
