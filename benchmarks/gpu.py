"""One GPU: our trainer beside a DataLoader loop, stackings of ConvNets, figures at paper scale, a profile.

Measured in turn, alternating, in one process. Writes benchmarks/results/gpu.csv, gpu-figures.csv and
gpu-profile.txt. Without a GPU it says so and measures nothing; `--device cpu` plays it through in small, to
see that it works, and writes nothing.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from grouped import Grouped
from table import RESULTS, machine, write
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import dilution
from dilution.data import Arrays
from dilution.models import build
from dilution.noise import Dilution
from dilution.training import Task, TrainConfig, device_title, seconds_per_step, train_together

BATCH, RATE = 128, 1e-3
IMAGE, CLASSES = (1, 28, 28), 10
FIGURES = ("fig1", "fig5", "fig7", "fig8", "fig9", "fig10", "fig11")  # all that the paper draws from MNIST


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    device: str
    images: int
    steps: int
    turns: int
    matrix: int
    replicas: dict[str, int]


FULL = Size("cuda", 60_000, 200, 3, 8192, {"perceptron": 64, "mlp2": 64, "conv2": 32, "conv4": 32})
SMALL = Size("cpu", 600, 3, 1, 256, {"perceptron": 2, "mlp2": 2, "conv2": 2, "conv4": 2})


class Bench:
    """The contenders at one size."""

    def __init__(self, size: Size) -> None:
        self.size, self.device = size, torch.device(size.device)
        draw = torch.Generator().manual_seed(0)
        shape = (size.images, *IMAGE)
        self.data = Arrays(
            torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8),
            torch.arange(size.images) % CLASSES,
        )
        self.few = self.data.subset(torch.arange(CLASSES))

    def seconds(self, act: Callable[[], object]) -> float:
        """Return the seconds that a call takes, until the device has finished."""
        self.finish()
        start = time.perf_counter()
        act()
        self.finish()
        return time.perf_counter() - start

    def finish(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def train(self, model: str, precision: str, steps: int) -> None:
        """Train as many replicas as a pack holds."""
        settings = TrainConfig(
            optimizer="adam", lr=RATE, batch_size=BATCH, steps=steps, n_evals=1, precision=precision
        )
        replicas = range(self.size.replicas[model])
        dilutions = [Dilution(self.data, 20, seed=seed) for seed in replicas]
        train_together(
            [Task(model, noisy, self.few, noisy.seed, 10, settings) for noisy in dilutions],
            self.size.device,
        )

    def ours(self, model: str, precision: str) -> float:
        """Return examples a second of our trainer; what it costs to start is taken off."""
        self.train(model, precision, 10)
        once, steps = self.seconds(lambda: self.train(model, precision, 10)), self.size.steps
        more = self.seconds(lambda: self.train(model, precision, steps + 10))
        return steps * BATCH * self.size.replicas[model] / (more - once)

    def loop(self, model: str) -> float:
        """Return examples a second of a DataLoader loop over tensors in memory."""
        pairs = TensorDataset(self.data.images.float() / 255 - 0.5, self.data.labels)
        pinned = self.device.type == "cuda"
        loader = DataLoader(pairs, BATCH, shuffle=True, drop_last=True, pin_memory=pinned)
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        module = build(model, IMAGE, CLASSES, seed=0).to(self.device)
        optimizer = torch.optim.Adam(module.parameters(), lr=RATE)

        def go(steps: int) -> None:
            for x, y in itertools.islice(batches, steps):
                optimizer.zero_grad()
                logits = module(x.to(self.device, non_blocking=True))
                F.cross_entropy(logits, y.to(self.device, non_blocking=True)).backward()
                optimizer.step()

        go(3)
        return self.size.steps * BATCH / self.seconds(lambda: go(self.size.steps))

    def stacking(self, model: str, precision: str) -> dict[str, float]:
        """Return steps × replicas a second of a pack of ConvNets: ours, and as grouped convolutions."""
        replicas = self.size.replicas[model]
        settings = TrainConfig(optimizer="adam", lr=RATE, batch_size=BATCH, precision=precision)
        branches = seconds_per_step(
            model, IMAGE, CLASSES, settings, replicas=replicas, device=self.size.device
        )
        return {"branches": replicas / branches, "grouped": replicas / self.grouped(model, precision)}

    def grouped(self, model: str, precision: str) -> float:
        """Return the seconds of a step of a pack whose convolutions are grouped ones, without a graph."""
        replicas = self.size.replicas[model]
        stack = Grouped([build(model, IMAGE, CLASSES, seed=seed) for seed in range(replicas)])
        stack.to(self.device)
        optimizer = torch.optim.Adam(stack.parameters(), lr=RATE, fused=True)
        x = torch.rand(replicas, BATCH, *IMAGE, device=self.device)
        y = torch.randint(CLASSES, (replicas * BATCH,), device=self.device)
        low = precision == "bfloat16"
        casting = torch.autocast(self.device.type, torch.bfloat16) if low else nullcontext()

        def go(steps: int) -> None:
            for _ in range(steps):
                optimizer.zero_grad()
                with casting:
                    logits = stack(x)
                (F.cross_entropy(logits.flatten(0, 1).float(), y) * replicas).backward()
                optimizer.step()

        go(3)
        steps = max(1, self.size.steps // 10)
        return self.seconds(lambda: go(steps)) / steps

    def ceiling(self, kind: torch.dtype) -> float:
        """Return the rate of a large product of matrices, in GFLOP/s."""
        left = torch.rand(self.size.matrix, self.size.matrix, device=self.device).to(kind)
        for _ in range(3):
            left @ left
        return 10 * 2 * self.size.matrix**3 / 1e9 / self.seconds(lambda: [left @ left for _ in range(10)])

    def profile(self, model: str, precision: str) -> str:
        """Return where the time of a training goes, as a table."""
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if self.device.type == "cuda":
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=kinds) as found:
            self.train(model, precision, min(20, self.size.steps))
        by = "self_cuda_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        return f"{model}, {precision}\n{found.key_averages().table(sort_by=by, row_limit=25)}"


def throughput(bench: Bench) -> None:
    """Alternate between the contenders."""
    rows: list[dict[str, object]] = []

    def note(model: str, what: str, turn: int, rate: float) -> None:
        about = {"machine": f"{machine()}, {device_title(bench.device.type)}"}
        rows.append(about | {"model": model, "what": what, "turn": turn, "rate": rate})
        print(f"{model:10} {turn} {what:32} {rate:14,.1f}", flush=True)
        if bench.device.type == "cuda":  # as it comes: a lent machine may go
            write("gpu", rows)

    for turn in range(bench.size.turns):
        for kind in (torch.float32, torch.bfloat16):
            note("", f"ceiling, {kind}", turn, bench.ceiling(kind))
        for model in bench.size.replicas:
            note(model, "DataLoader loop", turn, bench.loop(model))
            for precision in ("float32", "bfloat16"):
                note(model, f"dilution, {precision}", turn, bench.ours(model, precision))
                if model.startswith("conv"):
                    for how, rate in bench.stacking(model, precision).items():
                        note(model, f"steps: {how}, {precision}", turn, rate)


def figures(device: str) -> list[dict[str, object]]:
    """Return the minutes that each figure takes at paper scale with 5 seeds on the real MNIST.

    One store for all: runs that figures share are trained once.
    """
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FIGURES:
            start = time.perf_counter()
            made = dilution.reproduce(
                name, dataset="mnist", scale="paper", device=device, seeds=5,
                store=Path(folder) / "s.sqlite", out=Path(folder) / name,
            )  # fmt: skip
            minutes = (time.perf_counter() - start) / 60
            rows.append({"figure": name, "runs": len(made.runs), "minutes": minutes})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--figures", action="store_true", help="also time the figures, from the real MNIST")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"not measured: torch {torch.__version__} finds no GPU")
    bench = Bench(FULL if given.device == "cuda" else SMALL)
    throughput(bench)
    profile = "\n".join(bench.profile("conv4", precision) for precision in ("float32", "bfloat16"))
    if given.device == "cuda":
        (RESULTS / "gpu-profile.txt").write_text(profile, encoding="utf-8")
    if given.figures:
        try:
            write("gpu-figures", figures(given.device))
        except dilution.DataError as error:
            print(f"the figures were not timed: {error}", flush=True)


if __name__ == "__main__":
    main()
