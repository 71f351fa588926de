"""Lines about the progress of a call that works in stages, which is never silent for long."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_SILENT_SECONDS = 1.8  # at most, early in a stage
_LONGEST = 15.0  # between two lines, late in a long one
_GROWTH = 0.1  # of a stage so far, between two lines
_POLL_SECONDS = 0.2


class StageLog:
    """Writes lines, and says how long the current stage has taken where no line was written for 2 seconds.

    The longer a stage takes, the rarer the lines become: at most 15 seconds apart. Use it as a context
    manager.

    Parameters
    ----------
    write
        Function that writes a line; of a thread of its own too.
    stage
        What the call does first, such as ``"reading photos"``.
    clock
        Function that returns seconds.
    """

    def __init__(
        self, write: Callable[[str], None], stage: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._stage, self._clock = write, stage, clock
        self._started = self._written = clock()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._speak_up, name="stage log", daemon=True)

    @classmethod
    def to_stderr(cls, stage: str, *, progress: bool) -> Self:
        """Return a log of the standard error output; without progress it writes nothing."""
        return cls(_print_to_stderr if progress else _ignore, stage)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def __call__(self, line: str) -> None:
        """Write a line."""
        with self._lock:
            self._write(line)
            self._written = self._clock()

    def begin(self, stage: str) -> None:
        """Begin a stage, which is named once it takes long."""
        with self._lock:
            self._stage, self._started = stage, self._clock()

    def speak_up(self) -> None:
        """Write what is done and for how long, if no line was written for too long."""
        with self._lock:
            now = self._clock()
            if now - self._written >= min(_LONGEST, max(_SILENT_SECONDS, _GROWTH * (now - self._started))):
                self._write(f"{self._stage}: {now - self._started:.0f} s so far")
                self._written = now

    def _speak_up(self) -> None:
        while not self._closed.wait(_POLL_SECONDS):
            self.speak_up()


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ignore(_line: str) -> None:
    pass
