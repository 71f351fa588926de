"""Examples per second of Dilution's trainer and of other trainers, alternating on the same machine.

Each contender is a process of its own that stays for all alternations and waits while others are timed.
Dilution's processes, threads and models per group are those of a study; other contenders are one process
with all cores as threads, and a study of a single model. Writes benchmarks/results/throughput.csv.
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
from counting import BATCH_SIZE
from table import RESULTS, write

from dilution.study import Run
from dilution.study.grouping import group_runs

FOLDER = Path(__file__).resolve().parent
CORES = len(os.sched_getaffinity(0))
MODELS = ("perceptron", "mlp2", "conv2", "conv4")


def study_group(model: str, precision: str, n_runs: int = 16 * CORES) -> tuple[int, int]:
    """Return threads and models of the run groups of a study of so many runs on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        images, labels = np.zeros((200, 28, 28), np.uint8), np.arange(200) % 10
        data = Path(folder) / "zeros.npz"
        np.savez(data, images=images, labels=labels)
        runs = [
            Run.of(
                dataset=str(data), n=200, model=model, alpha=20, optimizer="adam", batch_size=BATCH_SIZE,
                steps=10**6, precision=precision, seed=seed,
            )
            for seed in range(n_runs)
        ]  # fmt: skip
        group = group_runs(runs, None, study=runs, cores=CORES)[0]
    return group.threads, len(group.runs)


def contender_commands(model: str) -> dict[str, list[list[str]]]:
    """Return contender → the commands of its processes."""
    groups = {precision: study_group(model, precision) for precision in ("float32", "bfloat16")}
    commands = {
        "ceiling, one process": [["ceiling.py", str(CORES)]],
        "ceiling, one process per core": [["ceiling.py", "1"]] * CORES,
        "dilution": _processes(model, "float32", *groups["float32"]),
        "dilution, bfloat16": _processes(model, "bfloat16", *groups["bfloat16"]),
        "dilution, one process": _processes(model, "float32", CORES, groups["float32"][1]),
        "dilution, one model": _processes(model, "float32", *study_group(model, "float32", 1))[:1],
        "DataLoader loop": [["loop.py", model]],
        "Keras on JAX": [["keras_fit.py", model, "jax"]],
        "Keras on torch": [["keras_fit.py", model, "torch"]],
    }
    if not model.startswith("conv"):
        commands["JAX scan"] = [["jax_scan.py", model]]
    return commands


def _processes(model: str, precision: str, threads: int, replicas: int) -> list[list[str]]:
    return [["trainer.py", model, precision, str(threads), str(replicas)]] * (CORES // threads)


class Contender:
    """The processes of a contender; they wait until they are measured."""

    def __init__(self, commands: list[list[str]]) -> None:
        # Threads wait as they do by default. Telling them to sleep at once (OMP_WAIT_POLICY) would cost those
        # contenders that use several, the DataLoader loop nearly half of its throughput; idle threads sleep
        # after milliseconds.
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(FOLDER / "contenders" / script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            )
            for script, *arguments in commands
        ]
        self.facts, *_ = [self._answer(process) for process in self.processes]

    def measure(self) -> tuple[float, float]:
        """Return the throughput of all processes together, and their peak memory in MB."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [self._answer(process) for process in self.processes]
        return sum(answer["throughput"] for answer in answers), sum(answer["peak_mb"] for answer in answers)

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
    arguments = parser.parse_args()
    rows = _rows_of_other_models(RESULTS / "throughput.csv", arguments.models)
    for model in arguments.models:
        commands = contender_commands(model)
        if arguments.only:
            commands = {name: commands[name] for name in arguments.only if name in commands}
        contenders = {name: Contender(processes) for name, processes in commands.items()}
        try:
            for turn in range(arguments.alternations):
                order = list(contenders)
                random.Random(turn).shuffle(order)
                for name in order:
                    throughput, peak_mb = contenders[name].measure()
                    facts = contenders[name].facts
                    rows.append(
                        {
                            "model": model,
                            "contender": name,
                            "turn": turn,
                            "throughput": round(throughput, 2),
                            "peak_mb": round(peak_mb),
                            "processes": len(contenders[name].processes),
                            "group_size": facts.get("group_size", ""),
                            "version": facts["version"],
                        }
                    )
                    print(f"{model:10} {turn} {name:30} {throughput:12,.1f}  {peak_mb:6,.0f} MB", flush=True)
        finally:
            for contender in contenders.values():
                contender.stop()
    write("throughput", rows)


def _rows_of_other_models(path: Path, models: list[str]) -> list[dict[str, object]]:
    """Return the earlier measurements of models that are not measured now."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file) if row["model"] not in models]


if __name__ == "__main__":
    main()
