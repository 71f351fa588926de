"""The cost of a run as alpha grows: opening, drawing a batch, an epoch with pooled targets, memory.

Measurements alternate, each in a process of its own. Writes benchmarks/results/flat.csv.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

from table import write

N, BATCH_SIZE, ALPHAS, ALTERNATIONS = 60_000, 128, (0, 100, 1000), 9


def measure(alpha: float) -> dict[str, float]:
    """Measure one alpha in this process: seconds, and MB of peak resident memory."""
    import torch

    from dilution.data import Arrays
    from dilution.noise import Dilution
    from dilution.training import BatchSampler, TrainConfig, TrainTask, keep_freed_memory, train_together

    torch.set_num_threads(1)
    keep_freed_memory()  # as worker processes do
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, 1, 28, 28), generator=generator, dtype=torch.uint8)
    data = Arrays(images, torch.randint(10, (N,), generator=generator))
    test = Arrays(data.images[:10], data.labels[:10])
    Dilution(data, 1)  # costs of the first call
    start = time.perf_counter()
    noisy = Dilution(data, alpha)
    open_s = time.perf_counter() - start
    batches = BatchSampler(noisy, "sampled", BATCH_SIZE, seed=0).batches(10_000)
    for _ in range(300):  # past the first chunk
        next(batches)
    start = time.perf_counter()
    for _ in range(1000):
        next(batches)
    batch_s = (time.perf_counter() - start) / 1000

    def train(epochs: int) -> float:
        config = TrainConfig(targets="pooled", optimizer="adam", lr=1e-3, epochs=epochs, n_evals=1)
        start = time.perf_counter()
        train_together([TrainTask("mlp2", noisy, test, 0, 10, config)])
        return time.perf_counter() - start

    one, four = train(1), train(4)
    epoch_s = (four - one) / 3
    return {
        "open_s": open_s,
        "batch_s": batch_s,
        "epoch_s": epoch_s,
        "start_s": one - epoch_s,
        "ten_epochs_s": one + 9 * epoch_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Alternate between the alphas and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=float, help="measure this alpha in this process")
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one)))
        return
    rows = []
    for turn in range(ALTERNATIONS):
        for alpha in ALPHAS:
            process = subprocess.run(
                [sys.executable, __file__, "--one", str(alpha)], capture_output=True, text=True, check=True
            )
            rows.append({"alpha": alpha, "turn": turn} | json.loads(process.stdout))
            print(rows[-1], flush=True)
    write("flat", rows)


if __name__ == "__main__":
    main()
