"""The top command: help in sections, one line per error a user can mend, one line per converted file."""

from __future__ import annotations

import errno
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from dilution.cli.mended_command import mended_command
from dilution.errors import DilutionError, InputError, TimeLimitReached, short_repr
from dilution.utils.migration import OldNamesWarning
from dilution.utils.printable import one_line

TIME_LIMIT_EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again

_TORCH_MEMORY = "can't allocate memory"
_LONG_WORD = re.compile(r"(?<=\S{1000})\S+")  # the end of one that is too long for a message
_LONG_ARGUMENT = re.compile(r"(?<=\S{200})\S+")
_MAX_USAGE = 600  # characters of an error of usage
_UsageError: Any = typer.BadParameter.__base__  # of click, or of the copy of it in typer
_UNWRITABLE = (errno.ENOSPC, errno.EPIPE, errno.EIO)  # the output itself failed


class SectionedGroup(TyperGroup):
    """A command group whose help lists the commands under the heading of their ``rich_help_panel``.

    A :class:`DilutionError` ends the program with one message and exit code 2, and a time limit with the
    command that resumes and exit code 75. An :class:`OldNamesWarning` is
    printed as one line that starts with ``note:``. Both go to stderr.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the commands section by section, in the order in which they were added."""
        sections: dict[str, list[tuple[str, Any]]] = {}
        for name, command in self.commands.items():
            heading = getattr(command, "rich_help_panel", None)
            sections.setdefault(heading if isinstance(heading, str) else "Commands", []).append(
                (name, command)
            )
        width = max(map(len, self.commands))
        for heading, commands in sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    (f"{name:{width}}", command.get_short_help_str(formatter.width - width - 6))
                    for name, command in commands
                )

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the options before the name of a command."""
        with _usage_errors_on_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of a command, and run it."""
        with _usage_errors_on_one_line():
            return super().invoke(ctx)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and exit; see the class for errors and notes."""
        try:
            with _old_names_as_notes():
                return super().main(*args, **kwargs)
        except TimeLimitReached as error:
            words = args[0] if args and args[0] is not None else kwargs.get("args") or sys.argv[1:]
            typer.echo(f"{error} Resume: {shlex.join(['dilution', *words])}", err=True)
            sys.exit(TIME_LIMIT_EXIT_CODE)
        except DilutionError as error:
            message = str(error)
            if isinstance(error, InputError) and error.mended:
                words = args[0] if args and args[0] is not None else kwargs.get("args") or sys.argv[1:]
                if command := mended_command(words, error.mended):
                    message = f"{message}\nThe whole command: {command}"
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and _TORCH_MEMORY not in str(error):
                raise
            reason = " ".join(str(error).split())
            reason = f" ({reason})" if reason else ""
            message = f"there is not enough memory{reason}. Use fewer examples, or free memory."
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                message = (
                    f"{short_repr(error.filename)} cannot be a file: {error.strerror}. Choose a shorter name."
                )
            elif error.errno not in _UNWRITABLE or error.filename:
                raise
            else:
                message = f"the output cannot be written: {error.strerror}."
        typer.echo(f"error: {_LONG_WORD.sub('…', message)}", err=True)
        sys.exit(2)


@contextmanager
def _usage_errors_on_one_line() -> Iterator[None]:
    """Escape and shorten arguments in errors of usage, which repeat them as they were given."""
    try:
        yield
    except _UsageError as error:
        is_help = type(error).show is not _UsageError.show  # of a group without a command
        if is_help:
            raise
        message = _LONG_ARGUMENT.sub("…", error.format_message())
        raise _UsageError(one_line(message, _MAX_USAGE), error.ctx) from None


@contextmanager
def _old_names_as_notes() -> Iterator[None]:
    """Print each distinct :class:`OldNamesWarning` once, as a note; other warnings stay as they are."""
    notes: set[str] = set()
    with warnings.catch_warnings():
        show_warning = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **options: Any) -> None:
            if not issubclass(category, OldNamesWarning):
                show_warning(message, category, *where, **options)
            elif str(message) not in notes:
                notes.add(str(message))
                typer.echo(f"note: {message}", err=True)

        warnings.showwarning = show
        warnings.simplefilter("always", OldNamesWarning)
        yield
