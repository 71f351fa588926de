"""Examples a second on one GPU: our trainer, a DataLoader loop, and the GPU's own matrix rate.

Each is measured in turn, alternating, in one process. Writes benchmarks/results/gpu.csv. Without a GPU it
says so and measures nothing.
"""

import csv
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from dilution.data import Arrays
from dilution.nets import build
from dilution.noise import Dilution
from dilution.training import Task, TrainSettings, train_together

HERE = Path(__file__).resolve().parent
N, BATCH, RATE, STEPS, ALTERNATIONS, SIZE = 60_000, 128, 1e-3, 400, 5, 8192
NETWORKS = {"perceptron": 64, "mlp2": 64, "conv2": 16, "conv4": 16}  # replicas that train together

draw = torch.Generator().manual_seed(0)
data = Arrays(
    torch.randint(0, 256, (N, 1, 28, 28), generator=draw, dtype=torch.uint8),
    torch.randint(10, (N,), generator=draw),
)


def seconds(act: Callable[[], object]) -> float:
    """Return the seconds that a call takes, until the GPU has finished."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    act()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def ours(network: str) -> float:
    """Return examples a second of our trainer; what it costs to start is taken off."""
    few = data.subset(torch.arange(10))

    def go(steps: int) -> float:
        settings = TrainSettings(optimizer="adam", rate=RATE, batch=BATCH, steps=steps, evaluations=1)
        tasks = [
            Task(network, Dilution(data, 20, seed=seed), few, seed, 10, settings)
            for seed in range(NETWORKS[network])
        ]
        return seconds(lambda: train_together(tasks, "cuda"))

    go(10)
    return STEPS * BATCH * NETWORKS[network] / (go(STEPS + 10) - go(10))


def loop(network: str) -> float:
    """Return examples a second of a DataLoader loop over tensors in memory."""
    pairs = TensorDataset(data.images.float() / 255 - 0.5, data.labels)
    batches = itertools.chain.from_iterable(
        itertools.repeat(DataLoader(pairs, BATCH, shuffle=True, drop_last=True, pin_memory=True))
    )
    module = build(network, (1, 28, 28), 10, seed=0).cuda()
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)

    def go(steps: int) -> None:
        for x, y in itertools.islice(batches, steps):
            optimizer.zero_grad()
            logits = module(x.cuda(non_blocking=True))
            torch.nn.functional.cross_entropy(logits, y.cuda(non_blocking=True)).backward()
            optimizer.step()

    go(10)
    return STEPS * BATCH / seconds(lambda: go(STEPS))


def ceiling(kind: torch.dtype) -> float:
    """Return the rate of a large product of matrices, in GFLOP/s."""
    left = torch.rand(SIZE, SIZE, device="cuda", dtype=kind)
    for _ in range(3):
        left @ left
    return 10 * 2 * SIZE**3 / 1e9 / seconds(lambda: [left @ left for _ in range(10)])


def main() -> None:
    """Alternate and write the table."""
    if not torch.cuda.is_available():
        sys.exit(f"not measured: torch {torch.__version__} finds no GPU")
    rows = []
    for turn in range(ALTERNATIONS):
        for kind in (torch.float32, torch.bfloat16):
            rows.append({"network": "", "what": f"ceiling, {kind}", "turn": turn, "rate": ceiling(kind)})
        for network in NETWORKS:
            rows.append({"network": network, "what": "dilution", "turn": turn, "rate": ours(network)})
            rows.append({"network": network, "what": "DataLoader loop", "turn": turn, "rate": loop(network)})
            print(network, *(round(row["rate"]) for row in rows[-2:]), flush=True)
    out = HERE / "results" / "gpu.csv"
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
