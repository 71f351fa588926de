"""The last minutes before a deadline go to a run group that they suffice for."""

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.study import Run, Study, scheduler
from dilution.study.deadline import Deadline
from dilution.study.execution import Execution
from dilution.study.group_times import GroupTimes
from dilution.study.grouping import RunGroup, group_runs
from dilution.study.scheduler import run_study
from dilution.study.store import Store

BASE = {"dataset": "digits", "n": 200, "alpha": 1, "lr": 0.02, "batch_size": 32, "n_evals": 1}


DONE = {"state": "done", "result": {"stopped_at": None}}


def group(cost, model="mlp1", seed=0):
    return RunGroup([Run.of(**BASE, model=model, seed=seed, steps=1)], cost=cost)


def timed(monkeypatch, *, seconds, cost, model="mlp1"):
    """Return times after one group of a cost that took so many seconds."""
    clock = iter([0.0, seconds])
    times = GroupTimes()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: next(clock))
        times.started(group(cost, model))
        times.ended(group(cost, model), [DONE])
    return times


def test_a_group_is_predicted_by_the_last_one_of_its_model(monkeypatch):
    times = timed(monkeypatch, seconds=30.0, cost=10.0)
    assert times.seconds(group(20.0)) == pytest.approx(60.0)
    assert times.seconds(group(20.0, "conv2")) == 0.0  # of a model that is not known: it is tried


@pytest.mark.parametrize(
    "outcome",
    [
        {"state": "diverged", "result": {}},
        {"state": "failed", "error": "no"},
        {"state": "stopped", "step": 3},
        {"state": "done", "result": {"stopped_at": 7}},
    ],
    ids=str,
)
def test_a_group_that_did_not_take_all_of_its_steps_teaches_nothing(outcome):
    times = GroupTimes()
    times.started(group(10.0))
    times.ended(group(10.0), [outcome])
    assert times.seconds(group(10.0)) == 0.0


def test_a_resumed_group_teaches_nothing_and_is_not_put_off(monkeypatch):
    times = timed(monkeypatch, seconds=1e6, cost=1.0)
    resumed = group(1.0, seed=5)
    times.resumes([resumed.runs[0].key])
    assert times.next_of([group(1.0), resumed], 60.0) == 1
    times.started(resumed)
    times.ended(resumed, [DONE])
    assert times.seconds(group(1.0)) == pytest.approx(1e6)


def test_groups_of_other_sizes_are_not_predicted(monkeypatch):
    times = timed(monkeypatch, seconds=30.0, cost=10.0)
    runs = [group(1.0, seed=seed).runs[0] for seed in range(8)]
    assert times.seconds(RunGroup(runs, cost=10.0)) == 0.0


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=8), st.floats(-1.0, 1e6))
def test_the_first_group_that_fits_is_next_and_the_first_of_all_if_none_does(costs, seconds_left):
    with pytest.MonkeyPatch.context() as patch:
        times = timed(patch, seconds=2.0, cost=1.0)
    waiting = [group(cost) for cost in costs]
    place = times.next_of(waiting, seconds_left)
    fitting = [number for number, cost in enumerate(costs) if 2 * cost <= seconds_left]
    assert place == (fitting[0] if fitting else 0)
    assert times.next_of(waiting, math.inf) == 0


@pytest.mark.trains
@pytest.mark.parametrize(("seconds_left", "order"), [(1e6, [40, 20, 2]), (1e3, [40, 2, 20])])
def test_a_study_starts_what_fits_before_its_deadline(tmp_path, monkeypatch, seconds_left, order):
    """The first group teaches the pace; the second would take 10,000 seconds."""
    started, start = [], scheduler._start

    def note(run_group, *others):
        started.append(run_group.runs[0].steps)
        start(run_group, *others)

    monkeypatch.setattr(scheduler, "_start", note)
    monkeypatch.setattr(
        GroupTimes, "seconds", lambda _, each: 1e4 if started and each.runs[0].steps == 20 else 1.0
    )
    deadline = replace(Deadline.of(Execution()), stop_at=time.time() + seconds_left)
    study = Study.of("s", [Run.of(**BASE, model="mlp1", steps=steps) for steps in (2, 20, 40)])
    with Store(tmp_path / "s.sqlite") as store:
        run_study(study, store, Execution(workers=0, progress=False), deadline=deadline)
        assert {row["state"] for row in store.rows()} == {"done"}
    assert started == order


@pytest.mark.trains
def test_a_study_measures_its_groups(tmp_path):
    deadline = Deadline.of(Execution())
    study = Study.of("s", [Run.of(**BASE, model="mlp1", steps=20)])
    with Store(tmp_path / "s.sqlite") as store:
        start = time.monotonic()
        run_study(study, store, Execution(workers=0, progress=False), deadline=deadline)
        whole = time.monotonic() - start
    (trained,) = group_runs(study.runs, None, study=study.runs, cores=1)
    assert 0.0 < deadline.times.seconds(trained) <= whole
