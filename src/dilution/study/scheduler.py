"""The scheduler of a study: groups its runs, hands the groups to an executor, writes to the store.

The process that trains a group may die. A group of several runs is then divided, because one of them
may be the cause, or all together may be too large. A run that trained alone is tried again and has
failed after three deaths. Runs of a machine that went away are not the cause; they are trained again.
"""

import platform
import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dilution.errors import DataError, DilutionError, TimeLimitReached
from dilution.study.checkpoints import CheckpointFolder
from dilution.study.data_notes import data_notes, keep_data_notes
from dilution.study.datasets import (
    Confusabilities,
    confusability_name,
    measure_confusability,
    needs_confusability,
    takes_steps,
)
from dilution.study.deadline import Deadline
from dilution.study.execution import Execution
from dilution.study.executors import Executor, FinishedGroup, Workload, open_executor
from dilution.study.executors.processes import workers_note
from dilution.study.gradient_notes import gradient_notes
from dilution.study.grid import Study
from dilution.study.grouping import RunGroup, epoch_length, expected_steps, group_runs
from dilution.study.prepare import changed_files
from dilution.study.progress import Progress
from dilution.study.run_spec import Run
from dilution.study.runner import using_threads
from dilution.study.store import MAX_CRASHES, Store
from dilution.study.weight_files import lacking_weights, weight_saver
from dilution.training.early_stopping import NONE, resolve_early_stopping
from dilution.utils.duration import duration_text
from dilution.utils.version import versions


def run_study(
    study: Study,
    store: Store,
    execution: Execution | None = None,
    *,
    progress: Progress | None = None,
    deadline: Deadline | None = None,
) -> None:
    """Train the runs of a study that the store does not have yet.

    Finished and diverged runs are not repeated, and failed ones only with ``retry_failed``. An
    interruption loses the runs that are training and nothing else: they are queued again.

    Parameters
    ----------
    study
        The study.
    store
        Store of the results; this process becomes its one writer.
    execution
        Where and how the runs are trained. Default: in processes of this machine.
    progress
        Progress display shared by several studies. Default: one of this study, as `execution` says.
    deadline
        Deadline shared by several studies. Default: the time limit of `execution`, from now.

    Raises
    ------
    InputError
        If there is no such cluster, or nothing to train on in it.
    TimeLimitReached
        If runs remain at the deadline. The same call resumes them from their checkpoints.
    StoreError
        If another process writes to the store, or it cannot be written.
    DataError
        If a module, a file of labels or a matrix that the runs name has changed since they were prepared.
    """
    execution = execution or Execution()
    progress = progress or Progress(quiet=not execution.progress)
    deadline = deadline or Deadline.of(execution)
    with store.writer():
        store.add(study.name, study.runs)
        if execution.retry_failed:
            store.requeue_failed(run.key for run in study.runs)
        states = store.states(run.key for run in study.runs)
        queued = [run for run in study.runs if states[run.key] == "queued"]
        finished = [run for run in study.runs if states[run.key] != "queued"]
        with progress.for_study(study.name, total=len(study.runs), finished=len(finished), runs=study.runs):
            for note in store.other_code_notes(run.key for run in finished):
                progress.log_once(note)
            if failed := sum(state == "failed" for state in states.values()):
                progress.log_once(f"{failed} of them failed; --retry-failed runs them again")
            keep_data_notes(store, study.runs, execution.root)
            progress.notes(data_notes(store, (run.model_dump() for run in study.runs)))
            if not queued:
                progress.notes(lacking_weights(store.rows(study.name), store.path, execution.save_weights))
                return
            if deadline.stops:  # an earlier study of the call took the time
                raise TimeLimitReached(_describe_rest(study, len(queued), deadline))
            if not finished:
                progress.notes(_batch_notes(queued, execution.root))
                progress.notes(_patience_notes(queued, execution.root))
            if execution.executor == "processes" and (note := workers_note(execution)):
                progress.log_once(note)
            checkpoints = CheckpointFolder(
                _checkpoint_path(store, execution), 60 * execution.checkpoint_minutes, deadline.stop_at
            )
            confusabilities = _confusabilities(queued, store, execution, progress)
            weights = weight_saver(store.path, execution.save_weights)
            with open_executor(
                Workload(queued, execution, confusabilities, checkpoints, weights)
            ) as executor:
                saved = _train(study.runs, executor, store, progress, deadline)
            states = store.states(run.key for run in queued)
            store.requeue(key for key, state in states.items() if state == "running")
            # a run that failed because its process died goes on from its checkpoint if it is retried
            checkpoints.clear(key for key, state in states.items() if state in ("done", "diverged"))
            if any(run.compare_gradients for run in study.runs):
                progress.notes(gradient_notes(store.rows(study.name)))
            progress.notes(lacking_weights(store.rows(study.name), store.path, execution.save_weights))
            if remaining := sum(state in ("queued", "running") for state in states.values()):
                rest = _describe_rest(study, remaining, deadline, saved)
                if remaining == len(queued) and not saved:
                    rest += " Nothing was gained in this time: give a longer time limit."
                raise TimeLimitReached(rest)


def _describe_rest(study: Study, remaining: int, deadline: Deadline, saved: int = 0) -> str:
    """Return how many runs of a study remain at its deadline, `saved` of them with a checkpoint, as text."""
    total = len(study.runs)
    return (
        f"the time limit of {duration_text(deadline.seconds)} is reached: {total - remaining} of {total} "
        f"{_plural('run', total)} of {study.name} have ended, and {remaining} remain"
        + (f", {saved} of them with a checkpoint." if saved else ".")
    )


def _checkpoint_path(store: Store, execution: Execution) -> Path:
    default = store.path.with_name(f"{store.path.name}.checkpoints")
    return Path(execution.checkpoints or default).resolve()


def _train(
    study: Sequence[Run], executor: Executor, store: Store, progress: Progress, deadline: Deadline
) -> int:
    """Train the workload of an executor until the deadline; return how many runs stopped at a checkpoint.

    `study` are all runs, which determine the number of threads.
    """
    load = executor.workload
    device = load.execution.device_type
    resumed = load.checkpoints.groups(device) if load.checkpoints else []
    deadline.times.resumes([key for keys in resumed for key in keys])
    groups = group_runs(
        load.runs,
        load.execution.root,
        study=study,
        cores=executor.cores,
        device=device,
        shares_cores=executor.shares_cores,
        started=resumed,
    )
    progress.log(_describe(groups))
    waiting, alone = _separate_crashed(groups, store)
    progress.start_clock(sum(group.cost for group in (*waiting, *alone)))
    lost_machines: Counter[str] = Counter()
    saved, changed = 0, ""
    while executor.is_busy or ((waiting or alone) and not deadline.stops and not changed):
        while waiting and not deadline.stops and not changed:
            place = deadline.times.next_of(waiting, deadline.stop_at - time.time())
            if not executor.has_room(waiting[place]):
                break
            if changed := _changed_files(waiting[place]):  # what trains now has the earlier ones, and ends
                break
            group = waiting[place]
            del waiting[place]
            _start(group, executor, store, progress, deadline)
        # if it crashes the machine, the others are done
        if alone and not waiting and not deadline.stops and not executor.is_busy:
            if changed := _changed_files(alone[0]):
                break
            _start(alone.popleft(), executor, store, progress, deadline)
        if not executor.is_busy:
            continue
        ended = executor.wait(deadline.seconds_left)
        if not ended and deadline.is_over:  # no time for a checkpoint
            break
        for finished in ended:
            saved += sum(outcome.get("step", 0) > 0 for outcome in finished.outcomes or [])
            if finished.outcomes is not None:
                deadline.times.ended(finished.group, finished.outcomes)
            unfinished = _record(finished, store, progress, lost_machines)
            crashed = store.runs_that_crashed() if unfinished else set()
            if load.checkpoints is not None:  # the outcomes are in the store now
                load.checkpoints.clear(_ended(finished))
            for group in unfinished:
                is_alone = len(group.runs) == 1 and group.runs[0].key in crashed
                (alone if is_alone else waiting).append(group)
    if changed:
        raise DataError(
            f"a file was changed while the study ran: that of {changed}. Finished runs are kept. "
            "Put the earlier file back to go on, or repeat the command to train all runs with the new one."
        )
    return saved


def _changed_files(group: RunGroup) -> str:
    """Return which files of a group have changed since its runs were prepared, as text; empty if none has."""
    try:
        return ", ".join(changed_files(group.runs))
    except DilutionError as error:  # a module that is half saved cannot be imported
        return f"{group.runs[0].model}, seed {group.runs[0].seed} ({error})"


def _ended(finished: FinishedGroup) -> list[str]:
    """Return the keys of the runs of a group that were trained to the end."""
    return [
        run.key
        for run, outcome in zip(finished.group.runs, finished.outcomes or [], strict=False)
        if outcome["state"] in ("done", "diverged")
    ]


def _separate_crashed(groups: Sequence[RunGroup], store: Store) -> tuple[deque[RunGroup], deque[RunGroup]]:
    """Return the groups without runs that may crash their process, and one group per such run."""
    crashed = store.runs_that_crashed()
    waiting, alone = deque[RunGroup](), deque[RunGroup]()
    for group in groups:
        alone.extend(single for single in group.single_runs() if single.runs[0].key in crashed)
        if others := [run for run in group.runs if run.key not in crashed]:
            waiting.append(group.subset(others))
    return waiting, alone


def _describe(groups: Sequence[RunGroup]) -> str:
    """Return how many runs there are, how many train together, and in how many threads, as text."""
    runs = sum(len(group.runs) for group in groups)
    largest = max(len(group.runs) for group in groups)
    together = f", up to {largest} trained together" if largest > 1 else ""
    threads = sorted({group.threads for group in groups})
    count = " or ".join(map(str, threads))
    return f"{runs} {_plural('run', runs)}{together}, {count} {_plural('thread', threads[-1])} per process"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _start(group: RunGroup, executor: Executor, store: Store, progress: Progress, deadline: Deadline) -> None:
    trained_by = versions() | {"threads": str(group.threads)}
    store.start([run.key for run in group.runs], host=platform.node(), versions=trained_by, at=_now())
    progress.started(group)
    deadline.times.started(group)
    executor.start(group)


def _record(
    finished: FinishedGroup, store: Store, progress: Progress, lost_machines: Counter[str]
) -> list[RunGroup]:
    """Record how a group ended, and return the groups that have to be trained again.

    `lost_machines` counts per group how often its machine went away; at the third time its runs are
    taken to be the cause.
    """
    group, first = finished.group, finished.group.runs[0]
    if finished.outcomes is not None:
        outcomes = dict(zip([run.key for run in group.runs], finished.outcomes, strict=True))
        stopped = [key for key, outcome in outcomes.items() if outcome["state"] == "stopped"]
        store.requeue(stopped)
        store.finish({key: outcomes[key] for key in outcomes.keys() - set(stopped)}, at=_now())
        if stopped:
            progress.dropped(group)
        else:
            progress.finished(group, finished.outcomes)
        return []
    progress.log(f"{first.model}, seed {first.seed}: {finished.reason}")
    if not finished.runs_may_be_cause and lost_machines[first.key] < MAX_CRASHES - 1:
        lost_machines[first.key] += 1
        store.requeue(run.key for run in group.runs)
        return [group]
    if len(group.runs) > 1:
        progress.dropped(group)
        store.requeue(run.key for run in group.runs)
        return group.single_runs()
    if store.record_crash(first.key, finished.reason, at=_now()) == "queued":
        return [group]
    failed: dict[str, Any] = {"state": "failed", "error": finished.reason}
    progress.finished(group, [failed])
    return []


def _batch_notes(runs: Sequence[Run], root: str | None) -> list[str]:
    """Return one note per batch size that is larger than an epoch."""
    epochs = {
        run.batch_size: epoch_length(run)
        for run in runs
        if run.batch_size > epoch_length(run) and takes_steps(run, root)
    }
    return [
        f"batch_size is {batch_size:,} and an epoch has {length:,} examples: a batch contains the same "
        "example more than once"
        for batch_size, length in epochs.items()
    ]


def _patience_notes(runs: Sequence[Run], root: str | None) -> list[str]:
    """Return one note per rule of early stopping that stops no training."""
    notes = (
        resolve_early_stopping(run.early_stopping).never_stops(expected_steps(run), run.n_evals)
        for run in runs
        if run.early_stopping != NONE and takes_steps(run, root)
    )
    return [note for note in dict.fromkeys(notes) if note]


def _confusabilities(
    runs: Sequence[Run], store: Store, execution: Execution, progress: Progress
) -> Confusabilities:
    """Return the confusabilities that runs need, measured once per data set and kept in the store."""
    needed = {confusability_name(run): run for run in runs if needs_confusability(run)}
    # a driver of a cluster may have no GPU
    device = "cpu" if execution.executor == "ray" else execution.device_type
    confusabilities = {}
    for name, run in needed.items():
        confusabilities[name] = store.artifact(name)
        if confusabilities[name] is None:
            progress.log(f"measuring which classes of {run.dataset} are confusable")
            with using_threads(1):
                confusabilities[name] = measure_confusability(run, execution.root, device)
            store.keep_artifact(name, confusabilities[name])
    return confusabilities


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
