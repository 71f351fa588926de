"""Accuracy under noise with products in float32 and in bfloat16, on the real MNIST, seed for seed.

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
    """Return pairs of runs that differ in precision only."""
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
    given = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    # A store for each: where a run trains is no part of its identity, and what is there is not trained again.
    name = "precision" if given.device == "cpu" else f"precision-{given.device}"
    table = dilution.run(study(), store=RESULTS / f"{name}.sqlite", device=given.device)
    write(name, table[COLUMNS].to_dict(orient="records"))


if __name__ == "__main__":
    main()
