"""Processor time of usual commands, against an older version of the source.

    python benchmarks/commands.py --base 4d65b06

The commands of both versions run in turns, in new processes with the packages of this Python, each on files
of its own. Writes benchmarks/results/commands.csv: a row per command, version and round.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from table import write

ROOT = Path(__file__).resolve().parent.parent
STUDY = """
name = "usual"
[base]
dataset = "digits"
n = 500
model = "perceptron"
steps = 50
[grid]
seed = [0, 1]
alpha = [0, 1, 2, 5, 10]
"""
COMMANDS = {
    "list models": "list models",
    "run, 10 runs": "run study.toml --store runs.sqlite --executor inline",
    "status": "status --store runs.sqlite",
    "export": "export runs.csv --store runs.sqlite",
    "report": "report --store runs.sqlite --out report",
    "diagnose, 1,797 rows": "diagnose digits.csv --out diagnosis",
    "plan": "plan digits --alpha 1 --target 0.9 --pilot-n 400 --max-runs 20",
}


def unpack(reference: str, folder: Path) -> Path:
    """Write the source at a commit into a folder and return the path of its package."""
    archive = subprocess.run(
        ["git", "archive", reference, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    folder.mkdir()
    subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)
    return folder / "src"


def write_inputs(folder: Path) -> None:
    """Write the study, and the digits as a table in which a fifth of the labels is drawn anew."""
    from sklearn.datasets import load_digits

    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    images, labels = load_digits(return_X_y=True)
    noise = np.random.default_rng(0)
    labels = np.where(noise.random(labels.size) < 0.2, noise.integers(0, 10, labels.size), labels)
    table = pd.DataFrame(images, columns=[f"pixel_{column}" for column in range(images.shape[1])])
    table.assign(label=[f"digit {label}" for label in labels]).to_csv(folder / "digits.csv", index=False)


def processor_seconds(source: Path, command: str, folder: Path) -> float:
    """Return the processor time of a command and its children, in seconds."""
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once
    before = os.times()
    finished = subprocess.run(
        [sys.executable, "-m", "dilution", *command.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    if finished.returncode:
        raise RuntimeError(f"dilution {command}: exit code {finished.returncode}\n{finished.stderr}")
    return sum(after[2:4]) - sum(before[2:4])


def measure(base: str, rounds: int, names: list[str]) -> pd.DataFrame:
    """Return a row per command, version and round."""
    rows = []
    with tempfile.TemporaryDirectory() as path:
        versions = {"base": unpack(base, Path(path, "base")), "HEAD": unpack("HEAD", Path(path, "head"))}
        for source in versions.values():
            processor_seconds(source, "list models", Path(path))  # compiles the modules
        for number in range(rounds):
            # the version that goes first takes turns; its files are new in each round
            order = sorted(versions, reverse=number % 2 == 0)
            for version in order:
                write_inputs(Path(path, f"{version}-{number}"))
            for name in names:
                for version in order:
                    folder = Path(path, f"{version}-{number}")
                    seconds = processor_seconds(versions[version], COMMANDS[name], folder)
                    rows.append({"command": name, "version": version, "round": number, "seconds": seconds})
                    print(f"{number} {name:24} {version:5} {seconds:.2f}", flush=True)
    return pd.DataFrame(rows)


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of both versions, and the median of their ratios by round."""
    seconds = table.pivot_table(index=["command", "round"], columns="version", values="seconds", sort=False)
    medians = seconds.groupby("command", sort=False).median()
    by_round = (seconds["HEAD"] / seconds["base"]).groupby("command", sort=False)
    return medians.assign(ratio=by_round.median(), least=by_round.min(), most=by_round.max())


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True, help="commit of the older version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    options = parser.parse_args()
    table = measure(options.base, options.rounds, options.commands)
    if options.commands == list(COMMANDS):
        write("commands", table.assign(base=options.base).to_dict("records"))
    print(ratios(table).round(2).to_string())


if __name__ == "__main__":
    main()
