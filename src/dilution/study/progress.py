"""How far a study is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from dilution.study.planner import Pack
from dilution.study.run_spec import Run

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
        self._said: set[str] = set()

    @contextmanager
    def of(self, name: str, *, total: int, already: int) -> Iterator[None]:
        """Show the progress of a study of `total` runs, `already` of them finished before."""
        self._name, self._total, self._done = name, total, already
        self._clock, self._failed = Clock(0.0), 0
        self._last_line = time.monotonic()
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
        """Measure the pace from now on, over packs that are predicted to take `seconds` in all."""
        self._clock = Clock(seconds)

    def say(self, text: str) -> None:
        """Show one line of text."""
        self._console.print(f"{self._name}: {text}", soft_wrap=True, markup=False)

    def say_once(self, text: str) -> None:
        """Show one line of text, unless this object has shown it before: a search is many studies."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def started(self, pack: Pack) -> None:
        """Take note of a pack that begins to train."""
        self._clock.started(pack)

    def divided(self, pack: Pack) -> None:
        """Take note of a pack that came to nothing and whose runs start again, one by one."""
        self._clock.dropped(pack)

    def finished(self, pack: Pack, outcomes: list[dict[str, Any]]) -> None:
        """Take note of a pack that has ended, with the outcome of each of its runs."""
        self._clock.finished(pack)
        self._done += len(pack.runs)
        last = ""
        for run, outcome in zip(pack.runs, outcomes, strict=True):
            last = _describe(run, outcome)
            if outcome["state"] == "failed":
                self._failed += 1
                self.say(f"{last}: {outcome['error'].strip().splitlines()[-1]}")
        left = f"at this pace {_duration(self._clock.left())} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, left=left, last=last)
            return
        now = time.monotonic()
        if self._done == self._total or now - self._last_line >= _LINE_EVERY:
            self._last_line = now
            failed = f", {self._failed} failed" if self._failed else ""
            self.say(f"{self._done} of {self._total} runs{failed}, {left}; last: {last}")


class Clock:
    """Time left, from the times that packs were predicted to take and have taken.

    Parameters
    ----------
    seconds
        Predicted time of all packs, one after the other.
    now
        Function that tells the time in seconds.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._ahead, self._now = seconds, now
        self._behind = self._took = 0.0
        self._under_way: dict[int, tuple[float, float]] = {}  # beginning and predicted time of each pack
        self._lanes = 1

    def started(self, pack: Pack) -> None:
        """Take note of a pack that begins to train."""
        self._under_way[id(pack)] = self._now(), pack.seconds
        self._lanes = max(self._lanes, len(self._under_way))

    def dropped(self, pack: Pack) -> None:
        """Take note of a pack that came to nothing and will be trained again."""
        del self._under_way[id(pack)]

    def finished(self, pack: Pack) -> None:
        """Take note of a pack that has ended."""
        began, predicted = self._under_way.pop(id(pack))
        self._took += self._now() - began
        self._behind += predicted

    def left(self) -> float:
        """Return the seconds left at the pace of the packs that have ended."""
        pace, now = self._took / self._behind, self._now()
        open_ends = [
            max(0.0, predicted * pace - (now - began)) for began, predicted in self._under_way.values()
        ]
        waiting = self._ahead - self._behind - sum(predicted for _, predicted in self._under_way.values())
        together = (max(0.0, waiting) * pace + sum(open_ends)) / self._lanes
        return max([together, *open_ends])


def _describe(run: Run, outcome: dict[str, Any]) -> str:
    levels = {"alpha": run.alpha, "eta": run.eta}
    given = [f"{name} {value:g}" for name, value in levels.items() if value is not None]
    noise = given[0] if given else "observed labels"
    accuracy = outcome.get("result", {}).get("test_acc_at_best_clean_val")
    end = outcome["state"] if accuracy is None else f"{accuracy:.1%}"
    return f"{run.model}, {noise}, seed {run.seed}: {end}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
