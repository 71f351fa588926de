"""The scheduler: no run is repeated or lost, whatever dies or fills up."""

import io
import multiprocessing
import subprocess
import sys
from typing import ClassVar

import pytest
import torch

import dilution
from dilution.errors import InputError, StoreError
from dilution.study import Execution, Run, Study, executors, runner, scheduler
from dilution.study.datasets import confusability_name
from dilution.study.executors import FinishedGroup
from dilution.study.executors.inline import InlineExecutor
from dilution.study.grouping import RunGroup
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.scheduler import run_study
from dilution.study.store import Store

pytestmark = pytest.mark.trains

BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 6, "n_evals": 2, "batch_size": 16}
INLINE = Execution(executor="inline", progress=False)
ONE_WORKER = Execution(workers=1, progress=False)


def small(**changes):
    return Run.of(**BASE | {"alpha": 1} | changes)


STUDY = Study.of("s", [small(seed=seed) for seed in range(2)])
CONFUSABLE = ((torch.eye(10) + 0.1) / 2).tolist()


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Compute as worker processes do."""


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.sqlite") as opened:
        yield opened


def states(store, runs):
    by_key = store.states(run.key for run in runs)
    return [by_key[run.key] for run in runs]


def test_a_defect_in_one_run_is_recorded_with_its_traceback(store, monkeypatch):
    def broken(tasks, *arguments):
        if any(task.seed == 1 for task in tasks):
            raise RuntimeError("a defect")
        return train_together(tasks, *arguments)

    train_together = runner.train_together
    monkeypatch.setattr(runner, "train_together", broken)
    runs = [small(seed=seed) for seed in range(3)]
    run_study(Study.of("s", runs), store, INLINE)
    assert states(store, runs) == ["done", "failed", "done"]
    error = store.failures()[0][1]
    assert error.startswith("Traceback")
    assert error.endswith("RuntimeError: a defect\n")


def test_failed_runs_of_this_study_are_trained_again_only_on_request(store, monkeypatch):
    def broken(*arguments, **settings):
        raise MemoryError

    other, mine = small(seed=8), small(seed=9)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "train_together", broken)
        run_study(Study.of("other", [other]), store, INLINE)
        run_study(Study.of("mine", [mine]), store, INLINE)
    run_study(Study.of("mine", [mine]), store, INLINE)
    assert states(store, [mine, other]) == ["failed", "failed"]
    run_study(
        Study.of("mine", [mine]), store, Execution(executor="inline", retry_failed=True, progress=False)
    )
    assert states(store, [mine, other]) == ["done", "failed"]
    assert len(store.failures()) == 1


class AtEveryEnd(Progress):
    """Calls a function whenever a group has ended, and shows nothing."""

    def __init__(self, act):
        super().__init__(quiet=True)
        self.finished = lambda *_: act()


def press_ctrl_c():
    raise KeyboardInterrupt


@pytest.mark.parametrize("execution", [INLINE, ONE_WORKER], ids=["inline", "processes"])
def test_an_interrupted_study_keeps_finished_runs_and_completes_at_the_next_start(store, execution):
    runs = [small(seed=seed, batch_size=20 - seed) for seed in range(3)]  # three group keys
    study = Study.of("s", runs)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, store, execution, progress=AtEveryEnd(press_ctrl_c))
    assert multiprocessing.active_children() == []
    assert sorted(states(store, runs)) == ["done", "queued", "queued"]
    before = table(store).set_index("key")["finished"].dropna()
    run_study(study, store, INLINE)
    assert states(store, runs) == ["done"] * 3
    assert table(store).set_index("key").loc[before.index, "finished"].equals(before)


class Recording(InlineExecutor):
    """Records the groups that it trains. Those with a run of `deadly` die instead, so many times."""

    groups: ClassVar[list[list[str]]] = []
    deadly: ClassVar[dict[str, int]] = {}

    def start(self, group):
        self.groups.append([run.key for run in group.runs])
        super().start(group)

    def wait(self, timeout=None):
        (group,) = self._started
        for run in group.runs:
            if self.deadly.get(run.key, 0):
                self._started = []
                self.deadly[run.key] -= 1
                return [FinishedGroup(group, None, "it died. Use --retry-failed.")]
        return super().wait(timeout)


@pytest.fixture
def recording(monkeypatch):
    monkeypatch.setattr(executors, "InlineExecutor", Recording)
    monkeypatch.setattr(Recording, "groups", [])
    monkeypatch.setattr(Recording, "deadly", {})
    return Recording


def test_a_run_whose_process_died_is_trained_again(store, recording):
    # test_study_executors.py kills a real worker process
    runs = [small(), small(seed=1, batch_size=8)]
    recording.deadly = {runs[0].key: 1}
    run_study(Study.of("s", runs), store, INLINE)
    assert states(store, runs) == ["done", "done"]
    assert store.crashes() == {runs[0].key: 1}
    assert next(store.rows())["error"] is None


def test_a_run_whose_process_died_three_times_fails_with_a_reason_and_the_others_finish(store, recording):
    runs = [small(), small(seed=1, batch_size=8), small(seed=2, batch_size=8)]
    recording.deadly = {runs[0].key: 9}
    run_study(Study.of("s", runs), store, INLINE)
    assert states(store, runs) == ["failed", "done", "done"]
    (_, error) = store.failures()[0]
    assert error == "it died. Use --retry-failed. That happened 3 times."
    assert store.crashes() == {runs[0].key: 3}
    assert recording.groups.count([runs[0].key]) == 3


def test_a_group_whose_process_died_is_trained_run_by_run(store, recording):
    runs = [small(seed=seed) for seed in range(3)]
    recording.deadly = {runs[1].key: 1}
    run_study(Study.of("s", runs), store, INLINE)
    assert recording.groups == [[run.key for run in runs], *([run.key] for run in runs)]
    assert states(store, runs) == ["done"] * 3
    assert store.crashes() == {}
    assert table(store)["group_size"].tolist() == [1, 1, 1]


def test_a_run_that_may_crash_is_trained_alone_and_last(store, recording):
    runs = [small(seed=seed) for seed in range(4)]
    store.add("s", runs)
    store.record_crash(runs[0].key, "it died.", at="2026-01-01T00:00:00.000+00:00")
    run_study(Study.of("s", runs), store, INLINE)
    assert recording.groups == [[run.key for run in runs[1:]], [runs[0].key]]
    assert states(store, runs) == ["done"] * 4
    assert next(store.rows())["error"] is None


def test_a_full_disk_ends_the_study_and_the_next_start_completes_it(store):
    def fill_disk():
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")

    runs = [small(seed=seed, n_evals=100, steps=100, batch_size=20 - seed) for seed in range(3)]
    study = Study.of("s", runs)
    with pytest.raises(StoreError, match="full"):
        run_study(study, store, INLINE, progress=AtEveryEnd(fill_disk))
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert states(store, runs).count("done") == 1
    assert "queued" in states(store, runs)
    run_study(study, store, INLINE)
    assert states(store, runs) == ["done"] * 3


def test_confusability_is_measured_once_for_all_runs_and_kept(store, monkeypatch):
    measured = []

    def measure(run, root, device):
        measured.append(run.dataset)
        return CONFUSABLE

    monkeypatch.setattr(scheduler, "measure_confusability", measure)
    structured = {"noise": "structured", "delta": 0.5}
    runs = [small(**structured, noise_order=order) for order in ("confusing", "reverse", "random")]
    run_study(Study.of("s", [runs[2]]), store, INLINE)
    assert measured == []
    run_study(Study.of("s", runs), store, INLINE)
    run_study(Study.of("t", [small(**structured, noise_order="reverse", seed=1)]), store, INLINE)
    assert measured == ["digits"]
    assert store.artifact(confusability_name(runs[0])) == CONFUSABLE


def test_a_second_scheduler_is_refused(store):
    with Store(store.path) as other, other.writer(), pytest.raises(StoreError, match="another process"):
        run_study(STUDY, store, INLINE)


def test_seeds_repeat_each_run_of_a_study(tmp_path):
    runs = [small(model="perceptron", alpha=alpha, steps=1) for alpha in (0, 1)]
    rows = dilution.run(Study.of("s", runs), store=tmp_path / "s.sqlite", execution=INLINE, seeds=3)
    assert rows[["alpha", "seed"]].to_numpy().tolist() == [[a, s] for a in (0, 1) for s in range(3)]
    keys = [run.model_copy(update={"seed": seed}).key for run in runs for seed in range(3)]
    assert rows["key"].tolist() == keys
    assert rows["noise_rate_empirical"].nunique() == 4  # none at alpha 0, another draw per seed at 1


def test_a_script_without_a_main_guard_gets_a_clear_error_and_loses_no_run(tmp_path):
    (tmp_path / "script.py").write_text(
        "import dilution\n"
        f"run = dilution.Run.of(**{BASE | {'alpha': 1}!r})\n"
        "dilution.run(dilution.Study.of('unguarded', [run]), store='s.sqlite',\n"
        "             execution=dilution.Execution(workers=1))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "WorkerError: line 3 of script.py has no main guard" in done.stderr
    with Store(tmp_path / "s.sqlite") as store, store.writer():
        assert store.counts() == {"unguarded": {"queued": 1}}


def test_runs_of_one_group_key_train_together_and_record_it(store):
    runs = [small(seed=seed, alpha=alpha, targets="pooled") for seed in range(2) for alpha in (0, 2)]
    run_study(Study.of("s", [*runs, small()]), store, INLINE)
    assert table(store)["group_size"].tolist() == [4, 4, 4, 4, 1]


def test_a_stored_run_has_the_accuracy_of_a_training_with_the_same_seeds(store):
    runs = [small(seed=seed) for seed in (1, 2)]
    run_study(Study.of("s", runs), store, INLINE)
    digits = dilution.load("digits")
    results = [
        dilution.train(
            "mlp1",
            dilution.Dilution(digits.train, 1, n=200, seed=run.seed),
            test=digits.test,
            seed=run.seed,
            config=run.config,
        )
        for run in runs
    ]
    stored = table(store)["test_acc_at_best_clean_val"].tolist()
    assert stored == [result.summary()["test_acc_at_best_clean_val"] for result in results]


def test_a_group_that_is_short_of_memory_trains_in_halves(store, monkeypatch):
    def limited(tasks, *arguments):
        if len(tasks) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train_together(tasks, *arguments)

    train_together = runner.train_together
    monkeypatch.setattr(runner, "train_together", limited)
    runs = [small(seed=seed) for seed in range(5)]
    run_study(Study.of("s", runs), store, INLINE)
    assert states(store, runs) == ["done"] * 5
    assert table(store)["group_size"].tolist() == [2, 2, 2, 2, 1]


def test_the_threads_of_a_group_are_recorded(store, monkeypatch):
    def of_several_threads(runs, *arguments, **settings):
        return [RunGroup([run], threads) for run, threads in zip(runs, [2, 1], strict=True)]

    monkeypatch.setattr(scheduler, "group_runs", of_several_threads)
    run_study(STUDY, store, INLINE)
    assert states(store, STUDY.runs) == ["done"] * 2
    assert table(store)["versions"].str.extract(r"threads (\d)$")[0].tolist() == ["2", "1"]


def lines_of(study, store):
    """Return the lines that a study shows."""
    stream = io.StringIO()
    run_study(study, store, INLINE, progress=Progress(stream))
    return stream.getvalue()


def test_a_batch_larger_than_an_epoch_is_reported(store):
    study = Study.of("s", [small(batch_size=200, targets="pooled"), small(batch_size=8)])
    lines = lines_of(study, store)
    assert lines.count("batch_size is") == 1
    assert "batch_size is 200 and an epoch has 180 examples: a batch contains the same" in lines


def test_finished_runs_that_other_code_trained_are_reported(store):
    run_study(STUDY, store, INLINE)
    assert "trained by dilution" not in lines_of(STUDY, store)
    store._connection.execute(
        "UPDATE runs SET versions = json_set(versions, '$.dilution', '0.1.0 (845bad8)') WHERE key = ?",
        (STUDY.runs[0].key,),
    )
    larger = Study.of("s", [*STUDY.runs, small(seed=7)])
    assert "s: 1 of 2 runs was trained by dilution 0.1.0 (845bad8); this is dilution " in lines_of(
        larger, store
    )
    store._connection.execute("UPDATE runs SET versions = NULL")
    assert store.other_code_notes()[0].startswith(
        "3 of 3 runs were trained by dilution of an unknown version"
    )


def test_an_execution_that_is_refused_leaves_no_store(tmp_path):
    with pytest.raises(InputError, match="workers is -1"):
        dilution.run(STUDY, store=tmp_path / "s.sqlite", execution=Execution(workers=-1))
    assert list(tmp_path.iterdir()) == []
