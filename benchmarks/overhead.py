"""What a study costs beside its training: per run, for a store of a million runs, and of a demo.

Writes benchmarks/results/overhead.csv.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from table import write

import dilution
from dilution.study import Run, Study
from dilution.study.progress import Progress
from dilution.study.store import Store

RUNS, MANY = 400, 1_000_000


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def per_run(folder: Path) -> float:
    """Return the milliseconds a run of a study costs beside its training.

    Runs of one optimizer step in this process; what the trainer itself reports is taken off, and the
    cost of a study of 20 runs, so that what a study pays once does not count.
    """

    def cost(count: int) -> float:
        runs = [
            Run.of(
                dataset="digits", n=1000, model="perceptron", targets="pooled", steps=1, n_evals=1,
                alpha=alpha, seed=seed,
            )
            for seed in range(count // 4)
            for alpha in (0, 1, 5, 20)
        ]  # fmt: skip
        path = folder / f"{count}.sqlite"
        begun = time.perf_counter()
        table = dilution.run(Study.of("s", runs), store=path, workers=0, progress=Progress(quiet=True))
        return time.perf_counter() - begun - float(table["seconds"].sum())

    cost(20)
    few = cost(24)
    return 1000 * (cost(RUNS) - few) / (RUNS - 24)


def million(folder: Path) -> dict[str, float]:
    """Return the seconds to open, to resume and to print the status of a store of a million runs."""
    path = folder / "million.sqlite"
    base = Run.of(dataset="digits", n=1000, model="perceptron", alpha=1, steps=1)
    some = [base.model_copy(update={"seed": seed}) for seed in range(1000)]
    with Store(path) as store, store.writer():
        store.add("small", some)
        # Made in SQL from one run: Run objects of a million runs would measure pydantic.
        store._connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO runs (key, spec, state, result, history) "
            "SELECT printf('%016x', i), ?, 'done', '{\"test_acc_at_best_clean_val\": 0.9}', '[]' FROM n",
            (MANY, base.spec),
        )
        store._connection.execute("INSERT INTO studies VALUES ('large')")
        store._connection.execute(
            "INSERT INTO members (study, key, position) SELECT 'large', key, rowid FROM runs"
        )
        store.finish({run.key: {"state": "done"} for run in some}, at="now")

    def resume() -> None:
        with Store(path) as store, store.writer():
            store.add("small", some)
            states = store.states(run.key for run in some)
            assert set(states.values()) == {"done"}

    status = [sys.executable, "-m", "dilution", "status", "--store", str(path)]
    return {
        "open a store of a million runs, s": timed(lambda: Store(path).close()),
        "resume a finished study of 1,000 runs in it, s": timed(resume),
        "dilution status of it, s": timed(lambda: subprocess.run(status, check=True, capture_output=True)),
    }


def demo(folder: Path) -> float:
    """Return the seconds of what `make demo` does once it has installed: the median of three."""

    def once(turn: int) -> float:
        new = folder / f"demo-{turn}"
        new.mkdir()
        words = [
            "reproduce",
            "fig1",
            "--dataset",
            "digits",
            "--preset",
            "demo",
            "--store",
            "s.sqlite",
            "--out",
            "out",
        ]
        command = [sys.executable, "-m", "dilution", *words]
        empty = os.environ | {"DILUTION_CACHE": str(new)}  # as after an installation: nothing is remembered
        return timed(lambda: subprocess.run(command, check=True, capture_output=True, cwd=new, env=empty))

    return statistics.median(once(turn) for turn in range(3))


def main() -> None:
    """Measure and write the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DILUTION_CACHE"] = name
        found = {"study machinery, ms a run": per_run(folder)} | million(folder)
        found["make demo, after the installation, s"] = demo(folder)
    for what, value in found.items():
        print(f"{what}: {value:.3g}")
    write("overhead", [{"what": what, "value": value} for what, value in found.items()])


if __name__ == "__main__":
    main()
