"""dilution show run: a stored run explained, and trained again."""

import json
import sys

import pytest
import torch
from commands import dilution, refused, succeeded

from dilution.study import Execution, Run, Study
from dilution.study.prepare import prepare
from dilution.study.retrain import python_lines
from dilution.study.scheduler import run_study
from dilution.study.store import Store

pytestmark = pytest.mark.trains

BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 6, "n_evals": 2, "batch_size": 16}
SETTINGS = {
    "pooled": {"alpha": 2, "targets": "pooled", "optimizer": "adam", "lr": 0.01, "seed": 3},
    "confusing": {"alpha": 1, "noise": "structured", "delta": 0.8, "noise_order": "confusing"},
    "matrix": {
        "eta": 0.2,
        "noise": "matrix",
        "matrix": [[0.7 if i == j else 0.3 / 9 for j in range(10)] for i in range(10)],
    },
    "replaced": {"eta": 0.3, "label_mode": "replaced", "stratified": True},
    "external": {"alpha": 1, "image_source": "photos", "model": "perceptron"},
    "white_noise": {"alpha": 1, "image_source": "white_noise", "epochs": 1, "steps": None, "translate": 1},
    "estimator": {"alpha": 1, "model": "sklearn:logistic"},
    "diverging": {"alpha": 1, "model": "mlp2", "optimizer": "sgd", "lr": 1e20},
    "failing": {"eta": 0.95},
}
RUNS = {name: Run.of(**BASE | settings) for name, settings in SETTINGS.items()}
DONE = [name for name in RUNS if name not in ("diverging", "failing")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store of these runs, and of one on custom data and a custom model."""
    path = tmp_path_factory.mktemp("show")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.syspath_prepend(path)
        (path / "mine.csv").write_text("a,b,label\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60)))
        (path / "custom_net.py").write_text(
            "import torch\n\n"
            "def net(shape, classes):\n"
            "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0], classes))\n"
        )
        custom = Run.of(dataset="mine.csv", model="custom_net:net", n=30, alpha=1, steps=3, n_evals=1)
        runs = [*RUNS.values(), *prepare([custom], None)]
        with Store(path / "results.sqlite") as store:
            run_study(Study.of("s", runs), store, Execution(executor="inline", progress=False))
        yield path
        sys.modules.pop("custom_net", None)


def row(folder, key):
    with Store(folder / "results.sqlite") as store:
        return store.row(key)


def test_a_run_is_explained_by_its_settings_versions_history_noise_and_data(folder):
    printed = succeeded(dilution("show", "run", RUNS["pooled"].key, cwd=folder))
    stored = row(folder, RUNS["pooled"].key)
    accuracy = stored["result"]["test_acc_at_best_clean_val"]
    assert printed.startswith(f"run {RUNS['pooled'].key}: test accuracy {accuracy:.2%} at the best clean val")
    settings = printed.split("\n\n")[2]
    assert "targets     pooled" in settings
    assert "lr          0.01" in settings
    assert "momentum" not in settings
    assert "noise_rate  expected 0.6, empirical 0.6" in printed
    assert f"torch       {stored['versions']['torch']}" in printed
    assert "1,437 images, of which 200 were used" in printed
    assert "val_acc_clean" in printed
    assert len(printed.split("History:\n\n")[1].split("\n\n")[0].splitlines()) == 3


@pytest.mark.parametrize("name", DONE)
def test_the_python_lines_train_it_again_with_the_same_bits(folder, name, monkeypatch, one_thread):
    printed = succeeded(dilution("show", "run", RUNS[name].key[:12], cwd=folder))
    lines = printed.split("train it again:\n\n")[1]
    assert lines.strip() == python_lines(row(folder, RUNS[name].key)).strip()
    monkeypatch.chdir(folder)
    namespace = {}
    exec(lines, namespace)
    stored = row(folder, RUNS[name].key)
    assert namespace["result"].history.to_dict(orient="records") == stored["history"]
    assert namespace["result"].summary().items() <= stored["result"].items()


@pytest.mark.parametrize("name", [*DONE, "diverging"])
def test_a_run_that_is_trained_again_has_the_same_bits(folder, name, one_thread):
    printed = succeeded(dilution("show", "run", RUNS[name].key, "--retrain", cwd=folder))
    assert "Trained again: all bits of " in printed.splitlines()[-1]
    assert printed.endswith("evaluations agree.\n") or name == "diverging"


def test_differences_are_printed_with_exit_code_1(folder, tmp_path, one_thread):
    copy = tmp_path / "copy.sqlite"
    stored = row(folder, RUNS["pooled"].key)
    result = stored["result"] | {"test_acc_last": stored["result"]["test_acc_last"] + 0.125}
    history = json.loads(json.dumps(stored["history"]))
    history[1]["train_loss"] += 0.5
    with Store(copy) as store:
        store.add("s", [RUNS["pooled"]])
        store.start(
            [stored["key"]], host="h", versions=stored["versions"], at="2026-01-01T00:00:00.000+00:00"
        )
        store.finish(
            {stored["key"]: {"state": "done", "result": result, "history": history}},
            at="2026-01-01T00:00:00.000+00:00",
        )
    ended = dilution("show", "run", stored["key"], "--retrain", "--store", copy, cwd=folder)
    assert ended.exit_code == 1
    assert "Trained again: 2 differences in " in ended.stdout
    assert "test_acc_last: stored " in ended.stdout
    assert "differ by 0.125" in ended.stdout
    assert "history train_loss: stored " in ended.stdout
    assert "differ by 0.5" in ended.stdout


def test_as_many_threads_are_used_as_the_run_was_trained_with(folder, monkeypatch):
    from dilution.study import retrain

    stored = row(folder, RUNS["pooled"].key)
    stored["versions"]["threads"] = "3"
    used = []
    train_runs = retrain.train_runs

    def recording(*arguments):
        used.append(torch.get_num_threads())
        return train_runs(*arguments)

    monkeypatch.setattr(retrain, "train_runs", recording)
    retrain.retrain(stored, None, {})
    assert used == [3]
    assert "torch.set_num_threads(3)" in python_lines(stored)


def test_custom_data_and_models_are_checked_by_their_content(folder, monkeypatch, one_thread):
    key = next(r["key"] for r in rows(folder) if r["spec"]["dataset"] == "mine.csv")
    printed = succeeded(dilution("show", "run", key, "--retrain", "--run-code", cwd=folder))
    assert "the files have this content" in printed
    assert "agree." in printed
    content = (folder / "mine.csv").read_text()
    (folder / "mine.csv").write_text(content.replace("59,3,1", "59,4,1"))
    assert "the files have another content now" in succeeded(
        dilution("show", "run", key, "--run-code", cwd=folder)
    )
    refused(
        dilution("show", "run", key, "--retrain", "--run-code", cwd=folder),
        "another content now",
        "Restore the files",
    )
    (folder / "mine.csv").unlink()
    assert "not found here: " in succeeded(dilution("show", "run", key, "--run-code", cwd=folder))
    (folder / "mine.csv").write_text(content)


CODE = {
    "data": {"dataset": "stranger:data"},
    "noisy images": {"image_source": "stranger:data"},
    "model": {"model": "stranger:net"},
    "noise": {"noise": "stranger:noise(rate=0.4)"},
    "loss": {"loss": "stranger:loss"},
    "strategy": {"strategy": "stranger:strategy"},
    "optimizer": {"optimizer": "stranger:make(beta=0.9)"},
    "schedule": {"schedule": "stranger:factor"},
    "early stopping": {"early_stopping": "stranger:rule(patience=3)"},
}


@pytest.mark.parametrize("settings", CODE.values(), ids=CODE)
def test_code_that_a_stored_run_names_is_not_imported_unless_the_user_says_so(tmp_path, settings):
    (tmp_path / "stranger.py").write_text("open('was_run', 'w').close()\n")
    run = Run.of(**{**BASE, "alpha": 1, **settings, "fingerprint": "0" * 64})
    with Store(tmp_path / "results.sqlite") as store:
        store.add("s", [run])
        store.start([run.key], host="h", versions={"dilution": "0.2"}, at="2026-01-01T00:00:00.000+00:00")
        outcome = {
            "state": "done",
            "result": {"test_acc_last": 0.5, "test_acc_at_best_clean_val": 0.5},
            "history": [],
        }
        store.finish({run.key: outcome}, at="2026-01-01T00:00:00.000+00:00")
    printed = succeeded(dilution("show", "run", run.key, cwd=tmp_path))
    assert "not compared without --run-code: stranger:" in printed
    refused(dilution("show", "run", run.key, "--retrain", cwd=tmp_path), "the run names code, stranger:")
    for words in (["status"], ["report"], ["export", "runs.csv"], ["show", "run", run.key]):
        succeeded(dilution(*words, cwd=tmp_path))
    succeeded(dilution("import", "runs.csv", "--store", "imported.sqlite", cwd=tmp_path))
    succeeded(dilution("merge", "imported.sqlite", "results.sqlite", cwd=tmp_path))
    dilution("claims", cwd=tmp_path)
    assert not (tmp_path / "was_run").exists()
    dilution("show", "run", run.key, "--retrain", "--run-code", cwd=tmp_path)
    sys.modules.pop("stranger", None)
    assert (tmp_path / "was_run").exists()


def rows(folder):
    with Store(folder / "results.sqlite") as store:
        return list(store.rows())


def test_a_run_that_failed_is_shown_with_its_error_and_not_compared(folder):
    key = RUNS["failing"].key
    printed = succeeded(dilution("show", "run", key, cwd=folder))
    assert printed.startswith(f"run {key}: failed: eta is 0.95")
    refused(
        dilution("show", "run", key, "--retrain", cwd=folder), f"run {key} is failed; only a finished run"
    )


def test_a_diverged_run_shows_its_step(folder):
    printed = succeeded(dilution("show", "run", RUNS["diverging"].key, cwd=folder))
    assert printed.startswith(f"run {RUNS['diverging'].key}: diverged at step 2")


def test_a_key_must_be_that_of_one_run(folder):
    refused(dilution("show", "run", "zzz", cwd=folder), "has a key that starts with 'zzz'", "dilution export")
    refused(dilution("show", "run", "", cwd=folder), "10 keys in", "Give more characters of the key")
    refused(dilution("show", "run", "0", "--store", "none.sqlite", cwd=folder), "there is no store at")
