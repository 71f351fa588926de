"""Packs: what can train together, and how many at a time a measurement on this machine suggests."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.study import Run, timing
from dilution.study.grouping import by_shape, shape_of, split, steps_of
from dilution.study.planner import best_size, plan

BASE = {"dataset": "digits", "n": 200, "model": "mlp2", "targets": "pooled", "epochs": 400, "alpha": 1}


def small(**changes):
    return Run.of(**BASE | changes)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DILUTION_CACHE", str(tmp_path))
    return tmp_path


class Machine:
    """A machine whose times are made up; it counts what it was asked."""

    def __init__(self, seconds):
        self.seconds, self.asked = seconds, []

    def __call__(self, probe):
        self.asked.append((probe.processes, probe.threads, probe.replicas))
        return self.seconds(*self.asked[-1])


def planned(runs, machine, cores=2, study=None):
    said = []
    packs = plan(runs, None, study=study or runs, cores=cores, measure=machine, say=said.append)
    assert sorted(run.key for pack in packs for run in pack.runs) == sorted(run.key for run in runs)
    return packs, said


def test_runs_that_differ_in_noise_seed_and_rate_have_one_shape():
    runs = [small(), small(seed=1), small(alpha=20), small(lr=0.3), small(noise="structured", delta=0.5)]
    assert len(by_shape(runs)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"model": "mlp1"},
        {"batch_size": 64},
        {"epochs": 401},
        {"optimizer": "adam"},
        {"schedule": "cosine"},
        {"ema_decay": 0.9},
        {"n_evals": 3},
        {"n": 300},
        {"targets": "expected"},
    ],
)
def test_runs_that_differ_in_what_a_program_shares_do_not(change):
    assert shape_of(small(**change)) != shape_of(small())


def test_one_label_at_a_time_the_noise_level_sets_the_number_of_steps():
    one, two = small(targets="sampled"), small(targets="sampled", alpha=3)
    assert (steps_of(one), steps_of(two)) == (round(400 * 360 / 128), round(400 * 720 / 128))
    assert shape_of(one) != shape_of(two)
    rates = [small(targets="sampled", alpha=None, eta=0.3, seed=seed) for seed in range(2)]
    assert shape_of(rates[0]) != shape_of(rates[1])  # rounding may part them; only the open data tell
    assert len(by_shape([run.model_copy(update={"epochs": None, "steps": 9}) for run in rates])) == 1


@given(st.integers(1, 60), st.integers(1, 60))
def test_splitting_keeps_every_run_in_order_and_sizes_even(count, packs):
    runs = [small().model_copy(update={"seed": seed}) for seed in range(count)]
    parts = split(runs, packs)
    assert [run for part in parts for run in part] == runs
    sizes = [len(part) for part in parts]
    assert len(parts) == min(count, packs)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("times", "size"),
    [
        ({1: 1.0}, 1),
        ({1: 1.0, 2: 1.2}, 1),
        ({1: 1.0, 2: 0.6, 4: 0.5, 8: 0.49}, 4),  # the last gain is within the noise
        ({1: 1.0, 2: 0.5, 4: 0.3, 8: 0.2}, 8),
        ({1: 1.0, 2: 0.99}, 1),
    ],
)
def test_the_smallest_pack_that_is_nearly_fastest_is_chosen(times, size):
    assert best_size(times) == size


def test_a_pack_grows_while_that_pays_and_every_process_gets_its_share(cache):
    machine = Machine(lambda _, __, size: 0.01 * (1 + 0.2 * min(size, 4) + max(0, size - 4)))
    packs, said = planned([small(seed=seed) for seed in range(12)], machine)
    assert [(len(pack.runs), pack.threads) for pack in packs] == [(3, 1)] * 4
    assert machine.asked == [(2, 1, 1), (2, 1, 2), (2, 1, 4), (1, 2, 4)]
    assert said == [
        "mlp2, batch 128, 12 runs of 562 steps: 4 at a time, stacked, in 2 processes; a step of one run "
        "takes 2 processes: 1 together 6 ms, 2 together 3.5 ms, 4 together 2.25 ms; 1 process of 2 threads: "
        "4.5 ms (measured now)"
    ]


def test_packs_that_do_not_pay_are_not_made_and_larger_ones_not_tried(cache):
    machine = Machine(lambda _, __, size: 0.01 * size**1.2)
    packs, _ = planned([small(seed=seed) for seed in range(40)], machine)
    assert [len(pack.runs) for pack in packs] == [1] * 40
    assert machine.asked == [(2, 1, 1), (2, 1, 2), (1, 2, 1)]


def test_short_work_is_not_measured_further(cache):
    machine = Machine(lambda *_: 1e-4)
    packs, said = planned([small(seed=seed, epochs=3) for seed in range(40)], machine)
    assert machine.asked == [(2, 1, 1)]
    assert {len(pack.runs) for pack in packs} <= {6, 7}
    assert "too short to measure more" in said[0]


@pytest.mark.parametrize(("gain", "chosen"), [(1.6, 2), (1.05, 1), (0.9, 1)])
def test_with_fewer_runs_than_cores_threads_are_used_if_they_pay(cache, gain, chosen):
    machine = Machine(lambda _, threads, __: 0.01 / (gain if threads == 2 else 1))
    (pack,), said = planned([small()], machine)
    assert pack.threads == chosen
    assert "1 process of 2 threads" in said[0]


@pytest.mark.parametrize(
    ("slowed", "expected"),
    [
        ({}, (8, 1)),
        ({8: 1.1}, (8, 1)),  # several threads must save a tenth
        ({8: 3.0}, (4, 2)),
        ({8: 9.0, 4: 3.0}, (2, 4)),
        ({8: 99.0, 4: 30.0, 2: 9.0}, (1, 8)),
    ],
)
def test_fewer_processes_with_more_threads_are_chosen_where_many_slow_each_other_down(
    cache, slowed, expected
):
    machine = Machine(lambda processes, threads, _: 0.02 * slowed.get(processes, 1) / threads**0.9)
    packs, said = planned([small(seed=seed) for seed in range(16)], machine, cores=8)
    processes, threads = expected
    assert {pack.threads for pack in packs} == {threads}
    assert f"in {processes} process" in said[0]


def test_where_all_cores_at_once_lack_memory_fewer_processes_train(cache):
    machine = Machine(lambda processes, *_: 0.02 if processes <= 2 else math.inf)
    packs, said = planned([small(seed=seed) for seed in range(8)], machine, cores=8)
    assert {pack.threads for pack in packs} == {4}
    assert "in 2 processes of 4 threads" in said[0]


def test_what_is_left_of_a_study_trains_with_as_many_threads_as_it_would_have_without_an_interruption(cache):
    machine = Machine(lambda _, threads, __: 0.01 / (1.6 if threads == 2 else 1))
    runs = [small(seed=seed) for seed in range(6)]
    (pack,), _ = planned(runs[-1:], machine, study=runs)
    assert pack.threads == 1
    (pack,), _ = planned(runs[-1:], machine)
    assert pack.threads == 2


def test_packs_of_several_threads_come_first(cache):
    def seconds(processes, threads, size):
        return 0.01 if threads == 2 or machine.asked.count((2, 1, 1)) == 2 else 0.05

    machine = Machine(seconds)
    packs, _ = planned(
        [small(seed=seed, batch_size=batch) for batch in (16, 32) for seed in range(2)], machine
    )
    assert [pack.threads for pack in packs] == [2, 2, 1, 1]


def test_what_was_measured_is_remembered_for_this_machine(cache, monkeypatch):
    machine = Machine(lambda _, __, size: 0.01 * size)
    first, said = planned([small(seed=seed) for seed in range(4)], machine)
    asked = list(machine.asked)
    again, said_again = planned([small(seed=seed) for seed in range(4)], machine)
    assert machine.asked == asked
    assert again == first
    assert said_again == [line.replace("measured now", "measured in an earlier study") for line in said]
    monkeypatch.setattr(timing, "code_version", lambda: "another")
    planned([small()], machine)
    assert len(machine.asked) > len(asked)
    assert len(json.loads((cache / "steps.json").read_text("utf-8"))) == len(machine.asked)


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', "not json"])
def test_a_damaged_memory_is_measured_anew(cache, content):
    (cache / "steps.json").write_text(content)
    machine = Machine(lambda *_: 0.01)
    planned([small(epochs=1)], machine)
    assert machine.asked == [(1, 1, 1)]


def test_long_packs_come_first(cache):
    machine = Machine(lambda *_: 0.01)
    packs, _ = planned([small(epochs=1), small(epochs=900), small(epochs=30)], machine)
    assert [pack.runs[0].epochs for pack in packs] == [900, 30, 1]


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_a_step_that_does_not_fit_in_memory_leaves_its_runs_alone_and_is_not_remembered(cache, cores):
    runs = [small(seed=seed) for seed in range(3)]
    packs, said = planned(runs, Machine(lambda *_: float("inf")), cores=cores)
    assert [(len(pack.runs), pack.threads) for pack in packs] == [(1, cores)] * 3
    assert all(math.isfinite(pack.seconds) for pack in packs)
    assert "for lack of memory" in said[0]
    assert json.loads((cache / "steps.json").read_text("utf-8")) == {}
