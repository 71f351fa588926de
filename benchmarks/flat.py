"""What a run costs as alpha grows: time per epoch in the pooled order, memory, opening, drawing a batch.

Each alpha is measured in a process of its own, alternating. Writes benchmarks/results/flat.csv.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

from table import write

N, BATCH, ALPHAS, ALTERNATIONS = 60_000, 128, (0, 100, 1000), 9


def measure(alpha: float) -> dict[str, float]:
    """Measure one alpha in this process: seconds, and MB of peak resident memory."""
    import torch

    from dilution.data import Arrays
    from dilution.noise import Dilution
    from dilution.training import BatchSampler, Task, TrainConfig, keep_freed_memory, train_together

    torch.set_num_threads(1)
    keep_freed_memory()  # as worker processes do
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, 1, 28, 28), generator=draw, dtype=torch.uint8)
    data = Arrays(images, torch.randint(10, (N,), generator=draw))
    few = Arrays(data.images[:10], data.labels[:10])
    Dilution(data, 1)  # what only the first call pays
    started = time.perf_counter()
    noisy = Dilution(data, alpha)
    opened = time.perf_counter() - started
    batches = BatchSampler(noisy, "sampled", BATCH, seed=0).batches(10_000)
    for _ in range(300):  # past the first chunk
        next(batches)
    started = time.perf_counter()
    for _ in range(1000):
        next(batches)
    drawn = (time.perf_counter() - started) / 1000

    def train(epochs: int) -> float:
        settings = TrainConfig(targets="pooled", optimizer="adam", lr=1e-3, epochs=epochs, n_evals=1)
        began = time.perf_counter()
        train_together([Task("mlp2", noisy, few, 0, 10, settings)])
        return time.perf_counter() - began

    first, more = train(1), train(4)
    return {
        "open_s": opened,
        "batch_s": drawn,
        "epoch_s": (more - first) / 3,
        "start_s": first - (more - first) / 3,
        "ten_epochs_s": first + 3 * (more - first),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Alternate between the alphas and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=float, help="measure this alpha in this process")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one)))
        return
    rows = []
    for turn in range(ALTERNATIONS):
        for alpha in ALPHAS:
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(alpha)], capture_output=True, text=True, check=True
            )
            rows.append({"alpha": alpha, "turn": turn} | json.loads(done.stdout))
            print(rows[-1], flush=True)
    write("flat", rows)


if __name__ == "__main__":
    main()
