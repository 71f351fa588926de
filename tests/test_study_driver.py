"""The driver: nothing repeated, nothing lost, whatever dies or fills up."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from typing import ClassVar

import pytest
import torch

from dilution.data import load
from dilution.errors import InputError, StoreError
from dilution.noise import Dilution
from dilution.study import Run, Study, executors, planner, run, runner, scheduler
from dilution.study.executors import processes
from dilution.study.executors.inline import Inline
from dilution.study.executors.workers import Worker
from dilution.study.planner import Pack
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.runner import confusability_name
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.study.timing import Probe
from dilution.training import train

BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 6, "n_evals": 2, "batch_size": 16}
QUIET = Progress(quiet=True)


def small(**changes):
    return Run.of(**BASE | {"alpha": 1} | changes)


STUDY = Study.of("s", [small(seed=seed) for seed in range(2)])
CONFUSABLE = ((torch.eye(10) + 0.1) / 2).tolist()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """What worker processes have; without it sums of floats may differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_run_is_the_training_that_it_describes():
    described = small(seed=5, n_val=31, targets="pooled", optimizer="adam", lr=0.01, stratified=True)
    digits = load("digits")
    noisy = Dilution(digits.train, 1, n=200, stratified=True, seed=5)
    direct = train(
        "mlp1", noisy, test=digits.test, seed=5, n_val=31, targets="pooled", optimizer="adam", lr=0.01,
        steps=6, n_evals=2, batch_size=16,
    )  # fmt: skip
    (outcome,) = runner.execute([described], None, {})
    assert outcome["history"] == direct.history.to_dict(orient="records")
    assert outcome["result"] | direct.summary() == outcome["result"]
    assert outcome["result"]["noise_rate_empirical"] == direct.noise_summary.noise_rate_empirical


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.sqlite") as opened:
        yield opened


def states(store, runs):
    found = store.states(each.key for each in runs)
    return [found[each.key] for each in runs]


def test_a_defect_in_one_run_is_recorded_with_its_traceback(store, monkeypatch):
    def broken(tasks, *given):
        if any(task.seed == 1 for task in tasks):
            raise RuntimeError("a defect")
        return real(tasks, *given)

    real = runner.train_together
    monkeypatch.setattr(runner, "train_together", broken)
    runs = [small(seed=seed) for seed in range(3)]
    run_study(Study.of("s", runs), store, workers=0, progress=QUIET)
    assert states(store, runs) == ["done", "failed", "done"]
    error = store.failures()[0][1]
    assert error.startswith("Traceback")
    assert error.endswith("RuntimeError: a defect\n")


def test_failed_runs_of_this_study_are_tried_again_only_if_asked(store, monkeypatch):
    def broken(*rest, **settings):
        raise MemoryError

    other, mine = small(seed=8), small(seed=9)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "train_together", broken)
        run_study(Study.of("other", [other]), store, workers=0, progress=QUIET)
        run_study(Study.of("mine", [mine]), store, workers=0, progress=QUIET)
    run_study(Study.of("mine", [mine]), store, workers=0, progress=QUIET)
    assert states(store, [mine, other]) == ["failed", "failed"]
    run_study(Study.of("mine", [mine]), store, workers=0, retry_failed=True, progress=QUIET)
    assert states(store, [mine, other]) == ["done", "failed"]
    assert len(store.failures()) == 1


class AtEveryEnd(Progress):
    """Does something whenever a run has ended, and shows nothing."""

    def __init__(self, act):
        super().__init__(quiet=True)
        self.finished = lambda *_: act()


def press_ctrl_c():
    raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupted_study_keeps_finished_runs_and_completes_at_the_next_start(store, workers):
    runs = [small(seed=seed, batch_size=20 - seed) for seed in range(3)]  # three shapes: nothing is packed
    study = Study.of("s", runs)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, store, workers=workers, progress=AtEveryEnd(press_ctrl_c))
    assert multiprocessing.active_children() == []
    assert sorted(states(store, runs)) == ["done", "queued", "queued"]
    before = table(store).set_index("key")["finished"].dropna()
    run_study(study, store, workers=0, progress=QUIET)
    assert states(store, runs) == ["done"] * 3
    assert table(store).set_index("key").loc[before.index, "finished"].equals(before)


def kill_the_worker_when_its_run_is_under_way(path):
    """Kill the one worker as the kernel does when memory is short; to be called from a thread."""
    deadline = time.monotonic() + 60
    with Store(path) as reader:
        while reader.counts()["s"].get("running") is None and time.monotonic() < deadline:
            time.sleep(0.02)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)


def deadly(folder, monkeypatch, deaths):
    """Return a network that kills the worker that builds it, so many times."""
    (folder / "deadly.py").write_text(
        "import os, pathlib, signal, torch\n\n"
        "def net(shape, classes):\n"
        f"    died = list(pathlib.Path({str(folder)!r}).glob('died-*'))\n"
        f"    if os.getpid() != {os.getpid()} and len(died) < {deaths}:\n"  # the driver builds it too
        f"        pathlib.Path({str(folder)!r}, f'died-{{len(died)}}').touch()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "deadly", raising=False)
    return small(model="deadly:net", fingerprint="x")


def test_a_run_whose_worker_died_three_times_fails_with_a_reason_and_the_others_finish(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(scheduler, "plan", one_by_one)
    runs = [deadly(tmp_path, monkeypatch, 99), small(), small(seed=1)]
    run_study(Study.of("s", runs), store, workers=1, progress=QUIET)
    assert states(store, runs) == ["failed", "done", "done"]
    (_, error) = store.failures()[0]
    assert "the worker process died with exit code -9" in error
    assert "That happened 3 times" in error
    assert "--retry-failed" in error
    assert store.crashes() == {runs[0].key: 3}
    assert len(list(tmp_path.glob("died-*"))) == 3


def test_a_run_whose_worker_died_twice_is_trained_again(store, tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "plan", one_by_one)
    runs = [deadly(tmp_path, monkeypatch, 2), small()]
    run_study(Study.of("s", runs), store, workers=1, progress=QUIET)
    assert states(store, runs) == ["done", "done"]
    assert store.crashes() == {runs[0].key: 2}
    assert next(store.rows())["error"] is None


def one_by_one(todo, *_, **__):
    return [Pack([run], 1, 1.0) for run in todo]


class Asked(Inline):
    """Keeps which packs it was asked to train."""

    packs: ClassVar[list[list[str]]] = []

    def start(self, pack):
        self.packs.append([run.key for run in pack.runs])
        super().start(pack)


def test_what_something_died_of_is_trained_alone_and_last(store, monkeypatch):
    monkeypatch.setattr(executors, "Inline", Asked)
    runs = [small(seed=seed) for seed in range(4)]
    store.add("s", runs)
    store.crashed(runs[0].key, "it died.", at="now")
    run_study(Study.of("s", runs), store, workers=0, progress=QUIET)
    assert Asked.packs == [[each.key for each in runs[1:]], [runs[0].key]]
    assert states(store, runs) == ["done"] * 4
    assert next(store.rows())["error"] is None


def test_a_full_disk_ends_the_study_and_the_next_start_completes_it(store):
    def fill_disk():
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")

    runs = [small(seed=seed, n_evals=100, steps=100, batch_size=20 - seed) for seed in range(3)]
    study = Study.of("s", runs)
    with pytest.raises(StoreError, match="full"):
        run_study(study, store, workers=0, progress=AtEveryEnd(fill_disk))
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert states(store, runs).count("done") == 1
    assert "queued" in states(store, runs)
    run_study(study, store, workers=0, progress=QUIET)
    assert states(store, runs) == ["done"] * 3


def test_confusability_is_measured_once_for_all_runs_and_kept(store, monkeypatch):
    measured = []

    def measure(run, root, device):
        measured.append(run.dataset)
        return CONFUSABLE

    monkeypatch.setattr(scheduler, "measure_confusability", measure)
    structured = {"noise": "structured", "delta": 0.5}
    runs = [small(**structured, noise_order=order) for order in ("confusing", "reverse", "random")]
    run_study(Study.of("s", [runs[2]]), store, workers=0, progress=QUIET)
    assert measured == []
    run_study(Study.of("s", runs), store, workers=0, progress=QUIET)
    run_study(Study.of("t", [small(**structured, noise_order="reverse", seed=1)]), store, workers=0)
    assert measured == ["digits"]
    assert store.artifact(confusability_name(runs[0])) == CONFUSABLE


def test_a_second_driver_is_refused(store):
    with Store(store.path) as other, other.writer(), pytest.raises(StoreError, match="another process"):
        run_study(STUDY, store, workers=0, progress=QUIET)


def test_a_negative_number_of_workers_is_refused(store):
    with pytest.raises(InputError, match="workers is -1; it must be 0"):
        run_study(STUDY, store, workers=-1, progress=QUIET)


def test_seeds_repeat_each_run_of_a_study(tmp_path):
    runs = [small(model="perceptron", alpha=alpha, steps=1) for alpha in (0, 1)]
    found = run(
        Study.of("s", runs), store=tmp_path / "s.sqlite", workers=0, seeds=3, progress=Progress(quiet=True)
    )
    assert found[["alpha", "seed"]].to_numpy().tolist() == [[a, s] for a in (0, 1) for s in range(3)]
    asked_for = [each.model_copy(update={"seed": seed}).key for each in runs for seed in range(3)]
    assert found["key"].tolist() == asked_for
    assert found["noise_rate_empirical"].nunique() == 4  # none at alpha 0, another draw for each seed at 1


def test_a_script_without_a_main_guard_is_told_so_and_loses_no_run(tmp_path):
    (tmp_path / "script.py").write_text(
        "import dilution\nfrom dilution.study import Run, Study\n"
        f"run = Run.of(**{BASE | {'alpha': 1}!r})\n"
        "dilution.run(Study.of('unguarded', [run]), store='s.sqlite', workers=1)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "WorkerError: a worker process ended before its first run" in done.stderr
    with Store(tmp_path / "s.sqlite") as store, store.writer():
        assert store.counts() == {"unguarded": {"queued": 1}}


def test_a_pack_whose_worker_is_killed_is_tried_again_run_by_run(store, monkeypatch):
    monkeypatch.setattr(planner, "_SHORT", 1e9)  # one pack of three, without a measurement
    runs = [small(seed=seed, steps=3000) for seed in range(3)]
    store.add("s", runs)
    killer = threading.Thread(target=kill_the_worker_when_its_run_is_under_way, args=[store.path])
    killer.start()
    run_study(Study.of("s", runs), store, workers=1, progress=QUIET)
    killer.join()
    assert states(store, runs) == ["done"] * 3
    assert table(store)["group_size"].tolist() == [1, 1, 1]


def test_runs_of_one_shape_train_together_and_say_so(store):
    runs = [small(seed=seed, alpha=alpha, targets="pooled") for seed in range(2) for alpha in (0, 2)]
    run_study(Study.of("s", [*runs, small()]), store, workers=0, progress=QUIET)
    assert table(store)["group_size"].tolist() == [4, 4, 4, 4, 1]


class Dying(Worker):
    """A worker whose process is killed when it is asked to measure more than one network at a time."""

    def start(self, task):
        if isinstance(task, Probe) and task.replicas > 1:
            self.process.kill()
            self.process.join()
        super().start(task)


def test_a_worker_killed_while_it_measures_a_large_pack_leaves_small_packs(store, monkeypatch):
    monkeypatch.setattr(planner, "_SHORT", 0.0)
    monkeypatch.setattr(processes, "Worker", Dying)
    runs = [small(seed=seed) for seed in range(4)]
    run_study(Study.of("s", runs), store, workers=2, progress=QUIET)
    assert states(store, runs) == ["done"] * 4
    assert table(store)["group_size"].tolist() == [1] * 4


def test_what_trains_at_once_never_takes_more_threads_than_there_are_cores(store, monkeypatch):
    under_way = {}

    def start(self, task):
        under_way[self] = task.threads
        assert sum(under_way.values()) <= 3
        Worker.start(self, task)

    def answer(self):
        under_way.pop(self, None)
        return Worker.answer(self)

    def of_many_threads(todo, *_, **__):
        return [Pack([run], threads, 1.0) for run, threads in zip(todo, [3, 2, 1, 2, 1, 1], strict=True)]

    class Counting(Worker):
        pass

    monkeypatch.setattr(Counting, "start", start)
    monkeypatch.setattr(Counting, "answer", answer)
    monkeypatch.setattr(processes, "Worker", Counting)
    monkeypatch.setattr(scheduler, "plan", of_many_threads)
    monkeypatch.setattr(processes, "available_cores", lambda: 3)
    runs = [small(seed=seed) for seed in range(6)]
    run_study(Study.of("s", runs), store, workers=3, progress=QUIET)
    assert states(store, runs) == ["done"] * 6
    threads = table(store)["versions"].str.extract(r"threads (\d)$")[0].tolist()
    assert threads == ["3", "2", "1", "2", "1", "1"]


def said(study, store, **options):
    """Return the lines that a study shows."""
    stream = io.StringIO()
    run_study(study, store, progress=Progress(stream), **options)
    return stream.getvalue()


def test_more_workers_than_cores_are_cut_down_and_said(store, monkeypatch):
    monkeypatch.setattr(processes, "available_cores", lambda: 1)
    monkeypatch.setattr(executors, "available_cores", lambda: 1)
    monkeypatch.setattr(scheduler, "plan", only_for_one_core)
    lines = said(Study.of("s", [small(seed=seed) for seed in range(3)]), store, workers=3)
    assert "3 workers asked for, more than the cores at hand: 1 used" in lines


def only_for_one_core(todo, *_, cores, **__):
    assert cores == 1
    return [Pack([run], 1, 1.0) for run in todo]


def test_a_batch_larger_than_an_epoch_is_said(store):
    lines = said(
        Study.of("s", [small(batch_size=200, targets="pooled"), small(batch_size=8)]), store, workers=0
    )
    assert lines.count("batch is") == 1
    assert "batch_size is 200, and an epoch of such a run holds 180: fewer than a batch" in lines
