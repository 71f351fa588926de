"""The contract of executors: every executor keeps the same promises."""

import os
import platform
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from dilution.data import load, write_pack
from dilution.errors import InputError, WorkerError
from dilution.study import Execution, Run, Study
from dilution.study.datasets import confusability_name
from dilution.study.executors import FinishedGroup, Workload, open_executor, processes
from dilution.study.executors.processes import ProcessExecutor, workers_note
from dilution.study.grouping import RunGroup
from dilution.study.prepare import prepare
from dilution.study.results import histories, table
from dilution.study.saved_weights import load_weights
from dilution.study.scheduler import run_study
from dilution.study.store import Store

pytestmark = pytest.mark.trains
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")

BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 6, "n_evals": 2, "batch_size": 16}
TIMES = ["seconds", "started", "finished"]


def small(**changes):
    return Run.of(**BASE | {"alpha": 1} | changes)


GOOD = [
    small(),
    small(targets="pooled", model="perceptron", seed=1),
    small(model="conv2", ema_decay=0.5, optimizer="adam", lr=0.01, alpha=0.7),
    small(targets="expected", noise="structured", delta=0.8, noise_order="confusing", alpha=None, eta=0.3),
]
FAILING = small(alpha=None, eta=0.95)  # refused when the data are diluted: no alpha reaches it
DIVERGING = small(model="mlp2", optimizer="sgd", lr=1e20)
CONFUSABLE = ((torch.eye(10) + 0.1) / 2).tolist()

EXECUTIONS = {
    "inline": Execution(executor="inline", progress=False, save_weights="best"),
    "processes": Execution(executor="processes", workers=2, progress=False, save_weights="best"),
}
if find_spec("ray") is not None:
    EXECUTIONS["ray"] = Execution(executor="ray", workers=2, progress=False, save_weights="best")
DROPOUT = """
import torch
from torch import nn


class Drops(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.norm = nn.BatchNorm1d(64)
        self.last = nn.LazyLinear(classes)

    def forward(self, x):
        x = self.norm(x.flatten(1))
        return self.last(nn.functional.dropout(x, 0.5, self.training))  # not a layer: invisible in modules
"""

every_executor = pytest.mark.parametrize(
    "executor", ["inline", "processes", pytest.param("ray", marks=needs_ray)]
)
every_executor_of_processes = pytest.mark.parametrize(
    "executor", ["processes", pytest.param("ray", marks=needs_ray)]
)


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Compute as worker processes do."""


@contextmanager
def working_folder(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.syspath_prepend(path)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a pack of images, and models that kill their process or tell where they train."""
    path = tmp_path_factory.mktemp("executors")
    digits = load("digits")
    write_pack(path / "mine.pack", [digits.train], [digits.test])
    (path / "own_dropout.py").write_text(DROPOUT)
    for name, action in {
        "deadly": "os.kill(os.getpid(), signal.SIGKILL)",
        "traced": f"pathlib.Path({str(path)!r}, f'pid-{{os.getpid()}}').touch()",
    }.items():
        (path / f"{name}.py").write_text(
            "import os, pathlib, signal\nimport torch\n\n"
            "def net(shape, classes):\n"
            f"    if os.getpid() != {os.getpid()}:\n"  # the scheduler builds it too, to see its size
            f"        {action}\n"
            "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))\n"
        )
    return path


@pytest.fixture(scope="module")
def study(folder):
    """The study of the contract, with a model of the user and a pack of images with a relative path."""
    dropout = [small(model="own_dropout:Drops", seed=seed) for seed in (0, 1)]
    with working_folder(folder):
        own = prepare([*dropout, small(dataset="mine.pack")], None)
    return Study.of("contract", [GOOD[0], FAILING, DIVERGING, *GOOD[1:], *own])


STATES = ["done", "failed", "diverged", *["done"] * 6]


@pytest.fixture(scope="module")
def finished(folder, study):
    """Return a function of an executor → its store with the finished study of the contract."""
    paths = {}

    def finished(executor):
        if executor not in paths:
            paths[executor] = folder / f"{executor}.sqlite"
            before = torch.get_num_threads()
            torch.set_num_threads(1)
            with Store(paths[executor]) as store, working_folder(folder):
                store.keep_artifact(confusability_name(GOOD[3]), CONFUSABLE)
                # one process is started here, and two in a session
                workers = 1 if executor == "processes" else EXECUTIONS[executor].workers
                run_study(study, store, replace(EXECUTIONS[executor], workers=workers))
            torch.set_num_threads(before)
        return paths[executor]

    return finished


@every_executor
def test_every_run_ends_in_its_state_with_its_measures(finished, study, executor):
    with Store(finished(executor)) as store:
        rows, evaluations = table(store, "contract"), histories(store, "contract")
    assert rows["key"].tolist() == [run.key for run in study.runs]
    assert rows["state"].tolist() == STATES
    done = rows[rows["state"] == "done"]
    accuracies = done[
        [
            "test_acc_last",
            "test_acc_at_best_clean_val",
            "test_acc_at_best_noisy_val",
            "test_acc_max",
            "val_acc_clean",
        ]
    ]
    assert ((accuracies >= 0) & (accuracies <= 1)).all(axis=None)
    assert (done["test_acc_max"] >= done["test_acc_at_best_clean_val"]).all()
    assert (done["steps_done"] == 6).all()
    assert (done["n_test"] == 360).all()
    assert (rows["started"] <= rows["finished"]).all()
    assert rows["host"].notna().all()
    assert rows["versions"].str.contains("torch").all()
    assert rows["versions"].str.endswith("threads 1").all()
    assert set(evaluations["key"]) == set(done["key"])
    assert evaluations.groupby("key")["step"].apply(list).tolist() == [[3, 6]] * len(done)


@every_executor
def test_a_failed_run_has_its_error_and_does_not_stop_the_others(finished, executor):
    with Store(finished(executor)) as store:
        row = table(store, runs=[FAILING]).iloc[0]
    assert row["state"] == "failed"
    assert "eta is 0.95" in row["error"]
    assert "Give a smaller eta" in row["error"]
    assert pd.isna(row["test_acc_last"])


@every_executor
def test_a_diverged_run_has_its_step_and_no_accuracy(finished, executor):
    with Store(finished(executor)) as store:
        row = table(store, runs=[DIVERGING]).iloc[0]
    assert (row["state"], row["diverged_at"]) == ("diverged", 2)
    assert pd.isna(row["test_acc_last"])
    assert pd.isna(row["error"])


@every_executor
def test_running_again_repeats_nothing(finished, study, executor):
    with Store(finished(executor)) as store:
        before = table(store)
        run_study(study, store, EXECUTIONS[executor])
        pd.testing.assert_frame_equal(table(store), before)


@every_executor_of_processes
def test_the_table_is_that_of_the_executor_without_processes_bit_for_bit(finished, executor):
    tables, evaluations = [], []
    for name in ("inline", executor):
        with Store(finished(name)) as store:
            tables.append(table(store, "contract").drop(columns=TIMES))
            evaluations.append(histories(store, "contract"))
    assert tables[0]["test_acc_at_best_clean_val"].tail(3).nunique() > 1
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    pd.testing.assert_frame_equal(*evaluations, check_exact=True)


@every_executor
def test_the_weights_of_every_finished_run_are_saved(finished, study, folder, executor):
    with working_folder(folder):
        for run, state in zip(study.runs, STATES, strict=True):
            if state == "done":
                own = run.model if ":" in run.model else None
                assert load_weights(run.key, finished(executor), model=own).run == run
    assert len(list(folder.glob(f"{executor}.sqlite.weights/*.pt"))) == STATES.count("done")


@dataclass
class Session:
    """What happened while an executor was open; to start one takes seconds."""

    cores: int = 0
    returned: list[FinishedGroup] = field(default_factory=list)
    always_room_when_idle: bool = True
    busy_after_all: bool = True
    death: FinishedGroup | None = None
    after_death: FinishedGroup | None = None
    error_of_other_versions: str = ""
    started_of_many: int = 0
    started_of_many_on_a_larger_cluster: int = 0
    training_before_leaving: int = 0
    training_after_leaving: int = 0


@pytest.fixture(scope="module")
def session(folder):
    """Return a function of an executor → the record of a session with it."""
    sessions = {}

    def session(executor):
        if executor not in sessions:
            with pytest.MonkeyPatch.context() as patch, working_folder(folder):
                patch.syspath_prepend(folder)
                sessions[executor] = record_session(executor, folder, patch)
        return sessions[executor]

    return session


def record_session(executor, folder, patch):
    groups = [RunGroup([small(seed=seed)]) for seed in range(6)]
    deadly = small(model="deadly:net", fingerprint="x")
    endless = [small(model="traced:net", fingerprint="x", steps=10**9, seed=seed) for seed in range(20)]
    runs = [*(group.runs[0] for group in groups), deadly, *endless]
    record = Session()
    with open_executor(Workload(runs, EXECUTIONS[executor])) as at_work:
        record.cores = at_work.cores
        waiting = list(groups)
        while waiting or at_work.is_busy:
            started = 0
            while waiting and at_work.has_room(waiting[0]):
                at_work.start(waiting.pop(0))
                started += 1
            record.always_room_when_idle &= started > 0 or at_work.is_busy
            record.returned += at_work.wait()
        record.busy_after_all = at_work.is_busy
        if executor != "inline":
            record.death = train_alone(at_work, deadly)
            record.after_death = train_alone(at_work, small(seed=7))
            if executor == "ray":
                record.error_of_other_versions = error_of_other_versions(at_work, patch)
            record_endless(at_work, endless, record, folder)
    if executor != "inline":
        deadline = time.monotonic() + 10
        while training(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        record.training_after_leaving = len(training(folder))
    return record


def train_alone(at_work, run):
    at_work.start(RunGroup([run]))
    finished = []
    while at_work.is_busy:
        finished += at_work.wait()
    (group,) = finished
    return group


def error_of_other_versions(at_work, patch):
    """Return the error of a node whose versions differ from those of the scheduler."""
    from dilution.study.executors import ray_driver

    other = ray_driver.DriverInfo(".", (), ("dilution 9.9", "torch 0", "numpy 0"))
    with patch.context() as context:
        context.setattr(ray_driver.DriverInfo, "of_this_process", lambda: other)
        try:
            train_alone(at_work, small())
        except WorkerError as error:
            return str(error)
    return ""


def record_endless(at_work, endless, record, folder):
    """Start endless trainings until there is no room, and wait until one trains."""
    groups = [RunGroup([run]) for run in endless]
    while at_work.has_room(groups[record.started_of_many]):
        at_work.start(groups[record.started_of_many])
        record.started_of_many += 1
    if hasattr(at_work, "_max_tasks"):
        at_work._max_tasks = at_work.cores
        record.started_of_many_on_a_larger_cluster = int(at_work.has_room(groups[-1]))
    deadline = time.monotonic() + 60
    while not training(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    record.training_before_leaving = len(training(folder))


def training(folder):
    """Return the processes that train an endless run."""
    pids = [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@every_executor
def test_each_group_comes_back_once_and_there_is_room_when_none_trains(session, executor):
    record = session(executor)
    assert record.cores >= 1
    assert record.always_room_when_idle
    assert not record.busy_after_all
    assert sorted(finished.group.runs[0].seed for finished in record.returned) == list(range(6))
    assert all(len(finished.outcomes) == 1 for finished in record.returned)
    losses, expected = (
        {finished.group.runs[0].seed: finished.outcomes[0]["history"] for finished in of.returned}
        for of in (record, session("inline"))
    )
    assert losses == expected  # each outcome is that of its own run
    if executor == "ray":  # for the others the scheduler knows the host
        assert {finished.outcomes[0]["host"] for finished in record.returned} == {platform.node()}


@every_executor_of_processes
def test_a_death_is_an_end_without_outcomes_and_the_executor_goes_on(session, executor):
    record = session(executor)
    assert record.death.outcomes is None
    assert record.death.runs_may_be_cause
    assert "process died" in record.death.reason
    assert record.after_death.outcomes[0]["state"] == "done"


@every_executor_of_processes
def test_leaving_an_executor_ends_what_still_trains_at_once(session, executor):
    record = session(executor)
    assert record.training_before_leaving > 0
    assert record.training_after_leaving == 0


@needs_ray
def test_a_cluster_is_given_no_more_than_it_can_soon_train(session):
    record = session("ray")
    assert record.cores == 2
    assert record.started_of_many == 4  # two train, and two wait for them
    assert record.started_of_many_on_a_larger_cluster == 0  # it would train all that it is given


@needs_ray
def test_a_node_with_other_versions_trains_nothing_and_is_named(session):
    error = session("ray").error_of_other_versions
    assert "has dilution" in error
    assert "the driver has dilution 9.9, torch 0, numpy 0. Install the same versions on every node" in error


def ray_executor(monkeypatch, *nodes, **execution):
    """Return the executor of a cluster of such nodes, after it has read their resources."""
    from dilution.study.executors import ray_driver

    alive = [{"Alive": True, "Resources": resources} for resources in nodes]
    monkeypatch.setattr(ray_driver.ray, "nodes", lambda: [*alive, {"Alive": False, "Resources": {"GPU": 9}}])
    executor = ray_driver.RayExecutor(Workload([small()], Execution(executor="ray", **execution)))
    executor._read_resources()
    return executor


@needs_ray
@pytest.mark.parametrize(
    ("workers", "cores", "gpus", "tasks"), [(None, 6, 1, 12), (2, 2, 1, 2), (6, 6, 1, 12), (12, 12, 0.5, 24)]
)
def test_groups_share_the_gpus_of_a_cluster_and_wait_for_them(monkeypatch, workers, cores, gpus, tasks):
    nodes = [{"GPU": 4, "CPU": 16, "memory": 8e9}, {"GPU": 2, "CPU": 8, "memory": 4e9}, {"CPU": 64}]
    executor = ray_executor(monkeypatch, *nodes, device="cuda", workers=workers)
    assert (executor.cores, executor._max_tasks) == (cores, tasks)
    resources = executor._resources(1, 10**9)
    assert resources == {"num_cpus": 1, "num_gpus": gpus, "memory": 10**9, "max_retries": 0}


@needs_ray
def test_a_group_requests_no_more_than_the_largest_node_has(monkeypatch):
    executor = ray_executor(monkeypatch, {"CPU": 2, "memory": 2e9}, {"CPU": 4, "memory": 1e9})
    assert (executor.cores, executor._max_tasks) == (6, 12)
    assert executor._resources(8, 10**12) == {"num_cpus": 4, "memory": 18 * 10**8, "max_retries": 0}


@needs_ray
def test_a_cluster_without_the_device_is_refused(monkeypatch):
    with pytest.raises(InputError, match="the cluster has no GPU to train on"):
        ray_executor(monkeypatch, {"CPU": 2}, device="cuda")


@needs_ray
@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ("dilution 0.1.0 (abc)", "dilution 0.1.0 (abc)", True),
        ("dilution 0.1.0 (abc)", "dilution 0.1.0 (abc-changed)", False),
        ("dilution 0.1.0 (abc)", "dilution 0.1.0", True),
        ("dilution 0.1.0 (abc)", "dilution 0.2.0", False),
        ("torch 2.13.0", "torch 2.14.0", False),
    ],
)
def test_versions_agree_as_far_as_both_are_known(first, second, agree):
    from dilution.study.executors.ray_worker import _versions_agree

    assert _versions_agree(first, second) == _versions_agree(second, first) == agree


@needs_ray
def test_an_address_without_a_cluster_is_refused(tmp_path):
    execution = Execution(executor="ray", address="127.0.0.1:9", progress=False)
    with (
        Store(tmp_path / "s.sqlite") as store,
        pytest.raises(InputError, match=r"no cluster at address '127.0.0.1:9': .*ray start --head"),
    ):
        run_study(Study.of("s", [small()]), store, execution)


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr(processes, "available_cores", lambda: 3)


def test_groups_that_train_at_once_never_have_more_threads_than_there_are_cores(three_cores):
    executor = ProcessExecutor(Workload([small(seed=seed) for seed in range(6)], Execution(workers=3)))
    assert executor.cores == 3
    executor.pool = SimpleNamespace(tasks=[], has_free_worker=True)
    for training, threads, has_room in [
        ([], 3, True),
        ([2], 1, True),
        ([2], 2, False),
        ([1, 1, 1], 1, False),
    ]:
        executor.pool.tasks = [RunGroup([small()], count) for count in training]
        assert executor.has_room(RunGroup([small()], threads)) == has_room
    executor.pool = SimpleNamespace(tasks=[RunGroup([small()])], has_free_worker=False)
    assert not executor.has_room(RunGroup([small()]))


def test_more_workers_than_cores_are_not_started_and_reported(three_cores):
    execution = Execution(workers=5)
    assert ProcessExecutor(Workload([small()], execution)).cores == 3
    assert workers_note(execution).startswith("3 workers used: 5 were requested")
    assert workers_note(Execution(workers=3)) == workers_note(Execution()) == ""


def test_workers_take_turns_on_two_gpus(monkeypatch):
    monkeypatch.setattr("dilution.study.execution.resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    runs = [small(seed=seed) for seed in range(9)]
    for workers, gpus in ((None, [0, 1]), (5, [0, 1, 0, 1, 0])):
        executor = ProcessExecutor(Workload(runs, Execution(workers=workers, device="cuda")))
        assert [arguments[-1] for arguments in executor.pool.arguments] == gpus


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"executor": "slurm"}, r"'slurm' is not an executor.*There are: inline, processes, ray"),
        ({"address": "auto"}, "an address goes with executor='ray'"),
        ({"workers": -1}, "workers is -1; it must be a whole number, 0"),
        ({"workers": "all"}, "workers is 'all'; it must be a whole number, 0"),
        ({"workers": 1.5}, r"workers is 1\.5; it must be a whole number, 0"),
        ({"workers": True}, "workers is True; it must be a whole number, 0"),
        ({"device": "gpu"}, "'gpu' is not a device"),
        ({"checkpoint_minutes": -1}, "checkpoint_minutes is -1; it must be 0 or more"),
        ({"checkpoint_minutes": float("nan")}, "checkpoint_minutes is nan"),
        ({"checkpoint_minutes": "10"}, "checkpoint_minutes is '10'"),
        pytest.param({"executor": "ray", "workers": 0}, "workers is 0 with executor 'ray'", marks=needs_ray),
        pytest.param({"executor": "ray", "device": "auto"}, "device is 'auto'", marks=needs_ray),
    ],
)
def test_an_execution_that_is_not_possible_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Execution(**settings)


def test_ray_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("dilution.study.execution.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"not installed.*dilution\[ray\]"):
        Execution(executor="ray")


def test_an_execution_shows_what_differs_from_the_default():
    assert repr(Execution()) == "Execution()"
    assert repr(Execution(workers=2, progress=False)) == "Execution(workers=2, progress=False)"
