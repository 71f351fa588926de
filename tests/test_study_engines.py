"""Every engine keeps the same promises: the driver need not know which one it has."""

import multiprocessing
import os
import platform
import struct
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch

from dilution.data import load, write_pack
from dilution.errors import InputError, WorkerError
from dilution.study import Run, Study
from dilution.study.executors import EXECUTORS, Job, check_executor, open_executor
from dilution.study.executors.workers import Worker
from dilution.study.grouping import shape_of
from dilution.study.planner import Pack
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.results import histories, table
from dilution.study.runner import confusability_name
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.study.timing import Probe

ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 6, "n_evals": 2, "batch_size": 16}
TIMES = ["seconds", "started", "finished"]
QUIET = Progress(quiet=True)


def small(**changes):
    return Run.of(**BASE | {"alpha": 1} | changes)


GOOD = [
    small(),
    small(targets="pooled", model="perceptron", seed=1),
    small(model="conv2", ema_decay=0.5, optimizer="adam", lr=0.01, alpha=0.7),
    small(targets="expected", noise="structured", delta=0.8, noise_order="confusing", alpha=None, eta=0.3),
]
FAILING = small(alpha=None, eta=0.95)  # refused when the data are opened: no alpha reaches it
DIVERGING = small(model="mlp2", optimizer="sgd", lr=1e20)
STUDY = Study.of("contract", [GOOD[0], FAILING, DIVERGING, *GOOD[1:]])
STATES = ["done", "failed", "diverged", "done", "done", "done"]
CONFUSABLE = ((torch.eye(10) + 0.1) / 2).tolist()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """What worker processes have; without it sums of floats may differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The store of the contract study after a whole run, for each engine."""
    made = {}

    def finished(executor):
        if executor not in made:
            path = tmp_path_factory.mktemp("executor") / f"{executor}.sqlite"
            with Store(path) as store:
                store.keep(confusability_name(GOOD[3]), CONFUSABLE)
                run_study(
                    STUDY,
                    store,
                    workers=None if executor == "inline" else 2,
                    executor=executor,
                    progress=QUIET,
                )
            made[executor] = path
        return made[executor]

    return finished


every = pytest.mark.parametrize(
    "executor", [pytest.param(name, marks=[ray] if name == "ray" else []) for name in EXECUTORS]
)
of_processes = pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=ray)])


@every
def test_every_run_ends_in_its_state_with_what_it_measured(finished, executor):
    with Store(finished(executor)) as store:
        rows, n_evals = table(store, "contract"), histories(store, "contract")
    assert rows["key"].tolist() == [each.key for each in STUDY.runs]
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
    assert set(n_evals["key"]) == set(done["key"])
    assert n_evals.groupby("key")["step"].apply(list).tolist() == [[3, 6]] * len(done)


@every
def test_a_failed_run_has_its_error_and_does_not_stop_the_others(finished, executor):
    with Store(finished(executor)) as store:
        row = table(store, runs=[FAILING]).iloc[0]
    assert row["state"] == "failed"
    assert "eta is 0.95" in row["error"]
    assert "Give a smaller eta" in row["error"]
    assert pd.isna(row["test_acc_last"])


@every
def test_a_diverged_run_has_its_step_and_no_accuracy(finished, executor):
    with Store(finished(executor)) as store:
        row = table(store, runs=[DIVERGING]).iloc[0]
    assert (row["state"], row["diverged_at"]) == ("diverged", 2)
    assert pd.isna(row["test_acc_last"])
    assert pd.isna(row["error"])


@every
def test_running_again_repeats_nothing(finished, executor):
    with Store(finished(executor)) as store:
        before = table(store)
        run_study(STUDY, store, executor=executor, progress=QUIET)
        pd.testing.assert_frame_equal(table(store), before)


@of_processes
def test_the_table_is_that_of_the_engine_without_processes_bit_for_bit(finished, executor):
    tables, n_evals = [], []
    for name in ("inline", executor):
        with Store(finished(name)) as store:
            tables.append(table(store, "contract").drop(columns=TIMES))
            n_evals.append(histories(store, "contract"))
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    pd.testing.assert_frame_equal(*n_evals, check_exact=True)


def opened(executor, runs, **more):
    job = Job(runs, None, {}, workers=None if executor == "inline" else 2, **more)
    return open_executor(executor, job)


def wait_for_all(executor):
    found = []
    while executor.busy:
        found += executor.wait()
    return found


@every
def test_each_pack_comes_back_once_and_there_is_room_when_none_trains(executor):
    packs = [Pack([small(seed=seed)], 1, 1.0) for seed in range(6)]
    with opened(executor, [run for pack in packs for run in pack.runs]) as at_work:
        assert at_work.cores >= 1
        back, waiting = [], list(packs)
        while waiting or at_work.busy:
            started = 0
            while waiting and at_work.room(waiting[0]):
                at_work.start(waiting.pop(0))
                started += 1
            assert started or at_work.busy
            back += at_work.wait()
        assert not at_work.busy
    assert sorted(ended.pack.runs[0].seed for ended in back) == list(range(6))
    assert all(len(ended.outcomes) == 1 for ended in back)
    if executor == "ray":  # the driver knows the others
        assert {ended.outcomes[0]["host"] for ended in back} == {platform.node()}


@every
def test_a_step_is_measured_and_one_that_cannot_be_taken_takes_for_ever(executor):
    run = small()
    with opened(executor, [run]) as at_work:
        seconds = at_work.measure(Probe(shape_of(run), (1, 8, 8), 10, 1, 1, 1))
        assert 0 < seconds < 10
        large = shape_of(small(model="conv4"))
        assert at_work.measure(Probe(large, (1, 10**5, 10**5), 10, 1, 1, 1)) == float("inf")
        assert 0 < at_work.measure(Probe(shape_of(run), (1, 8, 8), 10, 2, 1, 1)) < 10  # it goes on


@of_processes
def test_a_death_is_an_end_without_outcomes_and_the_engine_goes_on(executor, tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text(
        "import os, signal\nimport torch\n\n"
        "def net(shape, classes):\n"
        f"    if os.getpid() != {os.getpid()}:\n"  # the driver builds it too, to see how large it is
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    deadly, other = small(model="deadly:net", fingerprint="x"), small()
    with opened(executor, [deadly, other]) as at_work:
        at_work.start(Pack([deadly], 1, 1.0))
        (ended,) = wait_for_all(at_work)
        assert ended.outcomes is None
        assert ended.blamed
        assert "process died" in ended.why
        at_work.start(Pack([other], 1, 1.0))
        (ended,) = wait_for_all(at_work)
        assert ended.outcomes[0]["state"] == "done"


@of_processes
def test_leaving_an_engine_ends_what_still_trains_at_once(executor, tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, torch\n\n"
        "def net(shape, classes):\n"
        f"    pathlib.Path({str(tmp_path)!r}, f'pid-{{os.getpid()}}').touch()\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow", raising=False)
    endless = small(model="slow:net", fingerprint="x", steps=10**9)

    def at_work():
        pids = {int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")} - {os.getpid()}
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    with opened(executor, [endless]) as engaged:
        engaged.start(Pack([endless], 1, 1.0))
        deadline = time.monotonic() + 60
        while not at_work() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert at_work()
        assert engaged.busy
    deadline = time.monotonic() + 10
    while at_work() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not at_work()


@ray
def test_a_cluster_is_handed_no_more_than_it_can_soon_train():
    packs = [Pack([small(seed=seed, steps=10**9)], 1, 1.0) for seed in range(20)]
    with opened("ray", [run for pack in packs for run in pack.runs]) as at_work:
        assert at_work.cores == 2
        for most in (4, 2):  # all that the cluster has, and no more than is asked for of a larger one
            at_work._most, started = most, 0
            while at_work.room(packs[started]):
                at_work.start(packs[started])
                started += 1
            assert started == (4 if most == 4 else 0)


def cluster_of(monkeypatch, *nodes, **job):
    """Return the engine of a cluster of such nodes, which has seen what there is and no more."""
    from dilution.study.executors import ray_driver

    alive = [{"Alive": True, "Resources": each} for each in nodes]
    monkeypatch.setattr(ray_driver.ray, "nodes", lambda: [*alive, {"Alive": False, "Resources": {"GPU": 9}}])
    made = ray_driver.Cluster(Job([small()], None, {}, **job))
    made._take_stock()
    return made


@ray
@pytest.mark.parametrize(
    ("workers", "cores", "share", "most"), [(None, 6, 1, 12), (2, 2, 1, 2), (6, 6, 1, 12), (12, 12, 0.5, 24)]
)
def test_packs_share_the_gpus_of_a_cluster_and_wait_for_them(monkeypatch, workers, cores, share, most):
    nodes = [{"GPU": 4, "CPU": 16, "memory": 8e9}, {"GPU": 2, "CPU": 8, "memory": 4e9}, {"CPU": 64}]
    made = cluster_of(monkeypatch, *nodes, device="cuda", workers=workers)
    assert (made.cores, made._most) == (cores, most)
    asked = made._needs(1, 10**9)
    assert asked == {"num_cpus": 1, "num_gpus": share, "memory": 10**9, "max_retries": 0}


@ray
def test_a_pack_asks_for_no_more_than_the_largest_node_has(monkeypatch):
    made = cluster_of(monkeypatch, {"CPU": 2, "memory": 2e9}, {"CPU": 4, "memory": 1e9}, device="cpu")
    assert (made.cores, made._most) == (6, 12)
    assert made._needs(8, 10**12) == {"num_cpus": 4, "memory": 18 * 10**8, "max_retries": 0}


@ray
def test_a_cluster_without_the_device_is_refused(monkeypatch):
    with pytest.raises(InputError, match="the cluster has no GPU to train on"):
        cluster_of(monkeypatch, {"CPU": 2}, device="cuda")


@ray
def test_a_node_that_differs_trains_nothing_and_is_named(monkeypatch):
    from dilution.study.executors import ray_driver

    other = ray_driver.Driver(".", ("dilution 9.9", "torch 0", "numpy 0"))
    monkeypatch.setattr(ray_driver.Driver, "here", lambda: other)
    with opened("ray", [small()]) as at_work:
        at_work.start(Pack([small()], 1, 1.0))
        with pytest.raises(
            WorkerError, match=r"has dilution .*; the driver has dilution 9\.9, torch 0, numpy 0"
        ):
            wait_for_all(at_work)
        with pytest.raises(WorkerError, match=r"could not be measured .*Install the same on every node"):
            at_work.measure(Probe(shape_of(small()), (1, 8, 8), 10, 1, 1, 1, "cpu", torch.uint8))


@ray
@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("dilution 0.1.0 (abc)", "dilution 0.1.0 (abc)", True),
        ("dilution 0.1.0 (abc)", "dilution 0.1.0 (abc-changed)", False),
        ("dilution 0.1.0 (abc)", "dilution 0.1.0", True),
        ("dilution 0.1.0 (abc)", "dilution 0.2.0", False),
        ("torch 2.13.0", "torch 2.14.0", False),
    ],
)
def test_versions_agree_as_far_as_both_tell(one, other, agree):
    from dilution.study.executors.ray_worker import _agree

    assert _agree(one, other) == _agree(other, one) == agree


@every
def test_a_pack_of_images_is_opened_from_a_relative_path(tmp_path, monkeypatch, executor):
    digits = load("digits")
    write_pack(tmp_path / "mine.pack", [digits.train], [digits.test])
    monkeypatch.chdir(tmp_path)
    study = Study.of("packed", prepare([small(dataset="mine.pack")], None))
    with Store(tmp_path / "s.sqlite") as store:
        run_study(
            study, store, workers=None if executor == "inline" else 1, executor=executor, progress=QUIET
        )
        (row,) = table(store).to_dict(orient="records")
    assert (row["state"], row["error"]) == ("done", None)


def test_half_an_answer_is_that_of_a_worker_that_died():
    ours, theirs = multiprocessing.Pipe()
    os.write(theirs.fileno(), struct.pack("!i", 1000) + b"half")  # the length, and less than that
    theirs.close()
    worker = object.__new__(Worker)
    worker.link = ours
    assert worker.answer() is None


@ray
def test_an_address_where_no_cluster_is_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"no cluster could be had at address '127.0.0.1:9': .*ray start --head"
    ):
        run_study(STUDY, Store(tmp_path / "s.sqlite"), executor="ray", address="127.0.0.1:9", progress=QUIET)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"executor": "slurm"}, r"'slurm' is not a known engine|'slurm' is not an? engine"),
        ({"address": "auto"}, "an address goes with engine 'ray'"),
        ({"workers": -1}, "workers is -1; it must be 0"),
        ({"device": "gpu"}, "'gpu' is not a device"),
    ],
)
def test_what_no_engine_can_do_is_refused(asked, words):
    with pytest.raises(InputError, match=words):
        check_executor(**asked)


def test_ray_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("dilution.study.executors.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"not installed.*dilution\[ray\]"):
        check_executor(executor="ray")
