"""The planner of packs: how many runs train together, in how many processes, by a short measurement here."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from dilution.models import build
from dilution.study.grouping import Shape, by_shape, labels_of, split
from dilution.study.run_spec import Run
from dilution.study.runner import open_data
from dilution.study.timing import Probe, Timer
from dilution.training import kind_of
from dilution.training.ensemble import manner

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_SHORT = 2.0  # seconds of work per process below which measuring does not pay
_UNMEASURED = 8  # replicas of such short work, at most
_UNKNOWN = 60.0  # predicted for a run whose steps could not be measured
_LEARNING = 1e-6  # seconds of a learner for each number of its examples: no more than the order of magnitude
_GAIN = 0.05  # a larger pack must save this share: small ones lose less when interrupted
_CHANGE = 0.10  # several threads must save this share: they change last bits


@dataclass(frozen=True)
class Pack:
    """Runs that train together.

    Parameters
    ----------
    runs
        The runs.
    threads
        Threads to compute with: the share of the cores that the pack takes.
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
    study: Sequence[Run],
    cores: int,
    device: str = "cpu",
    share: bool = True,
    place: str = "",
    measure: Callable[[Probe], float],
    say: Callable[[str], None],
) -> list[Pack]:
    """Divide runs into packs, the longest first, so that the last ones to end are short.

    Parameters
    ----------
    todo
        The runs to train.
    root
        Folder that holds downloaded data.
    study
        All runs of the study, finished ones too. Threads are chosen for these, so that what is left after
        an interruption is trained as it would have been without one.
    cores
        Cores, or GPUs, to train on at once.
    device
        Where they train: ``"cpu"`` or ``"cuda"``.
    share
        Whether a pack may compute with the threads of several cores.
    place
        Name of the kind of machine that `measure` speaks of; empty for this one.
    measure
        Function of a probe → seconds for a step; infinity if it does not fit in memory.
    say
        Receives one line for each shape: what was chosen and why.

    Returns
    -------
    list of Pack
        Those that take several cores first. The threads of what runs at once must not exceed `cores`.
    """
    timer, whole = Timer(measure, place), by_shape(study)
    packs = []
    for shape, runs in by_shape(todo).items():
        data = open_data(shape.dataset, shape.fingerprint, root).train
        if kind_of(shape.model, data.shape, len(data.classes)) == "estimator":
            seconds = _LEARNING * math.prod(data.shape)
            packs += [Pack([run], 1, seconds * run.n * labels_of(run)) for run in runs]
            team = _team(min(cores, len(study)), 1)
            say(f"{shape.model}, {len(runs)} runs: one at a time in {team}; it has no steps to measure")
            continue
        machine = _Machine(shape, data.shape, data.dtype, len(data.classes), cores, device, share, timer)
        before = timer.measured
        choice = _choose(machine, len(whole[shape]), len(study))
        source = "measured now" if timer.measured > before else "measured in an earlier study"
        size = min(choice.replicas, -(-len(runs) // choice.processes))
        count = choice.processes * -(-len(runs) // (size * choice.processes)) if size > 1 else len(runs)
        for part in split(runs, count):
            packs.append(Pack(part, choice.threads, choice.seconds * len(part), device))
        way = ""
        if choice.replicas > 1:
            way = f", {manner(build(shape.model, data.shape, len(data.classes), seed=0))},"
        say(
            f"{_title(shape)}, {len(runs)} {'run' if len(runs) == 1 else 'runs'} of "
            f"{shape.settings.steps} steps: {choice.said(way)} ({source})"
        )
    timer.remember()
    return sorted(packs, key=lambda pack: (-pack.threads, -pack.seconds))


def split_pack(pack: Pack) -> list[Pack]:
    """Return the runs of a pack as packs of one."""
    return [replace(pack, runs=[run], seconds=pack.seconds / len(pack.runs)) for run in pack.runs]


@dataclass(frozen=True)
class _Choice:
    """How the runs of a shape train, and the predicted seconds of one run in its pack."""

    processes: int
    threads: int
    replicas: int
    seconds: float
    why: str

    def said(self, way: str) -> str:
        """Say what was chosen; `way` is how several networks train together."""
        together = f"{self.replicas} at a time{way}" if self.replicas > 1 else "one at a time"
        return f"{together} in {_team(self.processes, self.threads)}; {self.why}"


@dataclass(frozen=True)
class _Machine:
    """The machine at hand, asked how long a step of one shape takes."""

    shape: Shape
    image: tuple[int, int, int]
    dtype: torch.dtype
    classes: int
    cores: int
    device: str
    share: bool
    timer: Timer

    def seconds(self, processes: int, threads: int, replicas: int) -> float:
        """Return the seconds of a step for each of the replicas of a process."""
        probe = Probe(
            self.shape, self.image, self.classes, replicas, threads, processes, self.device, self.dtype
        )
        return self.timer.seconds(probe) / replicas


def _choose(machine: _Machine, runs: int, study: int) -> _Choice:
    """Choose for a shape of so many runs in a study of so many.

    One thread in each of many processes comes first. Then fewer processes, which share the cores between
    them, as long as each halving pays. Where not even one network for each process fits in memory, fewer
    may.
    """
    steps = machine.shape.settings.steps or 1
    processes = min(machine.cores, study)
    most = -(-runs // processes)
    alone = machine.seconds(processes, 1, 1)
    if alone * steps * most < _SHORT:
        why = f"too short to measure more ({_ms(alone)} a step alone)"
        return _Choice(processes, 1, min(most, _UNMEASURED), alone * steps, why)
    times = _sizes(machine, processes, most, alone)
    best = _Choice(processes, 1, best_size(times), times[best_size(times)] * steps, "")
    tried = [f"{size} together {_ms(time / processes)}" for size, time in times.items()]
    tried = [f"{_team(processes, 1)}: {', '.join(tried)}"] if math.isfinite(alone) else []
    for team, threads in _teams(machine, processes):
        seconds = machine.seconds(team, threads, best.replicas) * steps
        if math.isinf(seconds):
            continue
        tried.append(f"{_team(team, threads)}: {_ms(seconds / steps / team)}")
        if _whole(seconds, team, study) >= (1 - _CHANGE) * _whole(best.seconds, best.processes, study):
            break
        best = replace(best, processes=team, threads=threads, seconds=seconds)
    if math.isinf(best.seconds):
        why = "a step could not be measured for lack of memory"
        threads = machine.cores if machine.device == "cpu" and machine.share else 1
        return _Choice(1, threads, 1, _UNKNOWN, why)
    return replace(best, why=f"a step of one run takes {'; '.join(tried)}")


def _sizes(machine: _Machine, processes: int, most: int, alone: float) -> dict[int, float]:
    """Return the seconds of a step and run by the size of the packs, as long as growing them pays."""
    times = {1: alone}
    for size in _SIZES[1:]:
        if size > most or math.isinf(alone):
            break
        times[size] = machine.seconds(processes, 1, size)
        if times[size] > min(times.values()) * (1 + _GAIN):
            break
    return times


def _teams(machine: _Machine, processes: int) -> list[tuple[int, int]]:
    """Return processes and threads that share the cores, fewer processes each time."""
    if machine.device != "cpu" or not machine.share:
        return []
    found = [(processes, machine.cores // processes)] if machine.cores >= 2 * processes else []
    while processes > 1:
        processes //= 2
        found.append((processes, machine.cores // processes))
    return found


def _whole(seconds: float, processes: int, runs: int) -> float:
    """Return the time that so many equal runs take: the last round may leave processes idle."""
    return seconds * math.ceil(runs / processes)


def best_size(times: dict[int, float]) -> int:
    """Return the smallest pack that is nearly as fast as the fastest.

    Parameters
    ----------
    times
        Seconds for a step and run, by the number of runs that train together.
    """
    least = min(times.values())
    return min(size for size, time in times.items() if time <= least * (1 + _GAIN))


def _title(shape: Shape) -> str:
    """Name what tells one line of the planner from the next."""
    settings = shape.settings
    precision = "" if settings.precision == "float32" else f" in {settings.precision}"
    return f"{shape.model}{precision}, batch {settings.batch_size}"


def _team(processes: int, threads: int) -> str:
    many = f"{processes} processes" if processes > 1 else "1 process"
    return f"{many} of {threads} threads" if threads > 1 else many


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
