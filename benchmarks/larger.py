"""Training from a pack larger than memory: its speed cold and warm, and the memory it takes.

Writes a pack of made-up images (20 GB unless told) into --folder, trains a perceptron from it, which asks
more of the disk than any other network, and compares with the same images in memory and with the disk's own
rate. Every measurement is a process of its own, alternating. Writes benchmarks/results/larger.csv.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from table import RESULTS, write

SIDE, CLASSES, BATCH, FEW, ALTERNATIONS = 64, 10, 128, 100_000, 5
BYTES = 3 * SIDE * SIDE
STEPS = {"cold": 1500, "warm": 1500, "memory": 1500, "drawing batches, cold": 1500}
CHUNK = 1 << 24


def make_pack(path: Path, size: float) -> None:
    """Write a pack of so many bytes, a part at a time."""
    import torch

    from dilution.data import Arrays, write_pack

    names = tuple(str(k) for k in range(CLASSES))

    def parts(count: int) -> Iterator[Arrays]:
        draw = torch.Generator().manual_seed(0)
        for rows in torch.arange(count).split(8192):
            shape = (len(rows), 3, SIDE, SIDE)
            images = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)
            yield Arrays(images, torch.randint(CLASSES, (len(rows),), generator=draw), names)

    write_pack(path, parts(round(size / BYTES)), parts(1000))
    os.sync()  # or writing it out would go on while reading is timed


def forget(path: Path) -> None:
    """Let the system drop what it holds of a file."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(how: str, path: Path) -> dict[str, float]:
    """Return MB of images a second, and MB of peak resident memory, of this process."""
    import torch

    import dilution
    from dilution.data import Arrays
    from dilution.noise import Dilution
    from dilution.training import BatchSampler, Task, TrainConfig, keep_freed_memory, train_together

    torch.set_num_threads(1)
    keep_freed_memory()
    if how == "disk, in sequence, cold":
        forget(path)
        start, read = time.perf_counter(), 0
        with path.open("rb", buffering=0) as file:
            while read < 4e9 and (got := len(file.read(CHUNK))):
                read += got
        return {"lr": read / 1e6 / (time.perf_counter() - start)}
    data = dilution.load(path)
    train, test = data.train, data.test.subset(torch.arange(10))
    if "cold" not in how:
        train = train.subset(torch.arange(min(FEW, len(train))))
        for rows in torch.arange(len(train)).split(1024):  # into the page cache
            train.take(rows)
    if how == "memory":
        train = Arrays(train.take(torch.arange(len(train))), train.labels, train.classes)
    noisy = Dilution(train, 20, seed=time.time_ns())  # other images each time, so that cold is cold
    steps = STEPS[how]

    def go(steps: int) -> float:
        if "cold" in how:
            forget(path)
        start = time.perf_counter()
        if how.startswith("drawing"):
            for _ in BatchSampler(noisy, "sampled", BATCH, seed=0).batches(steps):
                pass
        else:
            settings = TrainConfig(batch_size=BATCH, optimizer="sgd", lr=1e-6, steps=steps, n_evals=1)
            train_together([Task("perceptron", noisy, test, 0, 10, settings)])
        return time.perf_counter() - start

    go(1)  # what only the first call pays
    once = go(1)
    rate = (steps - 1) * BATCH * BYTES / 1e6 / (go(steps) - once)
    return {"lr": rate, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB; getrusage would include its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Write the pack, alternate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the pack is written")
    parser.add_argument("--size", type=float, default=20e9, help="bytes")
    parser.add_argument("--one", help="measure this in this process")
    given = parser.parse_args()
    path = given.folder / "larger.pack"
    if given.one is not None:
        print(json.dumps(measure(given.one, path)))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    make_pack(path, given.size)
    rows = []
    try:
        for turn in range(ALTERNATIONS):
            for how in ("disk, in sequence, cold", *STEPS):
                command = [sys.executable, __file__, "--one", how, "--folder", str(given.folder)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = {
                    "what": how,
                    "turn": turn,
                    "lr": "",
                    "peak_mb": "",
                    "pack_mb": path.stat().st_size / 1e6,
                }
                rows.append(row | json.loads(done.stdout))
                print(rows[-1], flush=True)
    finally:
        path.unlink()
    write("larger", rows)


if __name__ == "__main__":
    main()
