"""Our trainer, examples order at alpha = 20: a worker process, with the pack that the planner picks.

The timed call is `train_together` as a study calls it. What it costs to start and to end is taken off by
timing it twice, with one step and with many: throughput must not depend on how long the benchmark runs.
"""

import json
import sys
import time

import torch
from common import BATCH, RATE, SECONDS, peak_mb, pictures

from dilution.data import Arrays
from dilution.noise import Dilution
from dilution.revision import code_version
from dilution.study.planner import best_size
from dilution.training import Task, TrainSettings, keep_freed_memory, seconds_per_step, train_together

NETWORK, PRECISION = sys.argv[1:]
torch.set_num_threads(1)
keep_freed_memory()  # as worker processes do
images, labels = pictures()
data = Arrays(torch.from_numpy(images)[:, None], torch.from_numpy(labels))
few = Arrays(data.images[:10], data.labels[:10])


def settings(steps: int) -> TrainSettings:
    return TrainSettings(
        order="examples",
        optimizer="adam",
        rate=RATE,
        batch=BATCH,
        steps=steps,
        evaluations=1,
        precision=PRECISION,
    )


def seconds(replicas: int, steps: int) -> float:
    dilutions = [Dilution(data, 20, seed=seed) for seed in range(replicas)]
    tasks = [Task(NETWORK, noisy, few, noisy.seed, 10, settings(steps)) for noisy in dilutions]
    start = time.perf_counter()
    train_together(tasks)
    return time.perf_counter() - start


def answer(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


times: dict[int, float] = {}
for size in (1, 2, 4, 8, 16):
    each = [seconds_per_step(NETWORK, (1, 28, 28), 10, settings(1), replicas=size) for _ in range(3)]
    times[size] = min(each) / size
    if times[size] > 1.1 * min(times.values()):
        break
pack = best_size(times)
steps = max(2, round(SECONDS / (times[pack] * pack)))
answer(ready=True, version=f"dilution {code_version()}, torch {torch.__version__}", pack=pack)
for _ in sys.stdin:
    took = seconds(pack, steps + 1) - seconds(pack, 1)
    answer(rate=steps * pack * BATCH / took, peak_mb=peak_mb())
