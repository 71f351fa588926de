"""The driver of a study: plans packs, hands them to an engine, and is the one writer of the store.

What trains a pack may die. A pack of several runs is then divided, for one of them may be at fault or all
together too large; a run that was alone is tried again, and has failed after three such deaths. Runs that a
machine took with it when it went away are not to blame and are simply trained again.
"""

import platform
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dilution.study.executors import Ended, Executor, Job, check_executor, open_executor, workers_note
from dilution.study.executors.workers import using_threads
from dilution.study.grid import Study
from dilution.study.grouping import epoch_of
from dilution.study.planner import Pack, plan, split_pack
from dilution.study.progress import Progress
from dilution.study.run_spec import Run
from dilution.study.runner import (
    Checkpoints,
    Confusabilities,
    confusability_name,
    learns_at_once,
    measure_confusability,
    needs_confusability,
    open_data,
)
from dilution.study.store import CRASHES, Store
from dilution.training.checkpoint import EVERY
from dilution.utils.version import versions


def run_study(
    study: Study,
    store: Store,
    *,
    workers: int | None = None,
    device: str = "cpu",
    executor: str = "local",
    address: str | None = None,
    checkpoint_minutes: float = EVERY / 60,
    checkpoints: str | Path | None = None,
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
    workers, device, engine, address, checkpoint_minutes, checkpoints, root, retry_failed, progress
        As for :func:`dilution.run`.

    Raises
    ------
    InputError
        If there is no such engine, device or cluster, or `workers` is negative.
    StoreError
        If another process writes to the store, or it cannot be written.
    """
    device = check_executor(executor=executor, workers=workers, device=device, address=address)
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
            if executor == "local" and (said := workers_note(workers, device)):
                progress.say(said)
            if len(todo) == len(study.runs):
                for note in _notes(todo, root):
                    progress.say_once(note)
            with using_threads(1):
                here = "cpu" if executor == "ray" else device  # a driver of a cluster may have no GPU
                shared = _confusabilities(todo, store, root, progress, here)
            folder = checkpoints or store.path.with_name(f"{store.path.name}.checkpoints")
            kept = Checkpoints(Path(folder).resolve(), 60 * checkpoint_minutes)
            job = Job(todo, root, shared, device, workers, address, kept)
            with open_executor(executor, job) as opened:
                _train(study.runs, opened, store, progress)
            # a run that failed since what trained it died goes on from there, if it is tried again
            states = store.states(run.key for run in todo)
            kept.clear(key for key, state in states.items() if state != "failed")


def _train(study: Sequence[Run], executor: Executor, store: Store, progress: Progress) -> None:
    """Train what the engine was opened for; `study` are all the runs, for which threads are chosen."""
    job = executor.job
    packs = plan(
        job.runs,
        job.root,
        study=study,
        cores=executor.cores,
        device=job.device,
        share=executor.shares_cores,
        place=executor.place,
        measure=executor.measure,
        say=progress.say,
    )
    suspects = store.suspects()
    waiting, alone = deque[Pack](), deque[Pack]()
    for pack in packs:
        apart = [part for part in split_pack(pack) if part.runs[0].key in suspects]
        alone.extend(apart)
        if rest := [run for run in pack.runs if run.key not in suspects]:
            waiting.append(replace(pack, runs=rest, seconds=pack.seconds * len(rest) / len(pack.runs)))
    progress.start_clock(sum(pack.seconds for pack in (*waiting, *alone)))
    lost: Counter[str] = Counter()
    while waiting or alone or executor.busy:
        while waiting and executor.room(waiting[0]):
            _start(waiting.popleft(), executor, store, progress)
        if alone and not waiting and not executor.busy:  # the others have then ended, whatever it does
            _start(alone.popleft(), executor, store, progress)
        for ended in executor.wait():
            again = _record(ended, store, progress, lost)
            crashed = store.suspects() if again else set()
            for pack in again:
                (alone if pack.runs[0].key in crashed and len(pack.runs) == 1 else waiting).append(pack)


def _start(pack: Pack, executor: Executor, store: Store, progress: Progress) -> None:
    _record_start(store, progress, pack)
    executor.start(pack)


def _record(ended: Ended, store: Store, progress: Progress, lost: Counter[str]) -> list[Pack]:
    """Record how a pack ended, and return what of it has to be trained again.

    `lost` counts for each pack how often its machine went away; the third time it is not believed any more.
    """
    pack, first = ended.pack, ended.pack.runs[0]
    if ended.outcomes is not None:
        _record_end(store, progress, pack, ended.outcomes)
        return []
    progress.say(f"{first.model}, seed {first.seed}: {ended.why}")
    if not ended.blamed and lost[first.key] < CRASHES - 1:
        lost[first.key] += 1
        store.requeue(run.key for run in pack.runs)
        return [pack]
    if len(pack.runs) > 1:
        progress.divided(pack)
        store.requeue(run.key for run in pack.runs)
        return split_pack(pack)
    if store.crashed(first.key, ended.why, at=_now()) == "queued":
        return [pack]
    progress.finished(pack, [{"state": "failed", "error": ended.why}])
    return []


def _notes(runs: Sequence[Run], root: str | None) -> list[str]:
    """Return what a user would want to know before these runs start, each note once.

    What was done to the data on the way in comes first, after the name of the data.
    """
    opened = {run.dataset: open_data(run.dataset, run.fingerprint, root) for run in runs}
    notes = [f"{name}: {note}" for name, data in opened.items() for note in data.notes]
    beyond = [run for run in runs if run.batch_size > epoch_of(run) and not learns_at_once(run, root)]
    large = {run.batch_size: epoch_of(run) for run in beyond}
    for batch, epoch in large.items():
        what = "fewer than a batch; one then holds the same more than once"
        notes.append(f"batch_size is {batch:,}, and an epoch of such a run holds {epoch:,}: {what}")
    return notes


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


def _record_start(store: Store, progress: Progress, pack: Pack) -> None:
    made_by = versions() | {"threads": str(pack.threads)}
    store.start([run.key for run in pack.runs], host=platform.node(), versions=made_by, at=_now())
    progress.started(pack)


def _record_end(store: Store, progress: Progress, pack: Pack, outcomes: list[dict[str, Any]]) -> None:
    store.finish({run.key: outcome for run, outcome in zip(pack.runs, outcomes, strict=True)}, at=_now())
    progress.finished(pack, outcomes)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
