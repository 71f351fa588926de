"""A time limit stops a study cleanly, and the next call resumes it to bit-identical results."""

import io
import time

import pandas as pd
import pytest
import torch
from commands import dilution

from dilution.errors import InputError, TimeLimitReached
from dilution.study import Run, Study, run
from dilution.study.checkpoints import CheckpointFolder
from dilution.study.deadline import Deadline
from dilution.study.execution import Execution
from dilution.study.executors import InlineExecutor
from dilution.study.grouping import group_runs
from dilution.study.results import histories, table
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training import Checkpoint

BASE = {"dataset": "digits", "n": 300, "alpha": 2, "lr": 0.02, "batch_size": 32, "n_evals": 4}
WHEN = ["seconds", "started", "finished"]


def study_of(models=("mlp1", "conv2"), seeds=3, **settings):
    runs = [Run.of(**BASE | settings, model=model, seed=seed) for model in models for seed in range(seeds)]
    return Study.of("s", runs)


class Stepwise(Checkpoint):
    """A checkpoint whose time is up after a number of steps in all trainings of the process."""

    steps_left = 0

    @property
    def must_stop(self):
        Stepwise.steps_left -= 1
        return Stepwise.steps_left < 0


@pytest.fixture
def limited_by_steps(monkeypatch):
    """Return a function that runs a study in windows of so many steps, and the number of windows."""

    def train(study, store, steps):
        for window in range(1, 200):
            Stepwise.steps_left = steps
            with monkeypatch.context() as patch:
                patch.setattr(Checkpoint, "must_stop", Stepwise.must_stop)
                # groups start as long as there are steps left
                patch.setattr(Deadline, "stops", property(lambda _: Stepwise.steps_left < 0))
                try:
                    run_study(study, store, Execution(workers=0, progress=False))
                except TimeLimitReached:
                    assert {row["state"] for row in store.rows()} <= {"queued", "done"}
                else:
                    return window
        raise AssertionError("the study does not end")

    return train


def results(store):
    return table(store).drop(columns=WHEN), histories(store)


def assert_same_results(store, other):
    for frame, expected in zip(results(store), results(other), strict=True):
        pd.testing.assert_frame_equal(frame, expected, check_exact=True)


@pytest.mark.trains
@pytest.mark.parametrize("steps", [7, 23])
def test_limited_windows_give_the_bits_of_one_unlimited_call(tmp_path, limited_by_steps, steps):
    study = study_of(seeds=2, steps=30, ema_decay=0.9, optimizer="adam")
    with Store(tmp_path / "a.sqlite") as limited, Store(tmp_path / "b.sqlite") as whole:
        windows = limited_by_steps(study, limited, steps)
        assert windows > 2
        run_study(study, whole, Execution(workers=0, progress=False))
        assert_same_results(limited, whole)
    assert [path.name for path in tmp_path.glob("*checkpoints*")] == []


@pytest.mark.trains
def test_a_stopped_group_resumes_as_the_same_group_when_others_have_ended(tmp_path, limited_by_steps):
    study = study_of(models=("mlp1",), seeds=11, steps=20)  # groups of 6 and 5
    with Store(tmp_path / "a.sqlite") as store:
        limited_by_steps(study, store, 25)  # the first group ends, the second one stops
        assert set(table(store)["group_size"]) == {5, 6}


SLOW = """
import os
import time
import torch


class Slow(torch.nn.Linear):
    def forward(self, images):
        time.sleep(float(os.environ.get("PAUSE", 0)))
        return super().forward(images)


def net(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), Slow(64, classes))
"""


@pytest.mark.trains
@pytest.mark.parametrize(("workers", "seconds", "steps"), [(0, 0.5, 30), (1, 4, 120)])
def test_a_limit_by_the_clock_stops_in_time_and_the_next_call_resumes(
    tmp_path, monkeypatch, module, workers, seconds, steps
):
    name = module(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    study, unlimited = (
        study_of(models=(f"{name}:net",), seeds=2, steps=steps),
        Execution(workers=0, progress=False),
    )
    monkeypatch.setenv("PAUSE", "0.05")
    start = time.monotonic()
    with pytest.raises(TimeLimitReached, match="0 of 2 runs of s have ended"):
        run(study, store="a.sqlite", execution=Execution(workers=workers, time_limit=seconds, progress=False))
    slack = 15 if workers else 1  # the start of worker processes is not cut short
    assert time.monotonic() - start < seconds + slack
    monkeypatch.delenv("PAUSE")
    for store in ("a.sqlite", "b.sqlite"):
        run(study, store=store, execution=unlimited)
    with Store("a.sqlite") as limited, Store("b.sqlite") as whole:
        pd.testing.assert_frame_equal(histories(limited), histories(whole), check_exact=True)


def test_what_does_not_stop_by_itself_is_ended_at_the_limit(tmp_path, monkeypatch):
    class Stuck(InlineExecutor):
        def wait(self, timeout=None):
            assert 0 <= timeout < 0.5
            time.sleep(timeout)
            return []

    monkeypatch.setattr("dilution.study.executors.InlineExecutor", Stuck)
    with Store(tmp_path / "a.sqlite") as store:
        with pytest.raises(TimeLimitReached, match=r"0 of 2 runs of s have ended, and 2 remain\. Nothing"):
            run_study(study_of(("mlp1",), 2), store, Execution(workers=0, time_limit="0.4s", progress=False))
        assert [row["state"] for row in store.rows()] == ["queued"] * 2


def test_a_study_after_the_deadline_starts_nothing(tmp_path):
    study, execution = study_of(("mlp1",), 1), Execution(workers=0, progress=False)
    with (
        Store(tmp_path / "a.sqlite") as store,
        pytest.raises(TimeLimitReached, match="time limit of 12 min is reached: 0 of 1 run of s"),
    ):
        run_study(study, store, execution, deadline=Deadline(720, 0, 0))


def test_a_finished_study_needs_no_time(tmp_path):
    study = study_of(("perceptron",), 1, steps=2)
    with Store(tmp_path / "a.sqlite") as store:
        run_study(study, store, Execution(workers=0, progress=False))
        run_study(study, store, Execution(workers=0, progress=False), deadline=Deadline(1, 0, 0))


def test_groups_with_a_checkpoint_stay_unless_a_run_of_them_has_ended():
    runs = list(study_of(("mlp1",), 9).runs)
    keys = [run.key for run in runs]
    started = [keys[1:4], keys[3:6], [keys[7], "a finished run"]]
    groups = [
        [run.key for run in group.runs]
        for group in group_runs(runs, None, study=runs, cores=1, started=started)
    ]
    assert keys[1:4] in groups
    assert keys[3:6] not in groups  # a run trains once
    assert sorted(key for group in groups for key in group) == sorted(keys)


def test_checkpoints_of_another_kind_of_device_are_not_resumed(tmp_path):
    runs = study_of(("mlp1",), 2).runs
    folder = CheckpointFolder(tmp_path, 0.0)
    folder.checkpoint(runs, "cuda").save({"step": 1})
    assert folder.groups("cuda") == [[run.key for run in runs]]
    assert folder.groups("cpu") == []
    assert folder.checkpoint(runs, "cpu").load() is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("12m", 720), ("1h", 3600), ("1h30m", 5400), (5, 5), ("0.5min", 30)]
)
def test_a_time_limit_is_a_number_of_seconds_or_has_a_unit(text, seconds):
    assert Execution(time_limit=text).time_limit_seconds == seconds


@pytest.mark.parametrize(
    "text", ["12", "m", "0s", "-3m", 0, -1, True, "12 minutes later", float("nan"), "", "1e3s"]
)
def test_other_time_limits_are_refused(text):
    with pytest.raises(InputError, match=r"time_limit is .*duration above 0 with its unit, such as 30s, 12m"):
        Execution(time_limit=text)


def test_a_limit_leaves_time_to_save_checkpoints():
    for limit, margin in ((10, 0.5), ("12m", 15)):
        deadline = Deadline.of(Execution(time_limit=limit))
        assert deadline.end_at - deadline.stop_at == pytest.approx(margin)
    assert Deadline.of(Execution()).seconds_left is None


@pytest.mark.trains
def test_the_command_line_exits_with_75_and_names_the_command_that_resumes(tmp_path):
    study = tmp_path / "s.toml"
    study.write_text(
        '[base]\ndataset = "digits"\nmodel = "perceptron"\nn = 400\nalpha = 1\nsteps = 90000\n'
        "[grid]\nseed = [0]\n"
    )
    words = ["run", str(study), "--store", str(tmp_path / "s.sqlite"), "--workers", "0", "--time-limit", "1s"]
    result = dilution(*words)
    assert result.exit_code == 75
    assert "1 s is reached: 0 of 1 run of s have ended, and 1 remain" in result.stderr
    assert result.stderr.rstrip().endswith(f"Resume: dilution {' '.join(words)}")


@pytest.mark.trains
def test_windows_that_end_within_the_comparison_of_gradients_add_up(tmp_path, monkeypatch, limited_by_steps):
    monkeypatch.setattr("dilution.training.gradients._BATCH_SIZE", 20)  # 14 batches for each of 2 runs
    study = study_of(("mlp1",), seeds=2, steps=10, compare_gradients=True)
    with Store(tmp_path / "a.sqlite") as limited, Store(tmp_path / "b.sqlite") as whole:
        assert limited_by_steps(study, limited, 6) >= 6  # 10 steps and 28 batches
        run_study(study, whole, Execution(workers=0, progress=False))
        assert_same_results(limited, whole)
        assert table(limited)["gradient_ratio"].notna().all()
    assert list(tmp_path.glob("*checkpoints*")) == []


@pytest.mark.trains
def test_a_checkpoint_stays_until_the_outcomes_are_in_the_store(tmp_path, monkeypatch):
    study, execution = (
        study_of(("mlp1",), 2, steps=20),
        Execution(workers=0, progress=False, checkpoint_minutes=0),
    )

    def die(*_):
        raise KeyboardInterrupt  # the training has ended, and the process before its outcomes are stored

    with Store(tmp_path / "a.sqlite") as store:
        with monkeypatch.context() as patch:
            patch.setattr("dilution.study.runner._outcome", die)
            with pytest.raises(KeyboardInterrupt):
                run_study(study, store, execution)
        (checkpoint,) = (tmp_path / "a.sqlite.checkpoints").glob("*.pt")
        assert torch.load(io.BytesIO(checkpoint.read_bytes()[32:]), weights_only=True)["state"]["step"] == 15
        run_study(study, store, execution)
    assert list(tmp_path.glob("*checkpoints*")) == []


@pytest.mark.trains
def test_the_checkpoint_of_a_group_goes_when_its_outcomes_are_stored_and_not_at_the_end(
    tmp_path, monkeypatch
):
    study, left = study_of(("mlp1", "conv2"), 1, steps=8), []
    real = Store.start

    def start(self, *arguments, **settings):
        left.append(len(list((tmp_path / "a.sqlite.checkpoints").glob("*.pt"))))
        real(self, *arguments, **settings)

    monkeypatch.setattr(Store, "start", start)
    with Store(tmp_path / "a.sqlite") as store:
        run_study(study, store, Execution(workers=0, progress=False, checkpoint_minutes=0))
    assert left == [0, 0]


@pytest.mark.trains
def test_the_limit_holds_where_no_checkpoint_can_be_saved(tmp_path, caplog):
    (tmp_path / "file").touch()
    execution = Execution(
        workers=0, progress=False, time_limit=1, checkpoints=tmp_path / "file" / "c", checkpoint_minutes=0
    )
    study = study_of(("mlp1",), 1, steps=1_000_000, n_evals=10_000)  # some minutes
    with Store(tmp_path / "a.sqlite") as store, pytest.raises(TimeLimitReached, match="Nothing was gained"):
        run_study(study, store, execution)
    assert caplog.messages[0].endswith("The training continues without checkpoints.")
    assert caplog.messages[1].endswith("The training starts again next time.")
