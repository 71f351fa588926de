"""What all contenders share: random images, the sizes of the models, the protocol with throughput.py."""

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

N, SIDE, N_CLASSES, BATCH_SIZE, LR = 60_000, 28, 10, 128, 1e-3
SECONDS = 2.0  # length of a timed segment

WIDTHS = {"perceptron": [], "mlp2": [256, 256]}
CHANNELS = {"conv2": [32, 32], "conv4": [32, 32, 64, 64]}
DENSE = 256


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return random uint8 images (n, 28, 28) and int64 labels; their values do not affect the time."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (N, SIDE, SIDE), dtype=np.uint8), random.integers(0, N_CLASSES, N)


def serve(train: Callable[[int], None], *, multiple: int = 1, **facts: str) -> None:
    """Answer each line of standard input with the throughput of a segment, as a line of JSON.

    Parameters
    ----------
    train
        Trains for a number of steps of `BATCH_SIZE` examples.
    multiple
        The number of steps is a multiple of this.
    facts
        Entries of the table for this contender, such as versions.
    """
    train(multiple)  # compile, allocate
    steps = 4 * multiple
    while (seconds := _time(train, steps)) < SECONDS / 4:
        steps *= 2
    steps = multiple * max(1, round(steps * SECONDS / seconds / multiple))
    print(json.dumps({"ready": True} | facts), flush=True)
    for _ in sys.stdin:
        throughput = steps * BATCH_SIZE / _time(train, steps)
        print(json.dumps({"throughput": throughput, "peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    """Return the peak resident memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _time(train: Callable[[int], None], steps: int) -> float:
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start
