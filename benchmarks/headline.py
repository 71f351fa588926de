"""Time to the paper's headline: Conv-4 on MNIST at alpha = 100, n = 60,000, pooled targets, above 90 %.

Each seed is a study of one run on an idle machine, timed from the call to the table. Needs the real MNIST
(DILUTION_DATA). Writes benchmarks/results/headline.csv.
"""

import sys
import tempfile
import time
from pathlib import Path

from table import write

import dilution
from dilution.errors import DataError
from dilution.study import Run, Study

SEEDS = 3


def main() -> None:
    """Train and write the table."""
    try:
        dilution.load("mnist")
    except DataError as error:
        sys.exit(f"not measured: {error}")
    rows = []
    for seed in range(SEEDS):
        run = Run.of(
            dataset="mnist", n=60_000, model="conv4", alpha=100, targets="pooled", optimizer="adam",
            lr=1e-3, schedule="linear", epochs=2.0, n_evals=1, seed=seed,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            table = dilution.run(Study.of("headline", [run]), store=Path(folder) / "s.sqlite")
            seconds = time.perf_counter() - start
        rows.append(
            {
                "seed": seed,
                "seconds": seconds,
                "test_acc_at_best_clean_val": table["test_acc_at_best_clean_val"].item(),
            }
        )
        print(rows[-1], flush=True)
    write("headline", rows)


if __name__ == "__main__":
    main()
