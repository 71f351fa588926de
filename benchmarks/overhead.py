"""The overhead of a study: per run, with a store of a million runs, and of the demo.

Writes benchmarks/results/overhead.csv.
"""

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
from dilution.study.store import Store

N_RUNS, N_MANY = 400, 1_000_000


def timed(function: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def per_run(folder: Path) -> float:
    """Return the overhead of a study in milliseconds per run.

    Runs of one optimizer step train in this process. The time that the trainer reports is subtracted,
    and the overhead of a study of 24 runs, so that the costs per study do not count.
    """

    def overhead(count: int) -> float:
        runs = [
            Run.of(
                dataset="digits", n=1000, model="perceptron", targets="pooled", steps=1, n_evals=1,
                alpha=alpha, seed=seed,
            )
            for seed in range(count // 4)
            for alpha in (0, 1, 5, 20)
        ]  # fmt: skip
        path = folder / f"{count}.sqlite"
        execution = dilution.Execution(executor="inline", progress=False)
        start = time.perf_counter()
        table = dilution.run(Study.of("s", runs), store=path, execution=execution)
        return time.perf_counter() - start - float(table["seconds"].sum())

    overhead(20)  # costs of the first call
    few = overhead(24)
    return 1000 * (overhead(N_RUNS) - few) / (N_RUNS - 24)


def million(folder: Path) -> dict[str, float]:
    """Return the seconds to open, resume and print the status of a store of a million runs."""
    path = folder / "million.sqlite"
    base = Run.of(dataset="digits", n=1000, model="perceptron", alpha=1, steps=1)
    runs = [base.model_copy(update={"seed": seed}) for seed in range(1000)]
    with Store(path) as store, store.writer():
        store.add("small", runs)
        # inserted in SQL: making a million Run objects would measure pydantic
        store._connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO runs (key, spec, state, result, history, checksum) "
            "SELECT key, spec, state, result, history, checksum(key, spec, state, result, history, NULL) "
            "FROM (SELECT printf('%016x', i) AS key, ? AS spec, 'done' AS state, "
            "'{\"test_acc_at_best_clean_val\": 0.9}' AS result, '[]' AS history FROM n)",
            (N_MANY, base.spec),
        )
        store._connection.execute("INSERT INTO studies VALUES ('large')")
        store._connection.execute(
            "INSERT INTO members (study, key, position) SELECT 'large', key, rowid FROM runs"
        )
        store.finish({run.key: {"state": "done"} for run in runs}, at="2026-01-01T00:00:00.000+00:00")

    def resume() -> None:
        with Store(path) as store, store.writer():
            store.add("small", runs)
            states = store.states(run.key for run in runs)
            assert set(states.values()) == {"done"}

    status = [sys.executable, "-m", "dilution", "status", "--store", str(path)]
    return {
        "opening a store of a million runs, s": timed(lambda: Store(path).close()),
        "resuming a finished study of 1,000 runs in it, s": timed(resume),
        "dilution status of it, s": timed(lambda: subprocess.run(status, check=True, capture_output=True)),
    }


def demo(folder: Path) -> float:
    """Return the seconds of `make demo` after the installation: the median of three."""

    def once(turn: int) -> float:
        new = folder / f"demo-{turn}"
        new.mkdir()
        figure = ["reproduce", "fig1", "--dataset", "digits", "--preset", "demo"]
        command = [sys.executable, "-m", "dilution", *figure, "--store", "s.sqlite", "--out", "out"]
        return timed(lambda: subprocess.run(command, check=True, capture_output=True, cwd=new))

    return statistics.median(once(turn) for turn in range(3))


def main() -> None:
    """Measure and write the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = {"overhead of a study, ms per run": per_run(folder)} | million(folder)
        measured["make demo after the installation, s"] = demo(folder)
    for what, value in measured.items():
        print(f"{what}: {value:.3g}")
    write("overhead", [{"what": what, "value": value} for what, value in measured.items()])


if __name__ == "__main__":
    main()
