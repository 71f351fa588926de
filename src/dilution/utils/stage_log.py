"""Lines about the progress of a call that works in stages, which is never silent for long."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Self, TypeVar

from dilution.utils.protected_output import show_passing

_SILENT_SECONDS = 1.8  # at most, early in a stage
_LONGEST = 15.0  # between two lines, late in a long one
_GROWTH = 0.1  # of a stage so far, between two lines
_POLL_SECONDS = 0.2
_PASSING_SECONDS = 1.0  # between two changes of a passing line
_BAR = 12  # characters

Item = TypeVar("Item")


class StageLog:
    """Writes lines, and says how long the current stage has taken where no line was written for 2 seconds.

    The longer a stage takes, the rarer the lines become: at most 15 seconds apart. A terminal shows one
    passing line instead, which changes every second, with a bar where the work is counted. Use it as a
    context manager. While a second one that writes is in use, the first one is silent, and afterwards until
    its next stage.

    Parameters
    ----------
    write
        Function that writes a line; of a thread of its own too.
    stage
        What the call does first, such as ``"reading photos"``.
    clock
        Function that returns seconds.
    show
        Function that shows a passing line in place of the one before; empty text removes it. Default: lines
        are written.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        stage: str,
        clock: Callable[[], float] = time.monotonic,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self._write, self._stage, self._clock, self._show = write, stage, clock, show
        self._started = self._written = clock()
        self._is_silent = False
        self._done = self._total = 0
        self._shown = ""
        self._outer: StageLog | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._speak_up, name="stage log", daemon=True)

    @classmethod
    def to_stderr(cls, stage: str, *, progress: bool, silent: float = 0.0) -> Self:
        """Return a log of the standard error output; without progress it writes nothing.

        Parameters
        ----------
        stage
            What the call does first.
        progress
            Whether anything is written.
        silent
            Seconds for which nothing was written before.
        """
        if not progress:
            return cls(_ignore, stage)
        log = cls(_print_to_stderr, stage, show=_show_on_stderr if _shows_passing_lines() else None)
        log._written -= silent
        return log

    def __enter__(self) -> Self:
        self._outer = _CURRENT.get()
        if self._write is not _ignore:
            if self._outer is not None:
                self._written = self._outer.pause()
            _CURRENT.set(self)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()
        with self._lock:
            self._remove_passing()
        _CURRENT.set(self._outer)

    def __call__(self, line: str) -> None:
        """Write a line."""
        with self._lock:
            self._remove_passing()
            self._write(line)
            self._written = self._clock()

    def begin(self, stage: str) -> None:
        """Begin a stage, which is named once it takes long."""
        with self._lock:
            now = self._clock()
            if self._is_silent:  # others have written meanwhile
                self._written = max(self._written, now - _SILENT_SECONDS / 2)
            self._stage, self._started, self._is_silent = stage, now, False
            self._done = self._total = 0

    def advance(self, done: int, total: int) -> None:
        """Say how much of the work of the stage is done, of how much."""
        with self._lock:
            self._done, self._total = done, total

    def pause(self) -> float:
        """Be silent until the next stage, and return when the last line was written."""
        with self._lock:
            self._remove_passing()
            self._is_silent = True
            return self._written

    def speak_up(self) -> None:
        """Write what is done and for how long, if no line was written for too long."""
        with self._lock:
            if self._is_silent:
                return
            now = self._clock()
            seconds, silent = now - self._started, now - self._written
            counted = f"{self._done:,} of {self._total:,}, " if self._total else ""
            text = f"{self._stage}: {counted}{seconds:.0f} s so far"
            if self._show is not None:
                text = f"{_bar(self._done, self._total)}{text}"
                if silent >= _PASSING_SECONDS:
                    self._show(text)
                    self._shown, self._written = text, now
            elif silent >= min(_LONGEST, max(_SILENT_SECONDS, _GROWTH * seconds)):
                self._write(text)
                self._written = now

    def _remove_passing(self) -> None:
        if self._show is not None and self._shown:
            self._show("")
            self._shown = ""

    def _speak_up(self) -> None:
        while not self._closed.wait(_POLL_SECONDS):
            self.speak_up()


_CURRENT: ContextVar[StageLog | None] = ContextVar("current", default=None)


def begin_stage(stage: str) -> None:
    """Begin a stage of the log in use that writes; without one nothing happens."""
    log = _CURRENT.get()
    if log is not None:
        log.begin(stage)


def advance_stage(done: int, total: int) -> None:
    """Say how much of the work of the current stage is done; without a log in use nothing happens.

    Parameters
    ----------
    done
        Number of parts that are done.
    total
        Number of all parts.
    """
    log = _CURRENT.get()
    if log is not None:
        log.advance(done, total)


def track(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield items, of which each is a part of the work of the current stage that is done before the next.

    Parameters
    ----------
    items
        The items.
    total
        Their number.
    """
    for done, item in enumerate(items):
        advance_stage(done, total)
        yield item
    advance_stage(total, total)


def end_stage() -> None:
    """Silence the log in use until its next stage; without one nothing happens."""
    log = _CURRENT.get()
    if log is not None:
        log.pause()


def _bar(done: int, total: int) -> str:
    """Return a bar of what is done; empty if the work is not counted."""
    if not total:
        return ""
    filled = _BAR * done // total
    return f"[{'█' * filled}{'.' * (_BAR - filled)}] "


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _shows_passing_lines() -> bool:
    """Return whether the standard error output is a terminal on which a line can be replaced."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _show_on_stderr(line: str) -> None:
    """Show the part of a line that fits into the terminal in place of the one before."""
    show_passing(sys.stderr, line[: shutil.get_terminal_size().columns - 1])


def _ignore(_line: str) -> None:
    pass
