"""The cost of executors: runs per second without training, and the time of real runs on each executor.

The training of ten thousand runs, each a group of its own, is replaced by a result that was trained once.
Then short real runs train on the executors in turn. Writes benchmarks/results/dispatch.csv.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from table import write

from dilution.study import Execution, Grid, Run, Study, scheduler
from dilution.study.executors import (
    Executor,
    FinishedGroup,
    available_cores,
    processes,
    ray_driver,
)
from dilution.study.grouping import RunGroup, group_runs
from dilution.study.runner import train_runs
from dilution.study.scheduler import run_study
from dilution.study.store import Store

SWITCH = "DILUTION_BENCHMARK_TRAINS_NOTHING"
N_EMPTY, N_REAL, TURNS, N_LARGE = 10_000, 200, 5, 100_000
BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "alpha": 1.0, "batch_size": 16, "n_evals": 5}

_outcome: dict[str, Any] = {}


def real_outcome() -> dict[str, Any]:
    """Return the outcome of a real run, which the store keeps of each. A process trains it once."""
    if not _outcome:
        _outcome.update(train_runs([Run.of(**BASE, steps=20)], None, {})[0])
    return _outcome


def train_nothing(group: RunGroup, *_: object, **__: object) -> list[dict[str, Any]]:
    """Return outcomes without training."""
    return [real_outcome() for _ in group.runs]


def train_nothing_on_ray(task: Any, _: object) -> list[dict[str, Any]]:
    """Return outcomes without training, as a task of Ray."""
    return train_nothing(task.group)


if SWITCH in os.environ:  # in worker processes, which import this script
    processes.train_group = train_nothing


class NullExecutor(Executor):
    """Trains nothing, in this process: what remains is the scheduler with its store."""

    cores = 2

    def __enter__(self) -> Self:
        self._groups: list[RunGroup] = []
        return self

    def close(self) -> None:
        """Do nothing."""

    @property
    def is_busy(self) -> bool:
        """Whether a group was started."""
        return bool(self._groups)

    def has_room(self, group: RunGroup) -> bool:
        """Return whether a group may be started."""
        del group
        return len(self._groups) < 2 * self.cores

    def start(self, group: RunGroup) -> None:
        """Start a group."""
        self._groups.append(group)

    def wait(self) -> list[FinishedGroup]:
        """Return the oldest group."""
        group = self._groups.pop(0)
        return [FinishedGroup(group, train_nothing(group))]


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Replace an attribute for the duration of a block."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def one_group_per_run(runs: Sequence[Run], *_: object, **__: object) -> list[RunGroup]:
    """Return each run as a group of its own."""
    return [RunGroup([run]) for run in runs]


def seconds(runs: Sequence[Run], executor: str) -> float:
    """Return the time of a study after its executor has started and each process has trained a run."""
    times: list[float] = []
    warm_up = [Run.of(**BASE, steps=1, seed=10**6 + number) for number in range(4 * available_cores())]

    def train(study: Any, opened: Executor, *others: Any) -> int:
        for group in one_group_per_run(warm_up):
            if opened.has_room(group):
                opened.start(group)
        while opened.is_busy:
            opened.wait()
        start = time.perf_counter()
        saved = original(study, opened, *others)
        times.append(time.perf_counter() - start)
        return saved

    original = scheduler._train
    execution = Execution(executor=executor, progress=False)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.sqlite") as store:
        with replaced(scheduler, "_train", train), replaced(scheduler, "group_runs", one_group_per_run):
            run_study(Study.of("s", runs), store, execution)
        assert store.counts() == {"s": {"done": len(runs)}}
    return times[0]


def dispatch() -> list[dict[str, object]]:
    """Return the runs per second that each executor handles if there is nothing to train."""
    runs = [Run.of(**BASE, steps=20, seed=seed) for seed in range(N_EMPTY)]
    rows: list[dict[str, object]] = []
    os.environ[SWITCH] = "1"
    for _ in range(3):
        with replaced(scheduler, "open_executor", NullExecutor):
            times = {"driver and store alone": seconds(runs, "processes")}
        times["processes"] = seconds(runs, "processes")
        with replaced(ray_driver, "train", train_nothing_on_ray):
            times["ray"] = seconds(runs, "ray")
        for what, time_taken in times.items():
            rows.append({"what": f"{what}, empty runs per second", "value": N_EMPTY / time_taken})
            print(rows[-1], flush=True)
    del os.environ[SWITCH]
    return rows


def real() -> list[dict[str, object]]:
    """Return the milliseconds of a short real run on each executor, in turn."""
    rows: list[dict[str, object]] = []
    runs = [Run.of(**BASE, steps=100, seed=seed) for seed in range(N_REAL)]
    for _ in range(TURNS):
        times = {executor: 1000 * seconds(runs, executor) / N_REAL for executor in ("processes", "ray")}
        rows += [{"what": f"{executor}, ms per real run", "value": ms} for executor, ms in times.items()]
        difference = times["ray"] - times["processes"]
        rows.append({"what": "ray minus processes, ms per real run", "value": difference})
        print(*rows[-3:], sep="\n", flush=True)
    return rows


def large() -> list[dict[str, object]]:
    """Return the costs of a study of a hundred thousand runs besides training, in µs per run."""
    rows: list[dict[str, object]] = []

    def timed(what: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        rows.append({"what": f"{what}, µs per run", "value": 1e6 * (time.perf_counter() - start) / N_LARGE})
        print(rows[-1], flush=True)
        return result

    grid = Grid(BASE | {"steps": 20}, {"seed": list(range(N_LARGE))})
    runs = timed("making runs of a grid", lambda: list(grid))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.sqlite") as store, store.writer():
        timed("adding them to the store", lambda: store.add("s", runs))
        timed("grouping runs", lambda: group_runs(runs, None, study=runs, cores=2))
        keys = [run.key for run in runs]

        def record() -> None:
            for first in range(0, N_LARGE, 8):
                group = dict.fromkeys(keys[first : first + 8], real_outcome())
                store.start(group, host="h", versions={}, at="2026-01-01T00:00:00.000+00:00")
                store.finish(group, at="2026-01-01T00:00:00.000+00:00")

        real_outcome()
        timed("recording in groups of 8", record)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    rows.append({"what": "store, bytes per run", "value": size / N_LARGE})
    return rows


def main() -> None:
    """Measure and write the table."""
    write("dispatch", [*dispatch(), *real(), *large()])


if __name__ == "__main__":
    main()
