"""A training that is cut off goes on from its checkpoint to the same bits; a damaged one is named."""

import hashlib
import io
from dataclasses import replace

import pandas as pd
import pytest
import torch

from dilution.data import load
from dilution.errors import DataError
from dilution.noise import Dilution
from dilution.study import Run, Study
from dilution.study.progress import Progress
from dilution.study.results import histories, table
from dilution.study.runner import Checkpoints
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training import Checkpoint, Task, TrainConfig, train_together

OWN = """
import torch


def net(shape, classes):
    inputs = shape[0] * shape[1] * shape[2]
    layers = [torch.nn.Linear(inputs, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3)]
    return torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.ReLU(), torch.nn.Linear(32, classes))
"""


class CutOff(Checkpoint):
    """Is written as often as may be, and cuts the training off once it has been written twice."""

    def __init__(self, path, name="a training"):
        super().__init__(path, name, every=0.0)
        self.written = 0

    def save(self, state):
        super().save(state)
        self.written += 1
        if self.written == 2:
            raise KeyboardInterrupt


def tasks(model, replicas=2, **settings):
    data = load("digits")
    using = TrainConfig(**{"steps": 37, "n_evals": 5, "batch_size": 32, "lr": 0.01} | settings)
    return [
        Task(model, Dilution(data.train, 2, n=300, seed=seed), data.test, seed, 30, using)
        for seed in range(replicas)
    ]


def same(first, second):
    for ours, theirs in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(ours.history, theirs.history, check_exact=True)
        for name, weight in ours.module.state_dict().items():
            assert torch.equal(weight, theirs.module.state_dict()[name]), name
        assert (ours.noise_summary.transition_empirical == theirs.noise_summary.transition_empirical).all()
        assert ours.state == theirs.state


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("mlp2", {"optimizer": "adam", "ema_decay": 0.9, "schedule": "cosine"}),
        ("mlp2", {"optimizer": "sgd", "momentum": 0.9, "targets": "pooled"}),
        ("perceptron", {"optimizer": "adadelta", "lr": 1.0}),
        ("conv2", {"optimizer": "adamw", "translate": 1, "hflip": True, "batch_size": 48}),
        ("conv2", {"targets": "expected", "ema_decay": 0.5, "precision": "bfloat16"}),
        ("own:net", {"optimizer": "adam", "ema_decay": 0.9}),
    ],
    ids=str,
)
def test_a_training_goes_on_bit_for_bit_where_it_was_cut_off(tmp_path, monkeypatch, model, settings):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "checkpoints" / "a.pt"
    whole = train_together(tasks(model, **settings))
    with pytest.raises(KeyboardInterrupt):
        train_together(tasks(model, **settings), checkpoint=CutOff(path))
    saved = Checkpoint(path, "a training").load()
    assert 0 < saved["step"] < 37
    again = train_together(tasks(model, **settings), checkpoint=Checkpoint(path, "a training"))
    same(again, whole)
    assert again[0].seconds * 2 >= saved["seconds"]
    assert not path.exists()


def test_a_replica_that_diverged_stays_so(tmp_path):
    def pair():
        fine, wild = tasks("mlp2", optimizer="sgd")
        return [fine, replace(wild, settings=wild.settings.model_copy(update={"lr": 1e20}))]

    whole = train_together(pair())
    assert [each.state for each in whole] == ["done", "diverged"]
    with pytest.raises(KeyboardInterrupt):
        train_together(pair(), checkpoint=CutOff(tmp_path / "a.pt"))
    again = train_together(pair(), checkpoint=Checkpoint(tmp_path / "a.pt", "a training"))
    same(again[:1], whole[:1])
    assert again[1].diverged_at == whole[1].diverged_at


def test_a_checkpoint_is_written_only_when_it_is_time(tmp_path):
    class Counted(Checkpoint):
        written = 0

        def save(self, state):
            Counted.written += 1
            super().save(state)

    train_together(tasks("mlp1"), checkpoint=Counted(tmp_path / "a.pt", "x", every=3600.0))
    assert Counted.written == 0
    train_together(tasks("mlp1"), checkpoint=Counted(tmp_path / "a.pt", "x", every=0.0))
    assert Counted.written == 4  # after each of five evaluations but the last


@pytest.fixture
def written(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a.pt", "a training")
    checkpoint.save({"step": 3, "weights": torch.arange(1000.0)})
    return checkpoint


def test_a_checkpoint_that_was_cut_off_or_altered_is_named(written):
    content = written.path.read_bytes()
    for altered in (
        b"", content[:20], content[:-1], content + b"x", content[:100] + b"\xff" + content[101:],
        b"\0" * 32 + content[32:],
    ):  # fmt: skip
        written.path.write_bytes(altered)
        with pytest.raises(DataError, match=r"a\.pt is damaged.*delete it to train from the start"):
            written.load()
    written.path.write_bytes(content)
    assert written.load()["step"] == 3


def test_a_checkpoint_of_another_training_is_refused(written):
    with pytest.raises(DataError, match="belongs to the training 'a training', not to 'another'"):
        Checkpoint(written.path, "another").load()


def test_a_checkpoint_executes_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    buffer = io.BytesIO()
    torch.save({"name": "x", "state": Evil()}, buffer)
    content = buffer.getvalue()
    path = tmp_path / "a.pt"
    path.write_bytes(hashlib.sha256(content).digest() + content)  # whoever made it made the sum too
    with pytest.raises(DataError, match="holds what no training writes"):
        Checkpoint(path, "x").load()
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    (result, _) = train_together(tasks("mlp1"), checkpoint=Checkpoint(tmp_path / "file" / "a.pt", "x", 0.0))
    assert result.state == "done"
    (told,) = caplog.messages
    assert "could not be written" in told
    assert told.endswith("The training goes on without one.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "alpha": 1, "steps": 60, "n_evals": 6}


def test_a_study_that_is_cut_off_goes_on_inside_its_training(tmp_path, monkeypatch):
    study, quiet = Study.of("s", [Run.of(**BASE, seed=seed) for seed in range(2)]), Progress(quiet=True)
    found, loaded = [], []
    real = Checkpoint.load

    def load_and_tell(self):
        loaded.append(real(self))
        return loaded[-1]

    def finish(name):
        with Store(tmp_path / f"{name}.sqlite") as store:
            run_study(study, store, workers=0, progress=quiet)
            found.append((table(store).drop(columns=["seconds", "started", "finished"]), histories(store)))

    finish("whole")
    with monkeypatch.context() as patch, Store(tmp_path / "cut.sqlite") as store:
        patch.setattr("dilution.study.runner.Checkpoint", lambda *given: CutOff(*given[:2]))
        with pytest.raises(KeyboardInterrupt):
            run_study(study, store, workers=0, progress=quiet)
    (left,) = (tmp_path / "cut.sqlite.checkpoints").iterdir()
    assert left.name.startswith(study.runs[0].key)
    monkeypatch.setattr(Checkpoint, "load", load_and_tell)
    finish("cut")
    assert loaded[0]["step"] == 20
    pd.testing.assert_frame_equal(found[0][0], found[1][0], check_exact=True)
    pd.testing.assert_frame_equal(found[0][1], found[1][1], check_exact=True)
    assert not (tmp_path / "cut.sqlite.checkpoints").exists()


def test_checkpoints_of_runs_that_ended_in_another_company_are_removed(tmp_path):
    runs = [Run.of(**BASE, seed=seed) for seed in range(3)]
    kept = Checkpoints(tmp_path / "c", 0.0)
    for group in (runs[:2], runs[2:]):
        kept.of(group).save({})
    kept.clear([runs[0].key])
    assert [path.name for path in kept.folder.iterdir()] == [f"{runs[2].key}-1.pt"]
    kept.clear([runs[2].key])
    assert not kept.folder.exists()
