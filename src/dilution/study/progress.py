"""The progress of a study: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from dilution.study.grouping import RunGroup
from dilution.study.run_spec import Run
from dilution.utils.duration import duration_text
from dilution.utils.notes import printed_notes
from dilution.utils.printable import last_line, printable, without_controls
from dilution.utils.protected_output import with_controls
from dilution.utils.stage_log import end_stage

_LINE_SECONDS = 15.0  # between plain lines
_MAX_BESIDE_BAR = 80  # characters


class Progress:
    """Shows finished runs, time left and the last accuracy on `stream` (default: standard error).

    Parameters
    ----------
    stream
        Where to write. A terminal gets a bar, anything else plain lines.
    quiet
        Show nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        file = with_controls(stream or sys.stderr)
        self._console = Console(file=file, quiet=quiet, highlight=False)
        self._bar: ProgressBar | None = None
        self._logged: set[str] = set()

    @contextmanager
    def for_study(self, name: str, *, total: int, finished: int, runs: Sequence[Run] = ()) -> Iterator[None]:
        """Show the progress of a study of `total` runs, `finished` of them before this start.

        A run is described by the settings in which `runs` differ.
        """
        self._name, self._total, self._finished = name, total, finished
        self._varying = [name for name in Run.model_fields if len({getattr(run, name) for run in runs}) > 1]
        self._clock, self._failed = Clock(0.0), 0
        self._last_line = time.monotonic()
        if finished:
            self.log(f"{finished} of {total} runs are finished in the store")
        if not self._console.is_terminal or finished == total:
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
        with ProgressBar(*columns, console=self._console) as self._bar:
            self._task = self._bar.add_task(
                printable(name), total=total, completed=finished, left="", last=""
            )
            try:
                yield
            finally:
                self._bar.refresh()
        self._bar = None

    def start_clock(self, cost: float) -> None:
        """Measure the pace from now on, over groups of this cost in total."""
        self._clock = Clock(cost)

    def log(self, text: str) -> None:
        """Show one line of text; it ends the stage before the study, such as the start of its processes."""
        end_stage()
        line = without_controls(f"{self._name}: {text}")  # a bar needs controls, names must have none
        self._console.print(line, soft_wrap=True, markup=False)

    def log_once(self, text: str) -> None:
        """Show one line of text, unless this object has shown it before: a search is many studies."""
        if text not in self._logged:
            self._logged.add(text)
            self.log(text)

    def notes(self, notes: Sequence[str]) -> None:
        """Show notes to the user, each once, as lines of their own; many are cut with a count."""
        for line in printed_notes([note for note in notes if note not in self._logged]):
            self._console.print(line, soft_wrap=True, markup=False)
        self._logged |= set(notes)

    def started(self, group: RunGroup) -> None:
        """Note that a group has started to train."""
        self._clock.started(group)

    def dropped(self, group: RunGroup) -> None:
        """Note that a group ended without outcomes, and that its runs start again one by one."""
        self._clock.dropped(group)

    def finished(self, group: RunGroup, outcomes: list[dict[str, Any]]) -> None:
        """Note that a group has ended, with the outcome of each of its runs."""
        self._clock.finished(group)
        self._finished += len(group.runs)
        last = ""
        for run, outcome in zip(group.runs, outcomes, strict=True):
            last = _describe(run, outcome, self._varying)
            if outcome["state"] == "failed":
                self._failed += 1
                self.log(f"{last}: {last_line(outcome['error'])}")
        left = f"about {duration_text(self._clock.left())} left"
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self._finished, left=left, last=_shortened(printable(last))
            )
            return
        now = time.monotonic()
        if self._finished == self._total or now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            failed = f", {self._failed} failed" if self._failed else ""
            self.log(f"{self._finished} of {self._total} runs{failed}, {left}; last: {last}")


class Clock:
    """Time left, from the costs of groups and the times that the finished ones took.

    Parameters
    ----------
    cost
        Cost of all groups.
    now
        Function that returns the time in seconds.
    """

    def __init__(self, cost: float, now: Callable[[], float] = time.monotonic) -> None:
        self._total_cost, self._now = cost, now
        self._finished_cost = self._finished_seconds = 0.0
        self._training: dict[int, tuple[float, float]] = {}  # start and cost of each group
        self._at_once = 1

    def started(self, group: RunGroup) -> None:
        """Note that a group has started to train."""
        self._training[id(group)] = self._now(), group.cost
        self._at_once = max(self._at_once, len(self._training))

    def dropped(self, group: RunGroup) -> None:
        """Note that a group ended without outcomes and will be trained again."""
        del self._training[id(group)]

    def finished(self, group: RunGroup) -> None:
        """Note that a group has ended."""
        start, cost = self._training.pop(id(group))
        self._finished_seconds += self._now() - start
        self._finished_cost += cost

    def left(self) -> float:
        """Return the seconds left at the pace of the groups that have finished."""
        pace, now = self._finished_seconds / self._finished_cost, self._now()
        rests = [max(0.0, cost * pace - (now - start)) for start, cost in self._training.values()]
        training_cost = sum(cost for _, cost in self._training.values())
        waiting_cost = max(0.0, self._total_cost - self._finished_cost - training_cost)
        return max([(waiting_cost * pace + sum(rests)) / self._at_once, *rests])


def _describe(run: Run, outcome: dict[str, Any], varying: Sequence[str]) -> str:
    """Return a run by the settings that tell it from the others of its study, and how it ended."""
    noise = []
    if "noise" in varying or (run.alpha is None and run.eta is None):
        noise.append("observed labels" if run.noise == "observed" else run.noise)
    noise += [f"{name} {level:g}" for name in ("alpha", "eta") if (level := getattr(run, name)) is not None]
    others = [
        _setting_text(name, getattr(run, name)) for name in varying if name not in _DESCRIBED_WITHOUT_NAME
    ]
    accuracy = outcome.get("result", {}).get("test_acc_at_best_clean_val")
    end = outcome["state"] if accuracy is None else f"{accuracy:.1%}"
    return f"{', '.join([run.model, *noise, *filter(None, others)])}, seed {run.seed}: {end}"


def _shortened(text: str) -> str:
    """Return a text with its middle left out if it has no room behind a bar."""
    half = _MAX_BESIDE_BAR // 2
    return text if len(text) <= _MAX_BESIDE_BAR else f"{text[:half]}…{text[-half:]}"


_DESCRIBED_WITHOUT_NAME = ("model", "noise", "alpha", "eta", "seed", "n_val", "fingerprint", "matrix")


def _setting_text(name: str, value: Any) -> str:
    """Return a setting as text; names such as that of a loss say by themselves what they are."""
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
