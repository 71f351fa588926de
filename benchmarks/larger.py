"""Training from a pack larger than memory: its throughput with a cold and a warm page cache, and its memory.

Writes a pack of random images (20 GB by default) into --folder and trains a perceptron from it, which needs
more images per second than any other model. Compares with the same images in memory and with the sequential
throughput of the disk. Measurements alternate, each in a process of its own. Writes
benchmarks/results/larger.csv.
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

SIDE, N_CLASSES, BATCH_SIZE, ALTERNATIONS = 64, 10, 128, 5
N_WARM = 100_000  # images of the measurements that are not cold
IMAGE_BYTES = 3 * SIDE * SIDE
STEPS = 1500
READ, COLD, WARM, MEMORY, DRAWING = (
    "sequential read, cold disk", "training, cold disk", "training, warm pack", "training, memory",
    "drawing batches, cold disk",
)  # fmt: skip
CHUNK = 1 << 24


def make_pack(path: Path, size: float) -> None:
    """Write a pack of about so many bytes, in parts."""
    import torch

    from dilution.data import Arrays, write_pack

    classes = tuple(str(number) for number in range(N_CLASSES))

    def parts(count: int) -> Iterator[Arrays]:
        generator = torch.Generator().manual_seed(0)
        for rows in torch.arange(count).split(8192):
            shape = (len(rows), 3, SIDE, SIDE)
            images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
            yield Arrays(images, torch.randint(N_CLASSES, (len(rows),), generator=generator), classes)

    write_pack(path, parts(round(size / IMAGE_BYTES)), parts(1000))
    os.sync()  # otherwise the system would still write while reading is timed


def drop_from_page_cache(path: Path) -> None:
    """Make the system drop what it holds of a file."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(what: str, path: Path) -> dict[str, float]:
    """Return MB of images per second, and MB of peak resident memory, of this process."""
    import torch

    import dilution
    from dilution.data import Arrays
    from dilution.noise import Dilution
    from dilution.training import BatchSampler, TrainConfig, TrainTask, keep_freed_memory, train_together

    torch.set_num_threads(1)
    keep_freed_memory()
    if what == READ:
        return {"throughput": sequential_throughput(path)}
    data = dilution.load(path)
    train, test = data.train, data.test.subset(torch.arange(10))
    if what in (WARM, MEMORY):
        train = train.subset(torch.arange(min(N_WARM, len(train))))
        for rows in torch.arange(len(train)).split(1024):  # into the page cache
            train.take(rows)
    if what == MEMORY:
        train = Arrays(train.take(torch.arange(len(train))), train.labels, train.classes)
    noisy = Dilution(train, 20, seed=time.time_ns())  # other images each time, so that cold is cold

    def seconds_of(steps: int) -> float:
        if what in (COLD, DRAWING):
            drop_from_page_cache(path)
        start = time.perf_counter()
        if what == DRAWING:
            for _ in BatchSampler(noisy, "sampled", BATCH_SIZE, seed=0).batches(steps):
                pass
        else:
            config = TrainConfig(batch_size=BATCH_SIZE, optimizer="sgd", lr=1e-6, steps=steps, n_evals=1)
            train_together([TrainTask("perceptron", noisy, test, 0, 10, config)])
        return time.perf_counter() - start

    seconds_of(1)  # costs of the first call
    one_step = seconds_of(1)
    mb = (STEPS - 1) * BATCH_SIZE * IMAGE_BYTES / 1e6
    return {"throughput": mb / (seconds_of(STEPS) - one_step), "peak_mb": peak_mb()}


def sequential_throughput(path: Path) -> float:
    """Return MB per second of reading up to 4 GB of a file that is not in the page cache."""
    drop_from_page_cache(path)
    start, n_bytes = time.perf_counter(), 0
    with path.open("rb", buffering=0) as file:
        while n_bytes < 4e9 and (chunk := len(file.read(CHUNK))):
            n_bytes += chunk
    return n_bytes / 1e6 / (time.perf_counter() - start)


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB; getrusage would include its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Write the pack, alternate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="folder of the pack")
    parser.add_argument("--size", type=float, default=20e9, help="bytes")
    parser.add_argument("--one", help="measure this in this process")
    arguments = parser.parse_args()
    path = arguments.folder / "larger.pack"
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one, path)))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    make_pack(path, arguments.size)
    rows = []
    try:
        for turn in range(ALTERNATIONS):
            for what in (READ, COLD, WARM, MEMORY, DRAWING):
                command = [sys.executable, __file__, "--one", what, "--folder", str(arguments.folder)]
                process = subprocess.run(command, capture_output=True, text=True, check=True)
                row = {
                    "what": what,
                    "turn": turn,
                    "throughput": "",
                    "peak_mb": "",
                    "pack_mb": path.stat().st_size / 1e6,
                }
                rows.append(row | json.loads(process.stdout))
                print(rows[-1], flush=True)
    finally:
        path.unlink()
    write("larger", rows)


if __name__ == "__main__":
    main()
