"""How far a study is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from dilution.study.spec import Run

_LINE_EVERY = 15.0  # seconds between plain lines


class Progress:
    """Shows runs done, time left and the last accuracy on `stream` (default: standard error).

    Parameters
    ----------
    stream
        Where to write. A terminal gets a bar, anything else plain lines.
    quiet
        Show nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._console = Console(file=stream or sys.stderr, quiet=quiet, highlight=False)
        self._bar: Bar | None = None

    @contextmanager
    def of(self, name: str, *, total: int, already: int) -> Iterator[None]:
        """Show the progress of a study of `total` runs, `already` of them finished before."""
        self._name, self._total, self._done = name, total, already
        self._ahead, self._behind, self._failed = 0.0, 0.0, 0
        self._started = self._last_line = time.monotonic()
        if already:
            self.say(f"{already} of {total} runs are in the store already")
        if not self._console.is_terminal or already == total:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[last]}"),
        )
        with Bar(*columns, console=self._console) as self._bar:
            self._task = self._bar.add_task(name, total=total, completed=already, left="", last="")
            try:
                yield
            finally:
                self._bar.refresh()
        self._bar = None

    def start_clock(self, seconds: float) -> None:
        """Measure the pace from now on, over runs that are predicted to take `seconds` of one worker."""
        self._started = time.monotonic()
        self._ahead = seconds

    def say(self, text: str) -> None:
        """Show one line of text."""
        self._console.print(f"{self._name}: {text}", soft_wrap=True, markup=False)

    def finished(self, run: Run, outcome: dict[str, Any], seconds: float) -> None:
        """Take note of a run that ended, and was predicted to take `seconds` of one worker."""
        self._done += 1
        self._behind += seconds
        self._failed += outcome["state"] == "failed"
        last = _describe(run, outcome)
        pace = (time.monotonic() - self._started) / self._behind
        left = f"at this pace {_duration(pace * max(0.0, self._ahead - self._behind))} left"
        if outcome["state"] == "failed":
            self.say(f"{last}: {outcome['error'].strip().splitlines()[-1]}")
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, left=left, last=last)
            return
        now = time.monotonic()
        if self._done == self._total or now - self._last_line >= _LINE_EVERY:
            self._last_line = now
            failed = f", {self._failed} failed" if self._failed else ""
            self.say(f"{self._done} of {self._total} runs{failed}, {left}; last: {last}")


def _describe(run: Run, outcome: dict[str, Any]) -> str:
    levels = {"alpha": run.alpha, "eta": run.eta}
    given = [f"{name} {value:g}" for name, value in levels.items() if value is not None]
    noise = given[0] if given else "observed labels"
    accuracy = outcome.get("result", {}).get("test_clean")
    end = outcome["state"] if accuracy is None else f"{accuracy:.1%}"
    return f"{run.network}, {noise}, seed {run.seed}: {end}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
