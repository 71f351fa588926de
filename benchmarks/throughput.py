"""Examples a second of our trainer and of others, side by side and alternating.

Each contender is a process of its own that stays for all alternations and waits while others are timed. Ours
are as many as the planner of a study chooses, with its threads and packs; beside them one process with all
cores as threads, and a study of a single network. Writes benchmarks/results/throughput.csv.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from table import RESULTS, write

from dilution.study import Run
from dilution.study.executors import Job, open_executor
from dilution.study.planner import plan

HERE = Path(__file__).resolve().parent
CORES = len(os.sched_getaffinity(0))
MODELS = ("perceptron", "mlp2", "conv2", "conv4")
BATCH = 128


def ours(model: str, precision: str, networks: int = 16 * CORES) -> tuple[int, int]:
    """Return threads and replicas of the packs into which a study of so many runs is divided here."""
    with tempfile.TemporaryDirectory() as folder:
        images, labels = np.zeros((200, 28, 28), np.uint8), np.arange(200) % 10
        data = Path(folder) / "made-up.npz"
        np.savez(data, images=images, labels=labels)
        runs = [
            Run.of(
                dataset=str(data), n=200, model=model, alpha=20, optimizer="adam", batch_size=BATCH,
                steps=10**6, precision=precision, seed=seed,
            )
            for seed in range(networks)
        ]  # fmt: skip
        with open_executor("local", Job(runs, None, {})) as team:
            packs = plan(runs, None, study=runs, cores=CORES, measure=team.measure, say=print)
    return packs[0].threads, len(packs[0].runs)


def contenders(model: str) -> dict[str, list[list[str]]]:
    """Return for each contender the commands of its processes."""
    chosen = {precision: ours(model, precision) for precision in ("float32", "bfloat16")}
    found = {
        "ceiling, one process": [["ceiling.py", str(CORES)]],
        "ceiling, a process a core": [["ceiling.py", "1"]] * CORES,
        "dilution": _processes(model, "float32", *chosen["float32"]),
        "dilution, bfloat16": _processes(model, "bfloat16", *chosen["bfloat16"]),
        "dilution, one process": _processes(model, "float32", CORES, chosen["float32"][1]),
        "dilution, one network": _processes(model, "float32", *ours(model, "float32", 1))[:1],
        "DataLoader loop": [["loop.py", model]],
        "Keras on JAX": [["keras_fit.py", model, "jax"]],
        "Keras on torch": [["keras_fit.py", model, "torch"]],
    }
    if not model.startswith("conv"):
        found["JAX scan"] = [["jax_scan.py", model]]
    return found


def _processes(model: str, precision: str, threads: int, replicas: int) -> list[list[str]]:
    return [["ours.py", model, precision, str(threads), str(replicas)]] * (CORES // threads)


class Contender:
    """The processes of a contender, idle unless asked."""

    def __init__(self, commands: list[list[str]]) -> None:
        # Threads wait as they do by default. Telling them to sleep at once (OMP_WAIT_POLICY) would cost those
        # who use several, the DataLoader loop nearly half of its rate; idle ones sleep after milliseconds.
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(HERE / "contenders" / script), *rest],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            )
            for script, *rest in commands
        ]
        self.facts, *_ = [self._answer(process) for process in self.processes]

    def measure(self) -> tuple[float, float]:
        """Return the rate of all processes together, and their peak memory in MB."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [self._answer(process) for process in self.processes]
        return sum(each["lr"] for each in answers), sum(each["peak_mb"] for each in answers)

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.kill()
            process.wait()

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> dict[str, float]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"a contender ended: {process.args}")
        answer: dict[str, float] = json.loads(line)
        return answer


def main() -> None:
    """Run the alternations and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--only", nargs="+", help="contenders to run")
    parser.add_argument("--alternations", type=int, default=5)
    given = parser.parse_args()
    rows = _others(RESULTS / "throughput.csv", given.networks)
    for model in given.networks:
        chosen = contenders(model)
        if given.only:
            chosen = {name: chosen[name] for name in given.only if name in chosen}
        running = {name: Contender(commands) for name, commands in chosen.items()}
        try:
            for turn in range(given.alternations):
                order = list(running)
                random.Random(turn).shuffle(order)
                for name in order:
                    rate, peak = running[name].measure()
                    facts = running[name].facts
                    rows.append(
                        {
                            "model": model,
                            "contender": name,
                            "turn": turn,
                            "lr": round(rate, 2),
                            "peak_mb": round(peak),
                            "processes": len(running[name].processes),
                            "group_size": facts.get("pack", ""),
                            "version": facts["version"],
                        }
                    )
                    print(f"{model:10} {turn} {name:26} {rate:12,.1f}  {peak:6,.0f} MB", flush=True)
        finally:
            for contender in running.values():
                contender.stop()
    write("throughput", rows)


def _others(path: Path, networks: list[str]) -> list[dict[str, object]]:
    """Return what was measured before of networks that are not measured now."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file) if row["model"] not in networks]


if __name__ == "__main__":
    main()
