"""What all contenders share: made-up MNIST, the networks in numbers, the conversation with the script."""

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

N, SIDE, CLASSES, BATCH, RATE = 60_000, 28, 10, 128, 1e-3
SECONDS = 2.0  # a timed segment

WIDTHS = {"perceptron": [], "mlp2": [256, 256]}
CHANNELS = {"conv2": [32, 32], "conv4": [32, 32, 64, 64]}
DENSE = 256


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return made-up uint8 images (n, 28, 28) and int64 labels: the arithmetic sees no difference."""
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (N, SIDE, SIDE), dtype=np.uint8), draw.integers(0, CLASSES, N)


def serve(train: Callable[[int], None], *, multiple: int = 1, **facts: str) -> None:
    """Answer each line of standard input with the rate of a segment, as a line of JSON.

    Parameters
    ----------
    train
        Trains for so many steps of `BATCH` examples.
    multiple
        Steps are a multiple of this.
    facts
        What the table says of this contender, such as versions.
    """
    train(multiple)  # compile, allocate
    steps = 4 * multiple
    while (took := _time(train, steps)) < SECONDS / 4:
        steps *= 2
    steps = multiple * max(1, round(steps * SECONDS / took / multiple))
    print(json.dumps({"ready": True} | facts), flush=True)
    for _ in sys.stdin:
        rate = steps * BATCH / _time(train, steps)
        print(json.dumps({"rate": rate, "peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    """Return the peak resident memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _time(train: Callable[[int], None], steps: int) -> float:
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start
