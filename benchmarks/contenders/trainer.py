"""Dilution's trainer with sampled targets at alpha = 20, as a worker process of a study trains a run group.

Arguments: model, precision, threads, models. The timed call is `train_together`, as in a study. The time to
start and to end is subtracted by timing one step and many: throughput must not depend on the length of the
benchmark.
"""

import json
import sys
import time

import torch
from common import BATCH_SIZE, LR, SECONDS, images, peak_mb

from dilution.data import Arrays
from dilution.noise import Dilution
from dilution.training import TrainConfig, TrainTask, keep_freed_memory, train_together
from dilution.utils.version import code_version

MODEL, PRECISION = sys.argv[1:3]
THREADS, REPLICAS = map(int, sys.argv[3:])
torch.set_num_threads(THREADS)
keep_freed_memory()  # as worker processes do
images, labels = images()
data = Arrays(torch.from_numpy(images)[:, None], torch.from_numpy(labels))
test = Arrays(data.images[:10], data.labels[:10])


def seconds_of(steps: int) -> float:
    config = TrainConfig(
        targets="sampled",
        optimizer="adam",
        lr=LR,
        batch_size=BATCH_SIZE,
        steps=steps,
        n_evals=1,
        precision=PRECISION,
    )
    dilutions = [Dilution(data, 20, seed=seed) for seed in range(REPLICAS)]
    tasks = [TrainTask(MODEL, noisy, test, noisy.seed, 10, config) for noisy in dilutions]
    start = time.perf_counter()
    train_together(tasks)
    return time.perf_counter() - start


def answer(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


one_step, steps = seconds_of(1), 3
while (seconds := seconds_of(steps + 1) - one_step) < SECONDS / 4:
    steps *= 2
steps = max(2, round(steps * SECONDS / seconds))
answer(ready=True, version=f"dilution {code_version()}, torch {torch.__version__}", group_size=REPLICAS)
for _ in sys.stdin:
    seconds = seconds_of(steps + 1) - seconds_of(1)
    answer(throughput=steps * REPLICAS * BATCH_SIZE / seconds, peak_mb=peak_mb())
