"""A built-in data set with the labels of a file, by name: content, names, fingerprints, and wrong files."""

from pathlib import Path

import numpy as np
import pytest
from commands import dilution as command
from commands import refused, succeeded

import dilution
from dilution.data import load, registry
from dilution.data.label_file_source import name_with_label_file, split_label_file
from dilution.data.named_data import is_own_data
from dilution.errors import DataError, InputError
from dilution.study.prepare import prepare

LABELS = load("digits").train.labels.numpy()
SHIFTED = (LABELS + (np.arange(len(LABELS)) % 4 == 0)) % 10


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "theirs.npy", SHIFTED)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_labels_of_a_file_are_the_observed_labels_of_the_training_images() -> None:
    data, whole = load("digits#labels=theirs.npy"), load("digits")
    assert data.train.observed is not None
    assert (data.train.observed.numpy() == SHIFTED).all()
    assert (data.train.labels == whole.train.labels).all()
    assert (data.train.images == whole.train.images).all()
    assert data.test.observed is None
    assert (
        data.notes[-1]
        == "Observed labels are those of theirs.npy; 25.1% of them differ from the true labels."
    )
    assert load("digits#labels=theirs.npy") is data
    assert load(data.name).train.observed is data.train.observed


@pytest.mark.usefixtures("folder")
def test_all_training_examples_are_there_without_a_split_of_the_users() -> None:
    examples = registry.load_unsplit("digits#labels=theirs.npy")
    assert examples.arrays.observed is not None
    assert (examples.arrays.observed.numpy() == SHIFTED).all()
    assert "360 examples of the test split are left out" in examples.notes


def test_another_content_of_the_file_is_other_data(folder: Path) -> None:
    name = "digits#labels=theirs.npy"
    first = registry.fingerprint(name)
    run = dilution.Run.of(dataset=name, n=100, model="mlp1", noise="observed", label_mode="replaced")
    keys = {prepare([run], None)[0].key}
    np.save(folder / "theirs.npy", LABELS)
    assert registry.fingerprint(name) not in {first, registry.fingerprint("digits")}
    assert prepare([run], None)[0].key not in keys
    observed = load(name).train.observed
    assert observed is not None
    assert (observed.numpy() == LABELS).all()


@pytest.mark.parametrize("file", ["my labels.npy", "a,b.npy", "a#b.npy", "it's.npy", "labels=1.csv"])
def test_any_file_can_be_named(file: str, folder: Path) -> None:
    dilution.data.write_label_file(folder / file, load("digits").train.labels, load("digits").train)
    for name, count in (("digits", 10), ("digits#classes=3", 3)):
        labelled = name_with_label_file(name, file)
        data = load(labelled)
        assert len(data.train.classes) == count
        assert data.train.observed is not None
        assert (data.train.observed == data.train.labels).all()
        assert registry.builtin_name(labelled) == "digits"
        assert registry.own_source(labelled) is None
        assert registry.is_dataset_name(labelled)
        assert not is_own_data(labelled)


def test_the_file_of_labels_is_one_of_the_files_of_the_data(folder: Path) -> None:
    (status,) = registry.check("digits#labels=theirs.npy")
    assert (status.file, status.state) == (folder / "theirs.npy", "present")
    (folder / "theirs.npy").unlink()
    (status,) = registry.fetch("digits#labels=theirs.npy")
    assert (status.file, status.state) == (folder / "theirs.npy", "missing")


def test_a_path_that_exists_is_a_path(folder: Path) -> None:
    path = folder / "data#labels=theirs.npy"
    path.mkdir()
    assert split_label_file(str(path)) == (str(path), None)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (None, DataError, "theirs.npy cannot be read"),
        (LABELS[1:], InputError, r"labels of shape \(1436,\); the training split has 1,437 images"),
        (LABELS + 1, InputError, "labels from 1 to 10; with 10 classes"),
        (LABELS / 2, InputError, "labels are whole numbers"),
    ],
)
def test_a_wrong_file_is_refused(labels: object, error: type[Exception], message: str, folder: Path) -> None:
    (folder / "theirs.npy").unlink()
    if labels is not None:
        np.save(folder / "theirs.npy", np.asarray(labels))
    with pytest.raises(error, match=message):
        load("digits#labels=theirs.npy")


def test_data_of_the_user_have_their_labels_in_them(folder: Path) -> None:
    np.savez(folder / "mine.npz", images=np.zeros((20, 4, 4), np.uint8), labels=np.arange(20) % 2)
    with pytest.raises(InputError, match=r"'labels=theirs.npy' follows the # of mine.npz"):
        load("mine.npz#labels=theirs.npy")


@pytest.mark.trains
@pytest.mark.usefixtures("folder")
def test_a_diagnosis_of_a_shared_file_of_labels_counts_its_errors() -> None:
    short = "--model perceptron --repeats 1 --n-bootstrap 20 --workers 0"
    printed = succeeded(command("diagnose", "digits", "--noisy-label", "theirs.npy", *short.split()))
    assert "Counted against the true labels of these data: 0.251" in printed
    by_name = dilution.diagnose(
        "digits#labels=theirs.npy",
        model="perceptron",
        repeats=1,
        n_bootstrap=20,
        execution=dilution.Execution(workers=0, progress=False),
    )
    assert str(by_name).splitlines()[0].partition(": ")[2] in printed


@pytest.mark.usefixtures("folder")
def test_a_column_of_data_without_columns_is_refused_with_what_can_be_named() -> None:
    rule = "Name a file with one label per training image, such as labels.npy"
    refused(command("diagnose", "digits", "--noisy-label", "noisy"), rule)
