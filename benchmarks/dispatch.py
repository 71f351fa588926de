"""What engines cost: runs a second when there is nothing to train, and what Ray adds to a real run.

Ten thousand runs, each a pack of its own, whose training is replaced by an outcome that was trained once.
Then real short runs, in turn on both engines. Writes benchmarks/results/dispatch.csv.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from table import write

from dilution.study import Grid, Run, Study, scheduler
from dilution.study.executors import Ended, Executor, available_cores, ray_driver, workers
from dilution.study.planner import Pack, plan
from dilution.study.progress import Progress
from dilution.study.runner import execute
from dilution.study.scheduler import run_study
from dilution.study.store import Store

SWITCH = "DILUTION_BENCHMARK_TRAINS_NOTHING"
RUNS, REAL, TURNS, LARGE = 10_000, 200, 5, 100_000
BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "alpha": 1.0, "batch_size": 16, "n_evals": 5}
QUIET = Progress(quiet=True)


_outcome: dict[str, Any] = {}


def trained() -> dict[str, Any]:
    """Return the outcome of a real run: what a store keeps of each. A process trains it once."""
    if not _outcome:
        _outcome.update(execute([Run.of(**BASE, steps=20)], None, {})[0])
    return _outcome


def empty(pack: Pack, *_: object) -> list[dict[str, Any]]:
    """Train nothing."""
    return [trained() for _ in pack.runs]


def empty_task(task: Any, _: object) -> list[dict[str, Any]]:
    """Train nothing, as a task of Ray."""
    return empty(task.pack)


if SWITCH in os.environ:  # in worker processes, which import this script
    workers.train_pack = empty


class Nowhere(Executor):
    """Trains nothing, here: what is left are the driver and its store."""

    cores = 2

    def __enter__(self) -> Self:
        self._packs: list[Pack] = []
        return self

    def close(self) -> None:
        """Do nothing."""

    @property
    def busy(self) -> bool:
        """Whether a pack was started."""
        return bool(self._packs)

    def measure(self, _: object) -> float:
        """Return that a step takes next to nothing."""
        return 1e-6

    def room(self, _: object) -> bool:
        """Return whether a pack may be started."""
        return len(self._packs) < 2 * self.cores

    def start(self, pack: Pack) -> None:
        """Take a pack."""
        self._packs.append(pack)

    def wait(self) -> list[Ended]:
        """Return the oldest pack."""
        pack = self._packs.pop(0)
        return [Ended(pack, empty(pack))]


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Have another value under a name for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def alone(runs: Sequence[Run], *_: object, **__: object) -> list[Pack]:
    """Return each run as a pack of its own."""
    return [Pack([run], 1, 1e-3) for run in runs]


def seconds(runs: Sequence[Run], executor: str) -> float:
    """Return how long a study takes once its engine has started and each process has trained something."""
    times: list[float] = []
    warm = [Run.of(**BASE, steps=1, seed=10**6 + place) for place in range(4 * available_cores())]

    def train(study: Any, opened: Any, store: Any, progress: Any) -> None:
        for pack in alone(warm):
            if opened.room(pack):
                opened.start(pack)
        while opened.busy:
            opened.wait()
        begun = time.perf_counter()
        original(study, opened, store, progress)
        times.append(time.perf_counter() - begun)

    original = scheduler._train
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.sqlite") as store:
        with replaced(scheduler, "_train", train), replaced(scheduler, "plan", alone):
            run_study(Study.of("s", runs), store, executor=executor, progress=QUIET)
        assert store.counts() == {"s": {"done": len(runs)}}
    return times[0]


def dispatch() -> list[dict[str, object]]:
    """Return the runs a second that each engine carries when there is nothing to train."""
    runs = [Run.of(**BASE, steps=20, seed=seed) for seed in range(RUNS)]
    rows: list[dict[str, object]] = []
    os.environ[SWITCH] = "1"
    for _ in range(3):
        with replaced(scheduler, "open_engine", lambda _, job: Nowhere(job)):
            nowhere = seconds(runs, "local")
        here = seconds(runs, "local")
        with replaced(ray_driver, "train", empty_task):
            ray = seconds(runs, "ray")
        for what, time_taken in (("driver and store alone", nowhere), ("local", here), ("ray", ray)):
            rows.append({"what": f"{what}, empty runs a second", "value": RUNS / time_taken})
            print(rows[-1], flush=True)
    del os.environ[SWITCH]
    return rows


def real() -> list[dict[str, object]]:
    """Return the milliseconds that a real short run takes on each engine, in turn."""
    rows: list[dict[str, object]] = []
    runs = [Run.of(**BASE, steps=100, seed=seed) for seed in range(REAL)]
    for _ in range(TURNS):
        times = {executor: 1000 * seconds(runs, executor) / REAL for executor in ("local", "ray")}
        rows += [{"what": f"{executor}, ms a real run", "value": time} for executor, time in times.items()]
        rows.append({"what": "ray over local, ms a real run", "value": times["ray"] - times["local"]})
        print(*rows[-3:], sep="\n", flush=True)
    return rows


def large() -> list[dict[str, object]]:
    """Return what a study of a hundred thousand runs costs before the first one trains, in µs a run."""
    rows: list[dict[str, object]] = []

    def timed(what: str, act: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        found = act()
        rows.append({"what": f"{what}, µs a run", "value": 1e6 * (time.perf_counter() - begun) / LARGE})
        print(rows[-1], flush=True)
        return found

    grid = Grid(BASE | {"steps": 20}, {"seed": list(range(LARGE))})
    runs = timed("making runs of a grid", lambda: list(grid))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.sqlite") as store, store.writer():
        timed("entering them into the store", lambda: store.add("s", runs))
        said: list[str] = []
        timed(
            "planning packs",
            lambda: plan(runs, None, study=runs, cores=2, measure=lambda _: 1e-3, say=said.append),
        )
        outcomes = {run.key: trained() for run in runs}

        def finish() -> None:
            keys = list(outcomes)
            for first in range(0, LARGE, 8):
                part = {key: outcomes[key] for key in keys[first : first + 8]}
                store.start(part, host="h", versions={}, at="now")
                store.finish(part, at="now")

        timed("recording in packs of 8", finish)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    rows.append({"what": "store, bytes a run", "value": size / LARGE})
    return rows


def main() -> None:
    """Measure and write the table."""
    write("dispatch", [*dispatch(), *real(), *large()])


if __name__ == "__main__":
    main()
