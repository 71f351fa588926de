"""One GPU: throughput next to a DataLoader loop, two ways to train ConvNets together, figures, a profile.

Contenders alternate in one process. Writes benchmarks/results/gpu.csv, gpu-figures.csv and gpu-profile.txt.
Without a GPU it measures nothing; `--device cpu` runs everything at a small size, to check that it works, and
writes nothing.
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
from counting import BATCH_SIZE
from grouped_convolutions import GroupedConvNet
from step_time import seconds_per_step
from table import RESULTS, machine, write
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import dilution
from dilution.data import Arrays
from dilution.models import build_model
from dilution.noise import Dilution
from dilution.study.grouping import GPU_GROUP_SIZE
from dilution.training import TrainConfig, TrainTask, device_title, train_together

LR = 1e-3
IMAGE_SHAPE, N_CLASSES = (1, 28, 28), 10
FIGURES = ("fig1", "fig5", "fig7", "fig8", "fig9", "fig10", "fig11")  # all figures of the paper from MNIST


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    device: str
    images: int
    steps: int
    turns: int
    matrix: int
    replicas: int


MODELS = ("perceptron", "mlp2", "conv2", "conv4")
FULL = Size("cuda", 60_000, 200, 3, 8192, GPU_GROUP_SIZE)
SMALL = Size("cpu", 600, 3, 1, 256, 2)


class Bench:
    """The contenders at one size."""

    def __init__(self, size: Size) -> None:
        self.size, self.device = size, torch.device(size.device)
        generator = torch.Generator().manual_seed(0)
        shape = (size.images, *IMAGE_SHAPE)
        self.data = Arrays(
            torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
            torch.arange(size.images) % N_CLASSES,
        )
        self.test = self.data.subset(torch.arange(N_CLASSES))

    def seconds(self, function: Callable[[], object]) -> float:
        """Return the seconds of a call, until the device has finished."""
        self.synchronize()
        start = time.perf_counter()
        function()
        self.synchronize()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def train(self, model: str, precision: str, steps: int) -> None:
        """Train a run group."""
        config = TrainConfig(
            optimizer="adam", lr=LR, batch_size=BATCH_SIZE, steps=steps, n_evals=1, precision=precision
        )
        dilutions = [Dilution(self.data, 20, seed=seed) for seed in range(self.size.replicas)]
        train_together(
            [TrainTask(model, noisy, self.test, noisy.seed, 10, config) for noisy in dilutions],
            self.size.device,
        )

    def dilution(self, model: str, precision: str) -> float:
        """Return examples per second of Dilution's trainer; the time to start is subtracted."""
        self.train(model, precision, 10)
        few_steps, steps = self.seconds(lambda: self.train(model, precision, 10)), self.size.steps
        more_steps = self.seconds(lambda: self.train(model, precision, steps + 10))
        return steps * BATCH_SIZE * self.size.replicas / (more_steps - few_steps)

    def loop(self, model: str) -> float:
        """Return examples per second of a DataLoader loop over tensors in memory."""
        pairs = TensorDataset(self.data.images.float() / 255 - 0.5, self.data.labels)
        on_gpu = self.device.type == "cuda"
        loader = DataLoader(pairs, BATCH_SIZE, shuffle=True, drop_last=True, pin_memory=on_gpu)
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        module = build_model(model, IMAGE_SHAPE, N_CLASSES, seed=0).to(self.device)
        optimizer = torch.optim.Adam(module.parameters(), lr=LR)

        def train(steps: int) -> None:
            for x, y in itertools.islice(batches, steps):
                optimizer.zero_grad()
                logits = module(x.to(self.device, non_blocking=True))
                F.cross_entropy(logits, y.to(self.device, non_blocking=True)).backward()
                optimizer.step()

        train(3)
        return self.size.steps * BATCH_SIZE / self.seconds(lambda: train(self.size.steps))

    def convnet_steps(self, model: str, precision: str) -> dict[str, float]:
        """Return steps of one model per second in a group: as graph branches, and as grouped convolutions."""
        replicas = self.size.replicas
        config = TrainConfig(optimizer="adam", lr=LR, batch_size=BATCH_SIZE, precision=precision)
        branches = seconds_per_step(
            model, IMAGE_SHAPE, N_CLASSES, config, replicas=replicas, device=self.size.device
        )
        return {
            "graph branches": replicas / branches,
            "grouped convolutions": replicas / self.grouped_step(model, precision),
        }

    def grouped_step(self, model: str, precision: str) -> float:
        """Return the seconds of a step of a group with grouped convolutions, without a CUDA graph."""
        replicas = self.size.replicas
        group = GroupedConvNet(
            [build_model(model, IMAGE_SHAPE, N_CLASSES, seed=seed) for seed in range(replicas)]
        )
        group.to(self.device)
        optimizer = torch.optim.Adam(group.parameters(), lr=LR, fused=True)
        x = torch.rand(replicas, BATCH_SIZE, *IMAGE_SHAPE, device=self.device)
        y = torch.randint(N_CLASSES, (replicas * BATCH_SIZE,), device=self.device)
        bfloat16 = precision == "bfloat16"
        autocast = torch.autocast(self.device.type, torch.bfloat16) if bfloat16 else nullcontext()

        def train(steps: int) -> None:
            for _ in range(steps):
                optimizer.zero_grad()
                with autocast:
                    logits = group(x)
                (F.cross_entropy(logits.flatten(0, 1).float(), y) * replicas).backward()
                optimizer.step()

        train(3)
        steps = max(1, self.size.steps // 10)
        return self.seconds(lambda: train(steps)) / steps

    def ceiling(self, dtype: torch.dtype) -> float:
        """Return the throughput of a large matrix product, in GFLOP/s."""
        matrix = torch.rand(self.size.matrix, self.size.matrix, device=self.device).to(dtype)
        for _ in range(3):
            matrix @ matrix
        seconds = self.seconds(lambda: [matrix @ matrix for _ in range(10)])
        return 10 * 2 * self.size.matrix**3 / 1e9 / seconds

    def profile(self, model: str, precision: str) -> str:
        """Return the profile of a training as a table."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=activities) as profiler:
            self.train(model, precision, min(20, self.size.steps))
        key = "self_cuda_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        return f"{model}, {precision}\n{profiler.key_averages().table(sort_by=key, row_limit=25)}"


def throughput(bench: Bench) -> None:
    """Alternate between the contenders."""
    rows: list[dict[str, object]] = []

    def record(model: str, what: str, turn: int, value: float) -> None:
        row = {"model": model, "what": what, "turn": turn, "throughput": value}
        group_size = bench.size.replicas if what.startswith(("dilution", "steps")) else ""
        provenance = {"machine": f"{machine()}, {device_title(bench.device.type)}"}
        rows.append(provenance | row | {"group_size": group_size})
        print(f"{model:10} {turn} {what:40} {value:14,.1f}", flush=True)
        if bench.device.type == "cuda":  # at once: the machine may be lent and go away
            write("gpu", rows)

    for turn in range(bench.size.turns):
        for dtype in (torch.float32, torch.bfloat16):
            record("", f"ceiling, {dtype}", turn, bench.ceiling(dtype))
        for model in MODELS:
            record(model, "DataLoader loop", turn, bench.loop(model))
            for precision in ("float32", "bfloat16"):
                record(model, f"dilution, {precision}", turn, bench.dilution(model, precision))
                if model.startswith("conv"):
                    for method, steps in bench.convnet_steps(model, precision).items():
                        record(model, f"steps: {method}, {precision}", turn, steps)


def figures(device: str) -> list[dict[str, object]]:
    """Return the minutes of each figure with preset paper and 5 seeds on the real MNIST.

    All figures use one store: runs that figures share are trained once.
    """
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FIGURES:
            start = time.perf_counter()
            report = dilution.reproduce(
                name, dataset="mnist", preset="paper", seeds=5, store=Path(folder) / "s.sqlite",
                out=Path(folder) / name, execution=dilution.Execution(device=device),
            )  # fmt: skip
            minutes = (time.perf_counter() - start) / 60
            rows.append({"figure": name, "runs": len(report.runs), "minutes": minutes})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--figures", action="store_true", help="also time the figures, on the real MNIST")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"not measured: torch {torch.__version__} finds no GPU")
    bench = Bench(FULL if arguments.device == "cuda" else SMALL)
    throughput(bench)
    profile = "\n".join(bench.profile("conv4", precision) for precision in ("float32", "bfloat16"))
    if arguments.device == "cuda":
        (RESULTS / "gpu-profile.txt").write_text(profile, encoding="utf-8")
    if arguments.figures:
        try:
            write("gpu-figures", figures(arguments.device))
        except dilution.DataError as error:
            print(f"the figures were not timed: {error}", flush=True)


if __name__ == "__main__":
    main()
