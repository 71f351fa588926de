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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from counting import BATCH_SIZE, CIFAR_SHAPE, MNIST_SHAPE
from table import machine, write

from dilution.models import build_model
from dilution.study.grouping import GPU_GROUP_SIZE
from dilution.training import TrainConfig, device_title
from dilution.training.kernels import convolution, dense, optimizer
from dilution.training.kernels.convnet import KernelName, Step, Tile
from dilution.training.kernels.ensemble_step import KernelEnsembleStep
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
COMPILERS, COMPILE_SECONDS = 12, 150


@dataclass(frozen=True)
class Size:
    """How much is measured: models with their image shapes, replicas, batch size, repeats, variants."""

    device: str
    models: Mapping[str, tuple[int, int, int]]
    replicas: int
    batch_size: int
    repeats: int
    variants: Sequence[Tile]


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


def ensemble_of(size: Size, model: str) -> tuple[KernelEnsembleStep, Callable[[], object]]:
    """Return a group step by the kernels, and a function that takes it."""
    image_shape, device = size.models[model], torch.device(size.device)
    generator = torch.Generator().manual_seed(0)
    models = [build_model(model, image_shape, 10, seed=seed).to(device) for seed in range(size.replicas)]
    precision = "bfloat16" if size.device == "cuda" else "float32"  # the interpreter multiplies no bfloat16
    config = TrainConfig(optimizer="adam", lr=1e-3, batch_size=size.batch_size, precision=precision)
    ensemble = KernelEnsembleStep(models, image_shape, config, [config.lr] * size.replicas)
    images = torch.randn(size.replicas, size.batch_size, *image_shape, generator=generator).to(device)
    targets = torch.randint(10, (size.replicas, size.batch_size), generator=generator).to(device)
    return ensemble, lambda: ensemble.step(images, targets, 1.0)


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


def settings(step: Step, variants: Sequence[Tile]) -> list[tuple[KernelName, int, Tile]]:
    """Return kernel, number of the convolution and tile of all that is compared, the present tile first."""
    return [
        (kernel, number, tile)
        for (kernel, number), present in step.tiles.items()
        for tile in dict.fromkeys([present, *variants])
    ]


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


def compile_part(part: int, parts: int) -> None:
    """Launch a part of all variants once, with one replica: what is compiled stays in Triton's cache.

    A step has to be compiled before its variants, so each part takes those of as few models as it can.
    """
    size = replace(FULL, replicas=1)
    names, teams = list(size.models), min(parts, len(size.models))
    team, place, members = part % teams, part // teams, len(range(part % teams, parts, teams))
    for model in names[team::teams]:
        ensemble, take_step = ensemble_of(size, model)
        take_step()
        assert ensemble._pass is not None
        for kernel, layer, tile in settings(ensemble._pass, size.variants)[place::members]:
            try:
                launch_with(ensemble._pass, kernel, layer, tile)
            except Exception as error:  # it will be reported when it is measured
                print(f"{kernel} {layer} {tile}: {type(error).__name__}", flush=True)


def compile_all() -> None:
    """Compile all variants in several processes, since that takes longer than the measurement."""
    parts = max(1, min(COMPILERS, available_cores() - 1))
    command = [sys.executable, __file__, "--compile-part"]
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
    parser.add_argument("--compile-part", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"not measured: torch {torch.__version__} finds no GPU")
    if given.compile_part is not None:
        compile_part(*given.compile_part)
        return
    size = SMALL
    if given.device == "cuda":
        size = replace(FULL, models={name: FULL.models[name] for name in given.models})
        compile_all()
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
