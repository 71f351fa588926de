"""Accuracy under noise with matrix products in float32 and in bfloat16 on the real MNIST, paired by seed.

Writes benchmarks/results/precision.csv, or precision-cuda.csv for a GPU. Resumes.
"""

import argparse

from table import RESULTS, write

import dilution
from dilution.study import Grid, Study

COLUMNS = [
    "model",
    "alpha",
    "precision",
    "seed",
    "n",
    "epochs",
    "state",
    "test_acc_at_best_clean_val",
    "seconds",
    "device",
]


def study() -> Study:
    """Return pairs of runs that differ only in precision."""
    base = {
        "dataset": "mnist",
        "n": 10_000,
        "targets": "pooled",
        "optimizer": "adam",
        "lr": 1e-3,
        "schedule": "linear",
        "epochs": 4.0,
        "n_evals": 4,
    }
    axes = {
        "model": ["conv4", "mlp2"],
        "alpha": [0.0, 20.0, 50.0],
        "precision": ["float32", "bfloat16"],
        "seed": list(range(5)),
    }
    return Study.of("precision", Grid(base, axes))


def main() -> None:
    """Train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    # One store per device: the device is not part of a run, and a store does not train a run twice.
    name = "precision" if arguments.device == "cpu" else f"precision-{arguments.device}"
    execution = dilution.Execution(device=arguments.device)
    table = dilution.run(study(), store=RESULTS / f"{name}.sqlite", execution=execution)
    write(name, table[COLUMNS].to_dict(orient="records"))


if __name__ == "__main__":
    main()
