"""Our trainer, examples order at alpha = 20, as a worker process of a study trains a pack.

Arguments: network, precision, threads, replicas. The timed call is `train_together` as a study calls it. What
it costs to start and to end is taken off by timing it twice, with one step and with many: throughput must not
depend on how long the benchmark runs.
"""

import json
import sys
import time

import torch
from common import BATCH, RATE, SECONDS, images, peak_mb

from dilution.data import Arrays
from dilution.noise import Dilution
from dilution.training import Task, TrainConfig, keep_freed_memory, train_together
from dilution.utils.version import code_version

MODEL, PRECISION = sys.argv[1:3]
THREADS, REPLICAS = map(int, sys.argv[3:])
torch.set_num_threads(THREADS)
keep_freed_memory()  # as worker processes do
images, labels = images()
data = Arrays(torch.from_numpy(images)[:, None], torch.from_numpy(labels))
few = Arrays(data.images[:10], data.labels[:10])


def seconds(steps: int) -> float:
    settings = TrainConfig(
        targets="sampled",
        optimizer="adam",
        lr=RATE,
        batch_size=BATCH,
        steps=steps,
        n_evals=1,
        precision=PRECISION,
    )
    dilutions = [Dilution(data, 20, seed=seed) for seed in range(REPLICAS)]
    tasks = [Task(MODEL, noisy, few, noisy.seed, 10, settings) for noisy in dilutions]
    start = time.perf_counter()
    train_together(tasks)
    return time.perf_counter() - start


def answer(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


once, steps = seconds(1), 3
while (took := seconds(steps + 1) - once) < SECONDS / 4:
    steps *= 2
steps = max(2, round(steps * SECONDS / took))
answer(ready=True, version=f"dilution {code_version()}, torch {torch.__version__}", pack=REPLICAS)
for _ in sys.stdin:
    took = seconds(steps + 1) - seconds(1)
    answer(rate=steps * REPLICAS * BATCH / took, peak_mb=peak_mb())
