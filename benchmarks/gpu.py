"""One GPU: throughput next to a DataLoader loop and to one compiled network, figures, a profile.

Contenders alternate in one process. Writes benchmarks/results/gpu.csv, gpu-figures.csv and gpu-profile.txt.
Without a GPU it measures nothing; `--device cpu` runs everything at a small size, to check that it works, and
writes nothing.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from counting import BATCH_SIZE, CIFAR_SHAPE, COMPILED, IMAGE_SHAPES, LOOP, MNIST_SHAPE
from table import RESULTS, machine, write
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import dilution
from dilution.data import Arrays
from dilution.errors import TimeLimitReached
from dilution.models import build_model
from dilution.noise import Dilution
from dilution.study.grouping import GPU_GROUP_SIZE
from dilution.training import TrainConfig, TrainTask, device_title, train_together
from dilution.training.device import reproducible_convolutions
from dilution.training.distributed import WHOLE_BATCH
from dilution.training.trainer import Trainer
from dilution.utils.atomic import write_atomic

LR = 1e-3
N_CLASSES = 10
FIGURES = ("fig1", "fig5", "fig7", "fig8", "fig9", "fig10", "fig11")  # all figures of the paper from MNIST


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Parameters
    ----------
    device, images, replicas
        Device, number of training images, models per group.
    steps
        Steps of a turn of a contender.
    own_steps
        Steps of a turn of Dilution: on a GPU as many as it draws the batches of at once, so that each turn
        has one such drawing.
    turns
        Number of alternations.
    matrix
        Rows of the matrices of the ceiling.
    """

    device: str
    images: int
    steps: int
    own_steps: int
    turns: int
    matrix: int
    replicas: int


MODELS = ("conv4", "conv6", "mlp2", "perceptron", "conv2", "resnet18")
AGAINST_COMPILED, ALONE = ("conv4", "resnet18"), ("conv6",)
SLOW = ("resnet18",)  # measured behind the profile
WARM_UP_STEPS = 10  # they compile kernels and capture a graph
FULL = Size("cuda", 60_000, 500, 2048, 3, 8192, GPU_GROUP_SIZE)
SMALL = Size("cpu", 600, 3, 3, 1, 256, 2)


Contender = Callable[[], float]
"""Function that takes a turn and returns its throughput in examples per second."""


class Bench:
    """The contenders at one size."""

    def __init__(self, size: Size) -> None:
        self.size, self.device = size, torch.device(size.device)
        self._data = {shape: self._random_images(shape) for shape in (MNIST_SHAPE, CIFAR_SHAPE)}

    def _random_images(self, image_shape: tuple[int, int, int]) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        shape = (self.size.images, *image_shape)
        images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        return Arrays(images, torch.arange(self.size.images) % N_CLASSES)

    def data(self, model: str) -> Arrays:
        """Return random images of the shape that a model is measured on."""
        return self._data[IMAGE_SHAPES.get(model, MNIST_SHAPE)]

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

    def tasks(self, model: str, precision: str, steps: int) -> list[TrainTask]:
        """Return the trainings of a run group."""
        config = TrainConfig(
            optimizer="adam", lr=LR, batch_size=BATCH_SIZE, steps=steps, n_evals=1, precision=precision
        )
        data = self.data(model)
        test = data.subset(torch.arange(N_CLASSES))
        dilutions = [Dilution(data, 20, seed=seed) for seed in range(self.size.replicas)]
        return [TrainTask(model, noisy, test, noisy.seed, 10, config) for noisy in dilutions]

    def dilution(self, model: str, precision: str) -> Contender:
        """Return a contender: the steps of Dilution's trainer, the drawing of batches among them."""
        steps = self.size.own_steps
        all_steps = WARM_UP_STEPS + steps * (self.size.turns + 1)  # so the last drawing is a whole one, too
        with reproducible_convolutions(self.device):
            trainer = Trainer(self.tasks(model, precision, all_steps), self.device, None, WHOLE_BATCH)
            losses = trainer.steps()
            exhaust(losses, WARM_UP_STEPS)

        def turn() -> float:
            with reproducible_convolutions(self.device):
                seconds = self.seconds(lambda: exhaust(losses, steps))
            return steps * BATCH_SIZE * self.size.replicas / seconds

        return turn

    def loop(self, model: str) -> Contender:
        """Return a contender: a DataLoader loop over tensors in memory."""
        data = self.data(model)
        assert isinstance(data.images, torch.Tensor)
        pairs = TensorDataset(data.images.float() / 255 - 0.5, data.labels)
        on_gpu = self.device.type == "cuda"
        loader = DataLoader(pairs, BATCH_SIZE, shuffle=True, drop_last=True, pin_memory=on_gpu)
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        module = build_model(model, data.shape, N_CLASSES, seed=0).to(self.device)
        optimizer = torch.optim.Adam(module.parameters(), lr=LR)

        def train(steps: int) -> None:
            for x, y in itertools.islice(batches, steps):
                optimizer.zero_grad()
                logits = module(x.to(self.device, non_blocking=True))
                F.cross_entropy(logits, y.to(self.device, non_blocking=True)).backward()
                optimizer.step()

        train(WARM_UP_STEPS)
        return lambda: self.size.steps * BATCH_SIZE / self.seconds(lambda: train(self.size.steps))

    def compiled(self, model: str) -> Contender:
        """Return a contender: one network whose batch is as large as those of a group together.

        It is compiled, in bfloat16 and channels last, and takes its images from memory of the GPU: what a
        user of torch would do who needs one model only.
        """
        data, size = self.data(model).to(self.device), self.size.replicas * BATCH_SIZE
        assert isinstance(data.images, torch.Tensor)
        module = build_model(model, data.shape, N_CLASSES, seed=0).to(self.device)
        module = module.to(memory_format=torch.channels_last)
        on_gpu = self.device.type == "cuda"
        optimizer = torch.optim.Adam(module.parameters(), lr=LR, fused=on_gpu)
        images, labels = data.images, data.labels

        @torch.compile(backend="inductor" if on_gpu else "eager")
        def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            with torch.autocast(self.device.type, torch.bfloat16):
                logits = module(x.to(memory_format=torch.channels_last))
            return F.cross_entropy(logits.float(), y)

        def train(steps: int) -> None:
            for _ in range(steps):
                rows = torch.randint(len(labels), (size,), device=self.device)
                optimizer.zero_grad()
                loss_of(images[rows].float() / 255 - 0.5, labels[rows]).backward()
                optimizer.step()

        train(WARM_UP_STEPS)
        steps = max(1, self.size.steps // 4)
        return lambda: steps * size / self.seconds(lambda: train(steps))

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
            train_together(self.tasks(model, precision, min(40, self.size.steps)), self.size.device)
        key = "self_cuda_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        return f"{model}, {precision}\n{profiler.key_averages().table(sort_by=key, row_limit=25)}"


def exhaust(steps: Iterator[torch.Tensor], count: int) -> None:
    """Take so many steps."""
    if sum(1 for _ in itertools.islice(steps, count)) < count:
        raise RuntimeError("the training has ended: a measurement would be too short")


def contenders(bench: Bench, model: str, *, float32: bool) -> dict[str, Contender]:
    """Return the contenders of a model, ready and warm: ours alone where nothing is compared."""
    ready = {"dilution, bfloat16": bench.dilution(model, "bfloat16")}
    if model in ALONE:
        return ready
    if float32:
        ready["dilution, float32"] = bench.dilution(model, "float32")
    ready[LOOP] = bench.loop(model)
    if model in AGAINST_COMPILED:
        ready[COMPILED] = bench.compiled(model)
    return ready


def throughput(bench: Bench, models: Sequence[str], *, float32: bool) -> Iterator[str]:
    """Alternate between the contenders of each model; measure the ceilings before the turns of the first one.

    Yields the name of each model once it is measured. Rows of other models in the table of an earlier call
    are kept, with the ceilings of that call.
    """
    rows: list[dict[str, object]] = []
    path = RESULTS / "gpu.csv"
    if bench.device.type == "cuda" and path.exists():
        earlier = pd.read_csv(path, dtype=object).fillna("")
        rows = earlier[~earlier["model"].isin(models)].to_dict("records")

    def record(model: str, what: str, turn: int, value: float) -> None:
        row = {"model": model, "what": what, "turn": turn, "throughput": value}
        group_size = bench.size.replicas if what.startswith("dilution") else ""
        row |= {"drawn_steps": bench.size.own_steps if group_size else ""}
        provenance = {"machine": f"{machine()}, {device_title(bench.device.type)}"}
        rows.append(provenance | row | {"group_size": group_size})
        print(f"{model:10} {turn} {what:40} {value:14,.1f}", flush=True)
        if bench.device.type == "cuda":  # at once: the machine may be lent and go away
            write("gpu", rows)

    for number, model in enumerate(models):
        ready = contenders(bench, model, float32=float32)
        for turn in range(bench.size.turns):
            if number == 0:
                for dtype in (torch.float32, torch.bfloat16):
                    record("", f"ceiling, {dtype}", turn, bench.ceiling(dtype))
            for what, measure in ready.items():
                record(model, what, turn, measure())
        yield model


def figures(device: str, time_limit: float) -> list[dict[str, object]]:
    """Return the minutes of each figure with preset paper and 5 seeds on the real MNIST, in bfloat16.

    In bfloat16 the kernels of run groups train the ConvNets. All figures use one store: runs that figures
    share are trained once. Figures that do not end within `time_limit` seconds are left out, with a word.
    """
    rows: list[dict[str, object]] = []
    end = time.perf_counter() + time_limit
    with tempfile.TemporaryDirectory() as folder:
        for name in FIGURES:
            start = time.perf_counter()
            execution = dilution.Execution(device=device, time_limit=max(0.1, end - start))
            try:
                report = dilution.reproduce(
                    name, dataset="mnist", preset="paper", seeds=5, precision="bfloat16",
                    store=Path(folder) / "s.sqlite", out=Path(folder) / name, execution=execution,
                )  # fmt: skip
            except TimeLimitReached as error:
                print(f"{name} and the figures after it were not timed: {error}", flush=True)
                break
            minutes = (time.perf_counter() - start) / 60
            rows.append({"figure": name, "runs": len(report.runs), "minutes": minutes})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--float32", action="store_true", help="also measure Dilution in float32")
    parser.add_argument("--turns", type=int, help="alternations; default: 3")
    parser.add_argument("--figures", action="store_true", help="also time the figures, on the real MNIST")
    parser.add_argument("--time-limit", default="1h", help="of the figures together; default: 1h")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"not measured: torch {torch.__version__} finds no GPU")
    size = FULL if arguments.device == "cuda" else SMALL
    bench = Bench(replace(size, turns=arguments.turns or size.turns))
    models = sorted(arguments.models, key=SLOW.__contains__)
    measured = throughput(bench, models, float32=arguments.float32)
    list(itertools.islice(measured, sum(model not in SLOW for model in models)))
    profile = "\n\n".join(bench.profile(model, "bfloat16") for model in ("conv4", "mlp2"))
    if arguments.device == "cuda":
        write_atomic(RESULTS / "gpu-profile.txt", profile.encode())
    list(measured)
    if arguments.figures:
        try:
            seconds = dilution.Execution(time_limit=arguments.time_limit).time_limit_seconds
            if rows := figures(arguments.device, seconds):
                write("gpu-figures", rows)
        except dilution.DataError as error:
            print(f"the figures were not timed: {error}", flush=True)


if __name__ == "__main__":
    main()
