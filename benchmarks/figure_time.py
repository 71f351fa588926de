"""What of a figure's time is not spent in optimizer steps: evaluation, checkpoints, store, page, and so on.

``python benchmarks/figure_time.py fig7 --store results/mnist-paper.sqlite`` trains what the store lacks of
the figure, in this process, and writes benchmarks/results/figure-time.csv: on a GPU, or with ``--device cpu``
to check that it works, for which it writes nothing. Kernels are compiled in the first step, and count as
steps. A figure of which the store has runs already is trained, and not measured. At the time limit the row
is that of the runs which have ended, `complete` is False, and the exit code 75.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from table import RESULTS, machine, write

import dilution
from dilution.cli.group import TIME_LIMIT_EXIT_CODE
from dilution.errors import TimeLimitReached
from dilution.study.results import table
from dilution.study.store import Store
from dilution.training import device_title
from dilution.training.replica import Replica
from dilution.training.trainer import Trainer

OTHER_THAN_STEPS = (
    *((Trainer, name) for name in ("_evaluate", "_save", "_compare_gradients", "_resume")),
    *((Replica, name) for name in ("finish", "result")),
)
"""What a training does before, between and after its steps."""


class StepClock:
    """Seconds in the loop over the steps of all trainings of this process.

    Parameters
    ----------
    device
        ``"cuda"`` or ``"cpu"``. The steps that a GPU was asked for have ended before their time is read.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self.steps = 0.0

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _timed(self, method: Callable[..., Any], sign: int) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = self._now()
            try:
                return method(*arguments, **named)
            finally:
                self.steps += sign * (self._now() - start)

        return call

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the trainings of a ``with`` block."""
        signs = {(Trainer, "run"): 1} | dict.fromkeys(OTHER_THAN_STEPS, -1)
        before = {place: getattr(*place) for place in signs}
        try:
            for place, sign in signs.items():
                setattr(*place, self._timed(before[place], sign))
            yield
        finally:
            for place, method in before.items():
                setattr(*place, method)


def with_row(earlier: list[dict[str, object]], row: dict[str, object]) -> list[dict[str, object]]:
    """Return the rows of the table with a new one; one that was cut short replaces no complete one."""
    key = ["figure", "dataset", "preset", "precision"]
    same = [other for other in earlier if all(other[name] == row[name] for name in key)]
    if not row["complete"] and any(str(other["complete"]) == "True" for other in same):
        return earlier
    return [*(other for other in earlier if other not in same), row]


def main() -> None:
    """Train the figure, and write what its time was spent on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figure", help="name of a figure, such as fig7")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--store", type=Path, help="keeps the runs; those that it has are not trained")
    parser.add_argument("--checkpoints", help="folder of checkpoints; default: beside the store")
    parser.add_argument("--time-limit", help="such as 5m; a figure that does not end is measured until then")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"not measured: torch {torch.__version__} finds no GPU")
    clock, complete = StepClock(arguments.device), True
    with tempfile.TemporaryDirectory() as folder, clock.running():
        store = arguments.store or Path(folder) / "s.sqlite"
        start, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            dilution.reproduce(
                arguments.figure, dataset=arguments.dataset, preset=arguments.preset,
                precision=arguments.precision, store=store, out=Path(folder) / "page",
                execution=dilution.Execution(
                    workers=0, device=arguments.device, time_limit=arguments.time_limit, progress=False,
                    checkpoints=arguments.checkpoints,
                ),
            )  # fmt: skip
        except TimeLimitReached as error:
            complete = False
            print(error)
        seconds = time.perf_counter() - start
        with Store(store) as opened:
            runs = table(opened, f"{arguments.figure}/{arguments.dataset}/{arguments.preset}")
        ended = runs[runs["started"].notna()]
    row = {
        "machine": f"{machine()}, {device_title(arguments.device)}",
        "figure": arguments.figure,
        "dataset": arguments.dataset,
        "preset": arguments.preset,
        "precision": arguments.precision,
        "complete": complete,
        "runs": len(ended),
        "seconds": seconds,
        "seconds_of_steps": clock.steps,
    }
    print({**row, "everything but steps": f"{1 - clock.steps / seconds:.1%}"})
    if trained_before := int((ended["started"] < started).sum()):
        print(f"not measured: {trained_before} runs were in the store already")
    elif arguments.device == "cuda":
        path = RESULTS / "figure-time.csv"
        earlier = pd.read_csv(path, dtype=object).to_dict("records") if path.exists() else []
        write("figure-time", with_row(earlier, row))
    if not complete:
        sys.exit(TIME_LIMIT_EXIT_CODE)


if __name__ == "__main__":
    main()
