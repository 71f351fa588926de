"""Signals: SIGTERM and a closed terminal end a command as Ctrl-C does, but not while it writes its files."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from dilution.utils.stage_log import begin_stage, end_stage

_HANGUP = ["SIGHUP"] if hasattr(signal, "SIGHUP") else []  # not on Windows
_NAMES = ["SIGTERM", *_HANGUP]


def end_like_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP end the program like Ctrl-C: workers stop, and finished runs are kept."""
    for number in (getattr(signal, name) for name in _NAMES):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Write the files of a result to the end; a signal that arrives meanwhile ends the command after that."""
    begin_stage("writing the files")
    try:
        with _signals_wait(folder):
            yield
    finally:
        end_stage()


@contextmanager
def _signals_wait(folder: Path) -> Iterator[None]:
    """Have signals end the command behind the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGINT", *_NAMES)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)
    if arrived:
        typer.echo(f"interrupted; the result is complete in {folder}.", err=True)
        raise typer.Exit(130)


def _interrupt(number: int, frame: object) -> None:
    del frame
    signal.signal(number, signal.SIG_IGN)  # a closed terminal sends several, which must not disturb the end
    raise KeyboardInterrupt
