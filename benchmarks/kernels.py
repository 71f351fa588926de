"""The GPU kernels of a step: the median time of every launch, and of convolutions with other tiles.

Prints every line at once and writes benchmarks/results/kernels.csv as it goes. A variant whose result differs
from that of the present tile, or that does not fit into the GPU, says so. `--device cpu` runs everything at a
small size under TRITON_INTERPRET=1, to check that it works, and writes nothing.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import time
import typing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from counting import BATCH_SIZE, CIFAR_SHAPE, MNIST_SHAPE
from table import machine, write
from torch import nn

from dilution.models import build_model
from dilution.study.grouping import GPU_GROUP_SIZE
from dilution.training import TrainConfig, device_title
from dilution.training.config import PrecisionName
from dilution.training.kernels import convolution, dense, optimizer
from dilution.training.kernels.convnet import KernelName, Rows, Step, Tile
from dilution.training.kernels.ensemble_step import KernelEnsembleStep
from dilution.training.kernels.layers import find_layers
from dilution.utils.process_pool import available_cores

LAUNCHED: Mapping[ModuleType, Sequence[str]] = {
    convolution: ("forward", "unpool", "input_gradient", "weight_gradient", "add_parts"),
    dense: ("product", "column_sums", "cross_entropy"),
    optimizer: ("update",),
}
"""The kernels that a step launches, by module."""

STAGES, WARPS, PIXELS = (1,), (4, 8), (128, 256)
TOLERANCE = 1e-3  # of the norm: tiles add in another order, and a rounding of bfloat16 may fall elsewhere
PLACES_TOLERANCE = 1e-4  # of the places of maxima, which are other ones where two sums are nearly equal
DELAY = 20_000_000  # cycles, about 10 ms, in which the processor queues what is measured
COMPILERS, COMPILE_SECONDS = 12, 60
WIDE, TOO_LARGE = 128, (256, 4)  # channels out, and a tile (pixels, warps) whose sums then fill all registers


@dataclass(frozen=True)
class Size:
    """How much is measured: models with their image shapes, replicas, batch size, repeats, variants.

    The optimizer is that of the steps.
    """

    device: str
    models: Mapping[str, tuple[int, int, int]]
    replicas: int
    batch_size: int
    repeats: int
    variants: Sequence[Tile]
    optimizer: str = "adam"

    @property
    def precision(self) -> PrecisionName:
        """Precision of the products; the interpreter multiplies no bfloat16."""
        return "bfloat16" if self.device == "cuda" else "float32"


VARIANTS = [Tile(pixels, warps, stages) for stages, warps, pixels in itertools.product(STAGES, WARPS, PIXELS)]
FULL = Size("cuda", {"conv4": MNIST_SHAPE, "conv6": CIFAR_SHAPE}, GPU_GROUP_SIZE, BATCH_SIZE, 20, VARIANTS)
SMALL = Size("cpu", {"conv2": (1, 2, 2)}, 1, 2, 1, [Tile(64, 4, 1)])


@dataclass(frozen=True)
class Launch:
    """A launch that was recorded, and can be repeated."""

    name: str
    options: Mapping[str, Any]
    call: Callable[[], object]

    @property
    def shape(self) -> str:
        """What it computes on, in words."""
        o = self.options
        if "CI" in o:
            return f"{o['H']}x{o['W']}, {o['CI']} to {o['CO']}"
        return " ".join(
            f"{name}={o[name]}" for name in ("H", "W", "B", "C", "M", "N", "K", "SIZE") if name in o
        )


class Recorder:
    """Stands for a kernel: launches it, and records the launch."""

    def __init__(self, name: str, kernel: Any, launches: list[Launch]) -> None:
        self._name, self._kernel, self._launches = name, kernel, launches

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        """Return the function that launches the kernel on a grid."""

        def launch(*arguments: object, **options: object) -> None:
            def call() -> object:
                return self._kernel[grid](*arguments, **options)

            call()
            self._launches.append(Launch(self._name, options, call))

        return launch


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Record all launches inside the block."""
    launches: list[Launch] = []
    kernels = [(module, name, getattr(module, name)) for module, names in LAUNCHED.items() for name in names]
    try:
        for module, name, kernel in kernels:
            setattr(module, name, Recorder(name, kernel, launches))
        yield launches
    finally:
        for module, name, kernel in kernels:
            setattr(module, name, kernel)


def models_of(size: Size, model: str) -> list[nn.Module]:
    """Return the models of a group."""
    seeds = range(size.replicas)
    return [build_model(model, size.models[model], 10, seed=seed).to(size.device) for seed in seeds]


def ensemble_of(size: Size, model: str) -> tuple[KernelEnsembleStep, Callable[[], object]]:
    """Return a group step by the kernels, and a function that takes it."""
    image_shape, device = size.models[model], torch.device(size.device)
    generator = torch.Generator().manual_seed(0)
    config = TrainConfig(
        optimizer=size.optimizer, lr=1e-3, batch_size=size.batch_size, precision=size.precision
    )
    lrs = [config.lr] * size.replicas
    ensemble = KernelEnsembleStep(models_of(size, model), image_shape, config, lrs)
    images = torch.randn(size.replicas, size.batch_size, *image_shape, generator=generator).to(device)
    targets = torch.randint(10, (size.replicas, size.batch_size), generator=generator).to(device)
    return ensemble, lambda: ensemble.step(images, targets, 1.0)


def step_of(size: Size, model: str) -> Step:
    """Return the pass of a group over a batch without taking it: its maps are zero."""
    models = models_of(size, model)
    layers = find_layers(models[0], size.models[model])
    assert layers is not None, "the kernels compute these models"
    convolutions, linear = layers
    rows, widths = Rows(models, convolutions, linear), [layer.out_features for layer in linear]
    products = getattr(torch, size.precision)
    return Step(rows, convolutions, widths, size.batch_size, products, weights_of_labels=False)


@contextmanager
def without_convolutions() -> Iterator[None]:
    """Launch no kernel of a convolution inside the block."""
    names = typing.get_args(KernelName)
    kernels = {name: getattr(convolution, name) for name in names}
    try:
        for name in names:
            setattr(convolution, name, defaultdict(lambda: lambda *_, **__: None))
        yield
    finally:
        for name, kernel in kernels.items():
            setattr(convolution, name, kernel)


def microseconds(call: Callable[[], object], size: Size) -> float:
    """Return the median time of a launch on the device."""
    if size.device != "cuda":
        start = time.perf_counter()
        call()
        return 1e6 * (time.perf_counter() - start)
    call()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(size.repeats)]
    torch.cuda.synchronize()
    torch.cuda._sleep(DELAY)
    for start_event, end_event in events:
        start_event.record()
        call()
        end_event.record()
    torch.cuda.synchronize()
    return 1e3 * statistics.median(start_event.elapsed_time(end_event) for start_event, end_event in events)


def difference(result: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the distance of a result from what is expected, as a share of its norm, or of unequal places."""
    if not expected.numel():
        return 0.0
    if expected.dtype == torch.uint8:
        return float((result != expected).float().mean())
    return float((result.float() - expected.float()).norm() / expected.float().norm().clamp(min=1e-30))


def differs(result: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether a result is farther from what is expected than another order of its sums explains."""
    tolerance = PLACES_TOLERANCE if expected.dtype == torch.uint8 else TOLERANCE
    return not difference(result, expected) <= tolerance


Setting = tuple[KernelName, int, Tile]
"""Kernel, number of the convolution, and tile."""


def settings(step: Step, variants: Sequence[Tile]) -> list[Setting]:
    """Return all that is compared, the present tile of each kernel first."""
    return [
        (kernel, number, tile)
        for (kernel, number), present in step.tiles.items()
        for tile in dict.fromkeys([present, *variants])
        if tile == present or not is_too_large(tile, step._convolutions[number].channels_out)
    ]


def is_too_large(tile: Tile, channels_out: int) -> bool:
    """Return whether the sums of a tile do not fit into the registers of its warps: it would be slow."""
    return channels_out >= WIDE and (tile.pixels, tile.num_warps) == TOO_LARGE


def launch_with(step: Step, kernel: KernelName, number: int, tile: Tile) -> tuple[Launch, list[torch.Tensor]]:
    """Launch a kernel of a convolution with a tile; return the launch and what it computed."""
    present = step.tiles[kernel, number]
    step.tiles[kernel, number] = tile
    try:
        with recorded() as launches:
            results = step.launch(kernel, number)
    finally:
        step.tiles[kernel, number] = present
    return next(launch for launch in launches if launch.name == kernel), results


def teraflops(launch: Launch, size: Size, time_us: float) -> float | str:
    """Return the speed of a convolution, two operations per multiply-add; empty for other kernels."""
    o = launch.options
    if "CI" not in o or "M" not in o:
        return ""
    return 2 * 9 * o["CI"] * o["CO"] * o["M"] * size.replicas / time_us / 1e6


def measure(size: Size, record: Callable[[Mapping[str, object]], None]) -> None:
    """Measure all launches of the steps of all models, then all variants of their convolutions."""
    steps: dict[str, Step] = {}
    for model in size.models:
        ensemble, take_step = ensemble_of(size, model)
        with recorded() as launches:
            take_step()
        step = ensemble._pass
        assert step is not None, "the first step makes it"
        steps[model] = step
        for launch in launches:
            time_us = microseconds(launch.call, size)
            record(row(model, launch, size, time_us, what="step"))
    for model, step in steps.items():
        expected: list[torch.Tensor] = []
        for kernel, number, tile in settings(step, size.variants):
            is_present = tile == step.tiles[kernel, number]
            what = "present tile" if is_present else "variant"
            try:
                launch, results = launch_with(step, kernel, number, tile)
                if is_present:
                    expected = [result.clone() for result in results]
                pairs = list(zip(results, expected, strict=True))
                far = max(difference(*pair) for pair in pairs)
                time_us = microseconds(launch.call, size)
            except Exception as error:  # a tile may not fit, and the others are measured all the same
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                failed = {"model": model, "what": what, "kernel": kernel, "number": number, "error": reason}
                record(failed | fields(tile))
                continue
            error_text = "its result differs" if any(differs(*pair) for pair in pairs) else ""
            record(
                row(model, launch, size, time_us, what=what)
                | {"number": number, **fields(tile), "difference": far, "error": error_text}
            )


def fields(tile: Tile) -> dict[str, object]:
    """Return the columns of a tile."""
    return {"pixels": tile.pixels, "warps": tile.num_warps, "stages": tile.num_stages}


def row(model: str, launch: Launch, size: Size, time_us: float, *, what: str) -> dict[str, object]:
    """Return what the table has of a launch."""
    o = launch.options
    return {
        "model": model, "what": what, "kernel": launch.name, "shape": launch.shape,
        "pixels": o.get("BM", ""), "warps": o.get("num_warps", ""), "stages": o.get("num_stages", ""),
        "microseconds": time_us, "tflops": teraflops(launch, size, time_us),
    }  # fmt: skip


COLUMNS = (
    "model", "what", "kernel", "number", "shape", "pixels", "warps", "stages", "microseconds", "tflops",
    "difference", "error",
)  # fmt: skip


def compile_part(size: Size, part: int, parts: int) -> None:
    """Launch a part of the kernels once, with one replica: what is compiled stays in Triton's cache.

    Convolutions are launched on maps of zeros, so that no process compiles a whole step first.
    """
    size = replace(size, replicas=1)
    steps = {model: step_of(size, model) for model in size.models}
    jobs: list[tuple[str, Setting | None]] = [(model, None) for model in steps]
    jobs += [(model, setting) for model, step in steps.items() for setting in settings(step, size.variants)]
    for model, setting in jobs[part::parts]:
        try:
            if setting is None:
                with without_convolutions():
                    ensemble_of(size, model)[1]()
            else:
                launch_with(steps[model], *setting)
        except Exception as error:  # it will be reported when it is measured
            print(f"{model} {setting}: {type(error).__name__}", flush=True)


def compile_all(arguments: Sequence[str]) -> None:
    """Compile all kernels in several processes with these arguments, since that takes long."""
    parts = max(1, min(COMPILERS, available_cores() - 1))
    command = [sys.executable, __file__, *arguments, "--compile-part"]
    processes = [
        subprocess.Popen([*command, str(part), str(parts)], stdout=subprocess.DEVNULL)
        for part in range(parts)
    ]
    end = time.monotonic() + COMPILE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:  # the rest is compiled when it is measured
            process.kill()
            process.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--models", nargs="+", choices=list(FULL.models), default=list(FULL.models))
    parser.add_argument("--optimizer", default="adam", help="of the steps; default: adam")
    parser.add_argument(
        "--compile-only", action="store_true",
        help="compile the kernels of a step into Triton's cache, for trainings that follow; measure nothing",
    )  # fmt: skip
    parser.add_argument("--compile-part", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = sys.argv[1:] if arguments is None else arguments
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"not measured: torch {torch.__version__} finds no GPU")
    size = SMALL
    if given.device == "cuda":
        models = {name: FULL.models[name] for name in given.models}
        variants = () if given.compile_only else FULL.variants
        size = replace(FULL, models=models, variants=variants, optimizer=given.optimizer)
    if given.compile_part is not None:
        compile_part(size, *given.compile_part)
        return
    if given.device == "cuda":
        compile_all(arguments)
    if given.compile_only:
        return
    provenance = {"machine": f"{machine()}, {device_title(size.device)}"}
    provenance |= {"replicas": str(size.replicas), "batch_size": str(size.batch_size)}
    rows: list[Mapping[str, object]] = []

    def record(values: Mapping[str, object]) -> None:
        rows.append(provenance | {name: values.get(name, "") for name in COLUMNS})
        shown = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in values.values())
        print("; ".join(shown), flush=True)
        if size.device == "cuda":  # at once: the machine may be lent and go away
            write("kernels", rows)

    measure(size, record)


if __name__ == "__main__":
    main()
