"""Files that change between two calls of one process, or while a study trains: those of now are read."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

import dilution
from dilution.data import fingerprint
from dilution.errors import DataError
from dilution.study import Execution, Run, Study, scheduler
from dilution.study.datasets import dilute, open_data
from dilution.study.executors.inline import InlineExecutor
from dilution.study.grouping import group_runs
from dilution.study.prepare import changed_files, prepare
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training.losses import resolve_loss

BASE = {"dataset": "digits", "n": 100, "model": "perceptron", "steps": 2, "n_evals": 1, "batch_size": 16}
INLINE = Execution(workers=0, progress=False)
MODULE = "import torch\ndef net(shape, classes):\n    return torch.nn.Sequential(torch.nn.Flatten(), {})\n"
NET = MODULE.format("torch.nn.Linear(64, classes)")
OTHER_NET = MODULE.format("torch.nn.Linear(64, 8), torch.nn.Linear(8, classes)")


def write_images(path, value):
    images = np.full((40, 8, 8), value, dtype=np.uint8)
    images[:, 0, 0] = np.arange(40)  # no copies
    np.savez(path, images=images, labels=np.arange(40) % 10)


def test_external_images_that_were_replaced_are_read_again(tmp_path):
    path = tmp_path / "external.npz"
    run = Run.of(**BASE, alpha=1, image_source=str(path))
    seen = []
    for value in (10, 200):
        write_images(path, value)
        (prepared,) = prepare([run], None)
        _, noisy = dilute(prepared, None, {})
        seen.append(float(noisy.images(torch.arange(len(noisy))).float().mean()))
    assert seen[1] - seen[0] == pytest.approx((200 - 10) / 2, abs=5)  # half of the images are external


def test_data_without_a_fingerprint_are_those_of_now(tmp_path):
    path = tmp_path / "data.npz"
    for value in (10, 200):
        write_images(path, value)
        assert int(open_data(str(path), "", None).train.images.max()) == max(value, 39)


def the_file(setting, module, tmp_path):
    """Return a file that a setting names, other content for it, and the text of the setting."""
    if setting == "model":
        name = module(NET)
        return tmp_path / f"{name}.py", OTHER_NET.encode(), {"model": f"{name}:net"}
    if setting == "labels":
        path, labels = tmp_path / "theirs.npy", dilution.load("digits").train.labels.numpy()
        np.save(path, labels)
        content = path.read_bytes()
        np.save(path, (labels + 1) % 10)
        return path, content, {"labels": str(path), "alpha": None, "noise": "observed"}
    path = tmp_path / "T.csv"
    np.savetxt(path, 0.04 + 0.6 * np.eye(10), delimiter=",")
    later = path.read_bytes()
    np.savetxt(path, 0.05 + 0.5 * np.eye(10), delimiter=",")
    return path, later, {"loss": f"forward(T='{path}')"}


@pytest.mark.trains
@pytest.mark.parametrize("setting", ["model", "labels", "loss"])
def test_a_file_that_changes_while_a_study_trains_ends_it_and_keeps_what_is_done(
    setting, module, tmp_path, monkeypatch
):
    path, later, value = the_file(setting, module, tmp_path)
    runs = prepare([Run.of(**{**BASE, "alpha": 1} | value, seed=seed) for seed in (0, 1)], None)
    assert changed_files(runs) == []
    original = InlineExecutor.wait

    def wait_and_change(self, seconds):
        ended = original(self, seconds)
        path.write_bytes(later)
        return ended

    monkeypatch.setattr(InlineExecutor, "wait", wait_and_change)
    monkeypatch.setattr(scheduler, "group_runs", one_by_one)
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(DataError, match=f"a file was changed while the study ran: that of {setting} "):
            run_study(Study.of("s", runs), store, INLINE)
        assert sorted(store.states([run.key for run in runs]).values()) == ["done", "queued"]
    assert prepare(runs[:1], None)[0].key != runs[0].key


@pytest.mark.trains
def test_what_trains_when_a_file_changes_is_finished(module, tmp_path, monkeypatch):
    name = module(NET)
    runs = prepare(
        [Run.of(**{**BASE, "alpha": 1, "model": f"{name}:net"}, seed=seed) for seed in range(3)], None
    )
    original = InlineExecutor.start

    def start_and_change(self, group):
        original(self, group)
        if len(self._started) == 2:
            (tmp_path / f"{name}.py").write_text(OTHER_NET)

    monkeypatch.setattr(InlineExecutor, "start", start_and_change)
    monkeypatch.setattr(InlineExecutor, "has_room", lambda *_: True)
    monkeypatch.setattr(scheduler, "group_runs", one_by_one)
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(DataError, match=r"was changed .*\. Finished runs are kept"):
            run_study(Study.of("s", runs), store, INLINE)
        states = store.states([run.key for run in runs])
    assert sorted(states.values()) == ["done", "done", "queued"]
    (group,) = group_runs(runs[:1], None, study=runs[:1], cores=1)
    (tmp_path / f"{name}.py").write_text("def net(shape")  # half saved
    assert "SyntaxError" in scheduler._changed_files(group)


def test_the_files_of_a_run_are_in_its_fingerprint_in_the_order_of_the_keys_in_stores(module, tmp_path):
    name, labels = module(NET), tmp_path / "theirs.npy"
    np.save(labels, dilution.load("digits").train.labels.numpy())
    np.savetxt(tmp_path / "T.csv", 0.05 + 0.5 * np.eye(10), delimiter=",")
    own = {
        "model": f"{name}:net",
        "optimizer": "torch.optim:RMSprop",
        "loss": f"forward(T='{tmp_path}/T.csv')",
    }
    (run,) = prepare([Run.of(**{**BASE, "noise": "observed", "labels": str(labels)} | own)], None)
    of_model, of_labels = (
        sha256(file.read_bytes()).hexdigest() for file in (tmp_path / f"{name}.py", labels)
    )
    of_optimizer = sha256(Path(torch.optim.__file__).read_bytes()).hexdigest()
    of_loss = resolve_loss(own["loss"]).digest
    assert run.fingerprint == "+".join([of_model, of_loss, of_optimizer, of_labels])


def one_by_one(*arguments, **options):
    """Return the groups of runs with one run each."""
    return [single for group in group_runs(*arguments, **options) for single in group.single_runs()]


def test_groups_of_a_function_belong_to_its_content(module):
    name = module("""
        import numpy as np, torch
        from dilution.data import Arrays, DataSet

        LAST = 3

        def data():
            images = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 1, 2, 2).contiguous()
            labels, groups = torch.arange(40) % 2, torch.arange(40)
            groups[:LAST] = 0
            train = Arrays(images[:30], labels[:30], groups=groups[:30])
            return DataSet("d", train, Arrays(images[30:], labels[30:], groups=groups[30:]))
    """)
    first = fingerprint(f"{name}:data")
    file = Path(f"{name}.py")
    file.write_text(file.read_text().replace("LAST = 3", "LAST = 4"))
    assert fingerprint(f"{name}:data") != first


def test_data_whose_groups_are_single_examples_have_the_fingerprint_of_stored_runs(module):
    name = module("import dilution\n\ndef data():\n    return dilution.load('digits')")
    assert fingerprint(f"{name}:data") == "fadf3064c81f421f118277b5062a1b9129d6f944ef7dbf856131ee75d3dc5d23"
