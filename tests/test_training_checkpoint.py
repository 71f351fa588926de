"""An interrupted training resumes bit-identically from its checkpoint; a corrupted one is refused."""

import hashlib
import io
from dataclasses import replace
from zipfile import ZIP_DEFLATED, ZipFile

import pandas as pd
import pytest
import torch

from dilution.data import load
from dilution.errors import DataError
from dilution.noise import Dilution
from dilution.study import Run, Study
from dilution.study.checkpoints import CheckpointFolder
from dilution.study.execution import Execution
from dilution.study.progress import Progress
from dilution.study.results import histories, table
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training import Checkpoint, TrainConfig, TrainTask, train_together
from dilution.training.checkpoint import TrainingStopped

OWN = """
import torch


def net(shape, classes):
    inputs = shape[0] * shape[1] * shape[2]
    layers = [torch.nn.Linear(inputs, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3)]
    return torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.ReLU(), torch.nn.Linear(32, classes))
"""


class Interrupting(Checkpoint):
    """A checkpoint that is always due, and interrupts the training when it has been saved twice."""

    def __init__(self, path, name="a training"):
        super().__init__(path, name, interval=0.0)
        self.saves = 0

    def save(self, state):
        super().save(state)
        self.saves += 1
        if self.saves == 2:
            raise KeyboardInterrupt


def tasks(model, replicas=2, **settings):
    data = load("digits")
    config = TrainConfig(**{"steps": 37, "n_evals": 5, "batch_size": 32, "lr": 0.01} | settings)
    return [
        TrainTask(model, Dilution(data.train, 2, n=300, seed=seed), data.test, seed, 30, config)
        for seed in range(replicas)
    ]


def assert_same(results, others):
    for result, other in zip(results, others, strict=True):
        pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)
        for name, weight in result.model.state_dict().items():
            assert torch.equal(weight, other.model.state_dict()[name]), name
        assert (result.noise_summary.transition_empirical == other.noise_summary.transition_empirical).all()
        assert result.state == other.state


@pytest.mark.trains
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("mlp2", {"optimizer": "adam", "ema_decay": 0.9, "schedule": "cosine"}),
        ("mlp2", {"optimizer": "sgd", "momentum": 0.9, "targets": "pooled"}),
        ("perceptron", {"optimizer": "adadelta", "lr": 1.0}),
        # more steps than an epoch has: 17 and 9
        ("conv2", {"optimizer": "adamw", "translate": 1, "hflip": True, "batch_size": 48, "steps": 20}),
        ("conv2", {"targets": "expected", "ema_decay": 0.5, "precision": "bfloat16", "steps": 15}),
        ("own:net", {"optimizer": "adam", "ema_decay": 0.9}),
    ],
    ids=str,
)
def test_an_interrupted_training_resumes_bit_for_bit(tmp_path, monkeypatch, model, settings):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "checkpoints" / "a.pt"
    whole = train_together(tasks(model, **settings))
    with pytest.raises(KeyboardInterrupt):
        train_together(tasks(model, **settings), checkpoint=Interrupting(path))
    saved = Checkpoint(path, "a training").load()
    assert 0 < saved["step"] < settings.get("steps", 37) / 2
    again = train_together(tasks(model, **settings), checkpoint=Checkpoint(path, "a training"))
    assert_same(again, whole)
    assert again[0].seconds * 2 >= saved["seconds"]
    assert not path.exists()


@pytest.mark.trains
def test_the_weights_to_keep_survive_an_interruption(tmp_path):
    def kept():
        return [replace(task, keep="best_noisy_val") for task in tasks("mlp2", optimizer="adam", lr=0.03)]

    path = tmp_path / "a.pt"
    whole = train_together(kept())
    with pytest.raises(KeyboardInterrupt):
        train_together(kept(), checkpoint=Interrupting(path))
    assert_same(train_together(kept(), checkpoint=Checkpoint(path, "a training")), whole)


@pytest.mark.trains
def test_a_training_that_keeps_weights_which_a_checkpoint_lacks_starts_again(tmp_path, caplog):
    def kept(keep):
        return [replace(task, keep=keep) for task in tasks("mlp2", optimizer="adam", lr=0.03)]

    path = tmp_path / "a.pt"
    whole = train_together(kept("best_noisy_acc"))
    with pytest.raises(KeyboardInterrupt):
        train_together(kept("best_noisy_val"), checkpoint=Interrupting(path))
    again = train_together(kept("best_noisy_acc"), checkpoint=Checkpoint(path, "a training"))
    assert_same(again, whole)
    assert [result.model_step for result in again] == [result.model_step for result in whole]
    assert "it lacks the weights of best_noisy_acc. The training starts again" in caplog.text


@pytest.mark.trains
def test_a_replica_that_had_diverged_stays_diverged(tmp_path):
    def pair():
        first, second = tasks("mlp2", optimizer="sgd")
        return [first, replace(second, config=second.config.model_copy(update={"lr": 1e20}))]

    whole = train_together(pair())
    assert [result.state for result in whole] == ["done", "diverged"]
    with pytest.raises(KeyboardInterrupt):
        train_together(pair(), checkpoint=Interrupting(tmp_path / "a.pt"))
    again = train_together(pair(), checkpoint=Checkpoint(tmp_path / "a.pt", "a training"))
    assert_same(again[:1], whole[:1])
    assert again[1].diverged_at == whole[1].diverged_at


@pytest.mark.trains
def test_a_checkpoint_is_saved_only_when_it_is_due(tmp_path):
    class Counted(Checkpoint):
        saves = 0

        def save(self, state):
            Counted.saves += 1
            super().save(state)

    train_together(tasks("mlp1"), checkpoint=Counted(tmp_path / "a.pt", "x", interval=3600.0))
    assert Counted.saves == 0
    train_together(tasks("mlp1"), checkpoint=Counted(tmp_path / "a.pt", "x", interval=0.0))
    assert Counted.saves == 4  # after each of five evaluations but the last


@pytest.fixture
def saved(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a.pt", "a training")
    checkpoint.save({"step": 3, "weights": torch.arange(1000.0)})
    return checkpoint


def test_a_truncated_or_altered_checkpoint_is_refused(saved):
    content = saved.path.read_bytes()
    for altered in (
        b"", content[:20], content[:-1], content + b"x", content[:100] + b"\xff" + content[101:],
        b"\0" * 32 + content[32:],
    ):  # fmt: skip
        saved.path.write_bytes(altered)
        with pytest.raises(DataError, match=r"a\.pt is corrupted.*delete it to train from the start"):
            saved.load()
    saved.path.write_bytes(content)
    assert saved.load()["step"] == 3


def test_a_checkpoint_of_another_training_is_refused(saved):
    with pytest.raises(DataError, match="belongs to the training 'a training', not to 'another'"):
        Checkpoint(saved.path, "another").load()


def test_loading_a_checkpoint_executes_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    buffer = io.BytesIO()
    torch.save({"name": "x", "state": Evil()}, buffer)
    content = buffer.getvalue()
    path = tmp_path / "a.pt"
    path.write_bytes(hashlib.sha256(content).digest() + content)  # the checksum of a forged file is right
    with pytest.raises(DataError, match=r"does not contain a saved training"):
        Checkpoint(path, "x").load()
    assert not (tmp_path / "executed").exists()


def with_checksum(content, **options):
    """Content of a checkpoint of somebody else, whose checksum is right."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()


@pytest.mark.parametrize("content", [[1], {"state": {}}, {"name": "x"}, {"name": "x", "state": [1]}])
def test_a_forged_checkpoint_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(with_checksum(content))
    with pytest.raises(DataError, match=r"does not contain a saved training: it .*Delete it"):
        Checkpoint(tmp_path / "a.pt", "x").load()


def test_so_is_a_compressed_one(tmp_path):
    content = with_checksum({"name": "x", "state": {"zeros": torch.zeros(1 << 20)}})[32:]
    packed = io.BytesIO()
    with ZipFile(io.BytesIO(content)) as stored, ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for entry in stored.infolist():
            archive.writestr(entry.filename, stored.read(entry))
    digest = hashlib.sha256(packed.getvalue()).digest()
    (tmp_path / "a.pt").write_bytes(digest + packed.getvalue())
    with pytest.raises(DataError, match="it is compressed"):
        Checkpoint(tmp_path / "a.pt", "x").load()


@pytest.mark.parametrize("change", [dict.clear, lambda state: state.update(step=-1)])
def test_a_forged_state_is_refused_by_the_training(tmp_path, change):
    checkpoint = Interrupting(tmp_path / "a.pt")
    with pytest.raises(KeyboardInterrupt):
        train_together(tasks("perceptron"), checkpoint=checkpoint)
    state = checkpoint.load()
    change(state)
    Checkpoint.save(checkpoint, state)
    with pytest.raises(DataError, match=r"has no state of this training .*Delete it to train from the start"):
        train_together(tasks("perceptron"), checkpoint=checkpoint)


def test_saving_to_a_file_that_cannot_be_written_raises_a_data_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"the checkpoint .*a\.pt could not be written"):
        Checkpoint(tmp_path / "file" / "a.pt", "x").save({"step": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.trains
def test_a_training_whose_checkpoint_cannot_be_written_continues(tmp_path, caplog):
    (tmp_path / "file").touch()
    (result, _) = train_together(tasks("mlp1"), checkpoint=Checkpoint(tmp_path / "file" / "a.pt", "x", 0.0))
    assert result.state == "done"
    (message,) = caplog.messages
    assert "could not be written" in message
    assert message.endswith("The training continues without checkpoints.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "alpha": 1, "steps": 60, "n_evals": 6}


@pytest.mark.trains
def test_an_interrupted_study_resumes_within_a_training(tmp_path, monkeypatch):
    study, quiet = Study.of("s", [Run.of(**BASE, seed=seed) for seed in range(2)]), Progress(quiet=True)
    outcomes, loaded = [], []
    real = Checkpoint.load

    def recorded_load(self):
        loaded.append(real(self))
        return loaded[-1]

    def finish(name):
        with Store(tmp_path / f"{name}.sqlite") as store:
            run_study(study, store, Execution(workers=0), progress=quiet)
            outcomes.append((table(store).drop(columns=["seconds", "started", "finished"]), histories(store)))

    finish("whole")
    with monkeypatch.context() as patch, Store(tmp_path / "cut.sqlite") as store:
        patch.setattr(
            "dilution.study.checkpoints.GroupCheckpoint", lambda *arguments: Interrupting(*arguments[:2])
        )
        with pytest.raises(KeyboardInterrupt):
            run_study(study, store, Execution(workers=0), progress=quiet)
    (left,) = (tmp_path / "cut.sqlite.checkpoints").iterdir()
    assert left.name.startswith(study.runs[0].key)
    monkeypatch.setattr(Checkpoint, "load", recorded_load)
    finish("cut")
    assert loaded[0]["step"] == 20
    pd.testing.assert_frame_equal(outcomes[0][0], outcomes[1][0], check_exact=True)
    pd.testing.assert_frame_equal(outcomes[0][1], outcomes[1][1], check_exact=True)
    assert not (tmp_path / "cut.sqlite.checkpoints").exists()


def test_checkpoints_of_finished_runs_are_removed(tmp_path):
    runs = [Run.of(**BASE, seed=seed) for seed in range(3)]
    checkpoints = CheckpointFolder(tmp_path / "c", 0.0)
    for group in (runs[:2], runs[2:]):
        checkpoints.checkpoint(group).save({})
    checkpoints.clear([runs[0].key])
    left = sorted(path.name for path in checkpoints.path.iterdir())
    assert left == [f"{runs[2].key}-1-cpu.keys", f"{runs[2].key}-1-cpu.pt"]
    checkpoints.clear([runs[2].key])
    assert not checkpoints.path.exists()


class Failing(Checkpoint):
    """A checkpoint that is always due, fails from its second save on, and whose time is up after 17 steps."""

    saves = 0
    asked = 0

    def save(self, state):
        self.saves += 1
        if self.saves > 1:
            raise DataError("the checkpoint a.pt could not be written: no room.")
        super().save(state)

    @property
    def must_stop(self):
        self.asked += 1
        return self.asked > 17


@pytest.mark.trains
def test_a_training_that_cannot_save_when_it_stops_says_from_where_it_goes_on(tmp_path, caplog):
    with pytest.raises(TrainingStopped) as stopped:
        train_together(tasks("mlp1"), checkpoint=Failing(tmp_path / "a.pt", "x", 0.0))
    assert stopped.value.step == 7
    assert caplog.messages[0].endswith("The training continues without checkpoints.")
    assert caplog.messages[1].endswith("The training goes on from the checkpoint of step 7 next time.")
    resumed = train_together(tasks("mlp1"), checkpoint=Checkpoint(tmp_path / "a.pt", "x"))
    assert_same(resumed, train_together(tasks("mlp1")))


def test_a_checkpoint_that_cannot_be_removed_loses_no_result(tmp_path, monkeypatch, caplog):
    checkpoint = Checkpoint(tmp_path / "a.pt", "x")
    checkpoint.save({"step": 1})

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    checkpoint.training_ended()
    (message,) = caplog.messages
    assert message.endswith("cannot be removed (Permission denied). Its training has ended: delete it.")


def test_tensors_are_saved_on_the_cpu(tmp_path):
    class Remote(torch.Tensor):
        def cpu(self):
            return torch.full((2,), 7.0)

    state = {"step": 1, "parts": [{"a": Remote(2)}, (Remote(2), None)]}
    Checkpoint(tmp_path / "a.pt", "x").save(state)
    (first, (second, _)) = Checkpoint(tmp_path / "a.pt", "x").load()["parts"]
    assert [first["a"].tolist(), second.tolist()] == [[7.0, 7.0]] * 2


def test_a_checkpoint_of_a_device_that_is_not_there_is_loaded(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "a.pt", "x")
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda _: "cuda:63")
        checkpoint.save({"weights": torch.arange(3.0)})
    weights = checkpoint.load()["weights"]
    assert weights.device.type == "cpu"
    assert weights.tolist() == [0, 1, 2]


@pytest.mark.trains
def test_a_checkpoint_of_another_kind_of_step_is_said_and_the_training_starts_again(tmp_path, caplog):
    path = tmp_path / "a.pt"
    with pytest.raises(KeyboardInterrupt):
        train_together(tasks("mlp1"), checkpoint=Interrupting(path))
    saved = Checkpoint(path, "a training").load()
    saved["ensemble"] = {"kind": "kernels", "weights": torch.zeros(3)}
    Checkpoint(path, "a training").save(saved)
    again = train_together(tasks("mlp1"), checkpoint=Checkpoint(path, "a training"))
    assert_same(again, train_together(tasks("mlp1")))
    (message,) = caplog.messages
    assert message == (
        f"The checkpoint {path} cannot be resumed: it was computed by the GPU kernels of run groups, and now "
        "by torch. The training starts again."
    )
