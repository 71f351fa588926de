"""A cluster of two hosts, simulated: the table is that of one machine, also when a host goes away."""

import threading
from contextlib import contextmanager

import pytest
from compared import results, same

from dilution.study import Execution, Run, Study
from dilution.study.scheduler import run_study
from dilution.study.store import Store

pytest.importorskip("ray")
BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 300, "n_evals": 2, "batch_size": 16}
STUDY = Study.of("hosts", [Run.of(**BASE, alpha=alpha, seed=seed) for alpha in (0, 2) for seed in range(32)])


@pytest.fixture(scope="module", autouse=True)
def _token():
    """Demand a token of nodes and drivers, as clusters must."""
    from dilution.study.executors.ray_local import private_cluster

    with private_cluster():
        yield


@pytest.fixture
def cluster(_token):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "s.sqlite"
    with Store(path) as store:
        run_study(STUDY, store, Execution(workers=2, progress=False))
    assert (results(path, "hosts")[0]["state"] == "done").all()
    return results(path, "hosts")


def on(cluster):
    return Execution(executor="ray", address=cluster.address, progress=False)


def check(path, alone):
    assert (results(path, "hosts")[0]["state"] == "done").all()
    same(results(path, "hosts"), alone)


def test_two_hosts_give_the_table_of_one_machine(tmp_path, cluster, alone):
    cluster.add_node(num_cpus=1)
    with Store(tmp_path / "s.sqlite") as store:
        run_study(STUDY, store, on(cluster))
    check(tmp_path / "s.sqlite", alone)


@contextmanager
def removing(cluster, node, path):
    """Remove a node of the cluster once four runs are done; yield a list that gets how many trained then."""
    running, over = [], threading.Event()

    def remove():
        with Store(path) as reader:
            while reader.counts().get("hosts", {}).get("done", 0) < 4:
                if over.wait(0.02):
                    return
            running.append(reader.counts()["hosts"].get("running", 0))
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        yield running
    finally:
        over.set()
        thread.join()


def test_a_host_that_goes_away_takes_no_run_with_it(tmp_path, cluster, alone):
    second, path = cluster.add_node(num_cpus=1), tmp_path / "s.sqlite"
    with Store(path) as store:
        store.add("hosts", STUDY.runs)
        with removing(cluster, second, path) as running:
            run_study(STUDY, store, on(cluster))
        assert store.crashes() == {}
    assert running[0] > 0
    check(path, alone)


def test_runs_that_only_fitted_on_the_host_that_went_away_train_on_a_smaller_one(
    tmp_path, alone, monkeypatch
):
    from ray.cluster_utils import Cluster

    monkeypatch.setattr("dilution.study.executors.ray_driver._CHECK_SECONDS", 2.0)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "memory": 200 * 10**6})
    large = cluster.add_node(num_cpus=1, memory=4 * 10**9)  # a run requests half a gigabyte

    try:
        with Store(tmp_path / "s.sqlite") as store:
            store.add("hosts", STUDY.runs)
            with removing(cluster, large, store.path) as running:
                run_study(STUDY, store, on(cluster))
            assert store.crashes() == {}
        assert running[0] > 0
        check(tmp_path / "s.sqlite", alone)
    finally:
        cluster.shutdown()
