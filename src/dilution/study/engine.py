"""The local engine: worker processes on this machine.

The driver hands out one pack at a time to each worker and is the only one that writes to the store. A pack
says how many threads it computes with: nearly always one, more where the planner measured that fewer
processes with several threads each are faster. With one thread a result is the same, bit for bit,
whatever the number of workers and the size of the packs; the store keeps the threads with the versions.
"""

import os
import platform
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import wait
from typing import Any

import torch

from dilution.errors import InputError
from dilution.revision import code_version
from dilution.study.execute import (
    Confusabilities,
    confusability_name,
    learns_at_once,
    measure_confusability,
    needs_confusability,
    open_data,
)
from dilution.study.grid import Study
from dilution.study.packs import epoch_of
from dilution.study.planner import Pack, plan, split_pack
from dilution.study.progress import Progress
from dilution.study.spec import Run
from dilution.study.store import Store
from dilution.study.team import Team
from dilution.study.workers import Worker, measure, train_pack, using_threads
from dilution.training import device_of, device_title

VERSIONED = ("torch", "numpy")


def run_study(
    study: Study,
    store: Store,
    *,
    workers: int | None = None,
    device: str = "cpu",
    root: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> None:
    """Train the runs of a study that the store does not hold yet.

    Finished and diverged runs are not repeated, nor are failed ones unless asked for. Interrupting
    loses the runs under way and nothing else: they are queued again on the next start.

    Parameters
    ----------
    study
        What to run.
    store
        Where results go; this process becomes its one writer.
    workers
        Cores, or GPUs if that is the device, to train on at once; default all. There is a worker process for
        each, unless the planner finds fewer with several threads faster. 0 trains in this process, one
        pack after another.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if there is one.
    root
        Folder that holds downloaded data.
    retry_failed
        Run failed runs again.
    progress
        What shows how far it is.

    Raises
    ------
    InputError
        If `workers` is negative, or there is no such device.
    StoreError
        If another process writes to the store, or it cannot be written.
    """
    device, asked, workers = check_machine(workers, device)
    progress = progress or Progress()
    with store.writer():
        store.add(study.name, study.runs)
        if retry_failed:
            store.requeue_failed(run.key for run in study.runs)
        states = store.states(run.key for run in study.runs)
        todo = [run for run in study.runs if states[run.key] == "queued"]
        with progress.of(study.name, total=len(study.runs), already=len(study.runs) - len(todo)):
            if not todo:
                return
            if asked > workers:
                progress.say(f"{asked} workers asked for, more than the cores at hand: {workers} used")
            if len(todo) == len(study.runs):
                for note in _notes(todo, root):
                    progress.say_once(note)
            with using_threads(1):
                shared = _confusabilities(todo, store, root, progress, device)
            if workers == 0:
                _inline(study.runs, todo, store, root, shared, progress, device)
            else:
                _processes(study.runs, todo, store, root, shared, progress, workers, device)


def check_machine(workers: int | None, device: str) -> tuple[str, int, int]:
    """Return the kind of device, the workers asked for, and those that it has room for.

    Call it before a store is made: a command that is refused should leave nothing behind.

    Raises
    ------
    InputError
        If `workers` is negative, or there is no such device.
    """
    kind = device_of(device).type
    present = available_cores() if kind == "cpu" else torch.cuda.device_count()
    asked = present if workers is None else workers
    if asked < 0:
        raise InputError(f"workers is {asked}; it must be 0 (train in this process) or more.")
    return kind, asked, min(asked, present) if kind == "cpu" else asked  # several may share a GPU


def _notes(runs: Sequence[Run], root: str | None) -> list[str]:
    """Return what a user would want to know before these runs start, each note once.

    What was done to the data on the way in comes first, after the name of the data.
    """
    opened = {run.dataset: open_data(run.dataset, run.fingerprint, root) for run in runs}
    notes = [f"{name}: {note}" for name, data in opened.items() for note in data.notes]
    beyond = [run for run in runs if run.batch > epoch_of(run) and not learns_at_once(run, root)]
    large = {run.batch: epoch_of(run) for run in beyond}
    for batch, epoch in large.items():
        what = "fewer than a batch; one then holds the same more than once"
        notes.append(f"batch is {batch:,}, and an epoch of such a run holds {epoch:,}: {what}")
    return notes


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _confusabilities(
    runs: Sequence[Run], store: Store, root: str | None, progress: Progress, device: str
) -> Confusabilities:
    """Measure once for each data set what the runs need of it, and keep it in the store."""
    needed = {confusability_name(run): run for run in runs if needs_confusability(run)}
    tables = {}
    for name, run in needed.items():
        tables[name] = store.artifact(name)
        if tables[name] is None:
            progress.say(f"measuring which classes of {run.dataset} are confusable")
            tables[name] = measure_confusability(run, root, device)
            store.keep(name, tables[name])
    return tables


def _inline(
    study: Sequence[Run],
    todo: Sequence[Run],
    store: Store,
    root: str | None,
    shared: Confusabilities,
    progress: Progress,
    device: str,
) -> None:
    packs = plan(todo, root, study=study, cores=1, device=device, measure=measure, say=progress.say)
    progress.start_clock(sum(pack.seconds for pack in packs))
    for pack in packs:
        _record_start(store, progress, pack)
        _record_end(store, progress, pack, train_pack(pack, root, shared))


def _processes(
    study: Sequence[Run],
    todo: Sequence[Run],
    store: Store,
    root: str | None,
    shared: Confusabilities,
    progress: Progress,
    cores: int,
    device: str,
) -> None:
    busy: dict[Worker, Pack] = {}
    with Team(root, shared, device) as team:
        team.grow(min(cores, len(todo)))
        packs = plan(
            todo, root, study=study, cores=cores, device=device, measure=team.measure, say=progress.say
        )
        progress.start_clock(sum(pack.seconds for pack in packs))
        waiting = deque(packs)
        while waiting or busy:
            free = cores - sum(pack.threads for pack in busy.values())
            for worker in team.workers:
                if waiting and waiting[0].threads <= free and worker not in busy:
                    busy[worker] = waiting.popleft()
                    free -= busy[worker].threads
                    _record_start(store, progress, busy[worker])
                    worker.start(busy[worker])
            ready = wait([worker.link for worker in busy])
            for worker in [each for each in busy if each.link in ready]:
                pack, outcomes = busy.pop(worker), worker.answer()
                if outcomes is None:
                    code = team.replace(worker)
                    if len(pack.runs) > 1:  # one of them may be at fault, or all together too large
                        progress.divided(pack)
                        waiting.extend(split_pack(pack))
                        continue
                    outcomes = [{"state": "failed", "error": _DIED.format(code)}]
                _record_end(store, progress, pack, outcomes)


_DIED = (
    "the worker process died with exit code {} (-9: killed, often for lack of "
    "memory). Try fewer workers "
    "or a smaller batch, with --retry-failed."
)


def _record_start(store: Store, progress: Progress, pack: Pack) -> None:
    versions = {"dilution": code_version()} | {name: version(name) for name in VERSIONED}
    versions |= {"python": platform.python_version()}
    if pack.device == "cuda":
        versions["gpu"] = device_title("cuda").replace(",", "")
    versions["threads"] = str(pack.threads)
    store.start([run.key for run in pack.runs], host=platform.node(), versions=versions, at=_now())
    progress.started(pack)


def _record_end(store: Store, progress: Progress, pack: Pack, outcomes: list[dict[str, Any]]) -> None:
    store.finish({run.key: outcome for run, outcome in zip(pack.runs, outcomes, strict=True)}, at=_now())
    progress.finished(pack, outcomes)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
