"""The planner of packs: how many runs train together, decided by a short measurement on this machine."""

import json
import math
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dilution.files import write_whole
from dilution.study.execute import open_data
from dilution.study.packs import Shape, by_shape, split
from dilution.study.spec import Run
from dilution.training import device_title

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_SHORT = 2.0  # seconds of work per process below which measuring does not pay
_UNMEASURED = 8  # replicas of such short work, at most
_TOO_LARGE = "a step could not be measured for lack of memory"
_UNKNOWN = 60.0  # predicted for a run whose steps could not be measured
_TIMED = {"order", "optimizer", "momentum", "averaging", "batch", "flips", "crops", "precision"}
_GAIN = 0.03  # a larger pack must save this share: small ones lose less when interrupted


@dataclass(frozen=True)
class Probe:
    """What is measured: a step of `replicas` networks of a shape with `threads` threads, in `processes`."""

    shape: Shape
    picture: tuple[int, int, int]
    classes: int
    replicas: int
    threads: int
    processes: int
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Everything the time depends on, as text: machine, versions, network, settings, replicas."""
        settings = self.shape.settings
        about = settings.model_dump(include=_TIMED)
        parts = [
            _machine(),
            device_title(self.device),
            self.shape.network,
            *self.picture,
            self.classes,
            json.dumps(about, sort_keys=True),
        ]
        return "/".join(map(str, [*parts, self.replicas, self.threads, self.processes]))


@dataclass(frozen=True)
class Pack:
    """Runs that train together.

    Parameters
    ----------
    runs
        The runs.
    threads
        Threads to compute with.
    seconds
        Predicted time of the whole pack.
    device
        ``"cpu"`` or ``"cuda"``.
    """

    runs: list[Run]
    threads: int
    seconds: float
    device: str = "cpu"


def plan(
    todo: Sequence[Run],
    root: str | None,
    *,
    processes: int,
    threads: int = 1,
    device: str = "cpu",
    measure: Callable[[Probe], float],
    say: Callable[[str], None],
) -> list[Pack]:
    """Divide runs into packs, the longest first, so that the last ones to end are short.

    Parameters
    ----------
    todo
        The runs.
    root
        Folder that holds downloaded data.
    processes
        Worker processes that will train them.
    threads
        Threads that each may use; more than one only pays with fewer runs than cores.
    device
        Where they train: ``"cpu"`` or ``"cuda"``.
    measure
        Function of a probe → seconds for a step.
    say
        Receives one line for each shape: what was chosen and why.
    """
    shapes = by_shape(todo)
    timer = _Timer(measure)
    packs = []
    for shape, runs in shapes.items():
        data = open_data(shape.dataset, shape.fingerprint, root).train
        probes = _Probes(shape, data.shape, len(data.classes), processes, device)
        size, used, seconds, why = _choose(probes, len(runs), processes, threads, timer)
        count = processes * -(-len(runs) // (size * processes)) if size > 1 else len(runs)
        for part in split(runs, count):
            packs.append(Pack(part, used, seconds * len(part), device))
        together = f"{size} at a time" if size > 1 else "one at a time"
        say(f"{shape.network}, {len(runs)} runs of {shape.settings.steps} steps: {together}; {why}")
    timer.remember()
    return sorted(packs, key=lambda pack: -pack.seconds)


def split_pack(pack: Pack) -> list[Pack]:
    """Return the runs of a pack as packs of one."""
    return [replace(pack, runs=[run], seconds=pack.seconds / len(pack.runs)) for run in pack.runs]


@dataclass(frozen=True)
class _Probes:
    """The probes of one shape."""

    shape: Shape
    picture: tuple[int, int, int]
    classes: int
    processes: int
    device: str

    def of(self, replicas: int, threads: int = 1) -> Probe:
        processes = self.processes if threads == 1 else 1
        return Probe(self.shape, self.picture, self.classes, replicas, threads, processes, self.device)


def _choose(
    probes: _Probes, runs: int, processes: int, threads: int, timer: "_Timer"
) -> tuple[int, int, float, str]:
    """Return replicas, threads, predicted seconds a run, and the reason in words."""
    steps = probes.shape.settings.steps or 1
    alone = timer.seconds(probes.of(1))
    if threads > 1:
        shared = timer.seconds(probes.of(1, threads))
        if math.isinf(min(shared, alone)):
            return 1, 1, _UNKNOWN, _TOO_LARGE
        faster = shared < alone
        why = f"{_ms(shared)} a step with {threads} threads, {_ms(alone)} with one"
        return 1, threads if faster else 1, min(shared, alone) * steps, why
    if math.isinf(alone):
        return 1, 1, _UNKNOWN, _TOO_LARGE
    most = -(-runs // processes)
    if alone * steps * most < _SHORT:
        size = min(most, _UNMEASURED)
        return size, 1, alone * steps, f"too short to measure more ({_ms(alone)} a step alone)"
    times = {1: alone}
    for size in _SIZES[1:]:
        if size > most:
            break
        times[size] = timer.seconds(probes.of(size)) / size
        if times[size] > min(times.values()) * (1 + _GAIN):
            break
    size = best_size(times)
    tried = ", ".join(f"{number} together {_ms(time)}" for number, time in times.items())
    return size, 1, times[size] * steps, f"a step and run takes: {tried}"


def best_size(times: dict[int, float]) -> int:
    """Return the smallest pack that is nearly as fast as the fastest.

    Parameters
    ----------
    times
        Seconds for a step and run, by the number of runs that train together.
    """
    least = min(times.values())
    return min(size for size, time in times.items() if time <= least * (1 + _GAIN))


class _Timer:
    """Measures what is not remembered from an earlier study on this machine."""

    def __init__(self, measure: Callable[[Probe], float]) -> None:
        self._measure = measure
        self._path = cache_folder() / "steps.json"
        self._known: dict[str, float] = dict(_read(self._path))
        self._new = False

    def seconds(self, probe: Probe) -> float:
        """Return the seconds that a step takes."""
        if probe.name not in self._known:
            self._known[probe.name] = self._measure(probe)
            self._new = True
        return self._known[probe.name]

    def remember(self) -> None:
        """Keep what was measured for the next study."""
        if self._new:
            measured = {name: time for name, time in self._known.items() if math.isfinite(time)}
            text = json.dumps(dict(_read(self._path)) | measured, indent=1, sort_keys=True)
            write_whole(self._path, text.encode())


def cache_folder() -> Path:
    """Return the folder for what may be lost: ``DILUTION_CACHE``, else the user's cache."""
    chosen = os.environ.get("DILUTION_CACHE")
    if not chosen:
        import pooch

        chosen = pooch.os_cache("dilution")
    return Path(chosen).expanduser()


def _read(path: Path) -> Iterator[tuple[str, float]]:
    """Yield the measurements of a file; one that is missing or damaged holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(found, dict):
        yield from ((name, time) for name, time in found.items() if isinstance(time, float) and time > 0)


def _machine() -> str:
    return f"{platform.node()}/{os.cpu_count()}/{torch.__version__}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
