"""A built-in data set with the labels of a file, by name: content, names, fingerprints, and wrong files."""

from pathlib import Path

import numpy as np
import pytest
from commands import dilution as command
from commands import refused, succeeded

import dilution
from dilution.benchmarking.noises import noises_of
from dilution.data import load, registry
from dilution.data.label_file_source import name_with_label_file, split_label_file, without_label_file
from dilution.data.named_data import is_own_data, name_in_answers
from dilution.errors import DataError, InputError
from dilution.study.prepare import prepare

LABELS = load("digits").train.labels.numpy()
NOTE = "Observed labels are those of theirs.npy; 25.1% of its 1,437 labels differ from the true labels."
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
    assert data.notes[-1] == NOTE
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


@pytest.mark.parametrize(
    "file", ["my labels.npy", "a,b.npy", "a#b.npy", "it's.npy", "a'b'c.npy", "labels=1.csv", "in/a folder.pt"]
)
def test_any_file_can_be_named(file: str, folder: Path) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    dilution.data.write_label_file(folder / file, load("digits").train.labels, load("digits").train)
    assert load(f"digits#labels={file}").train.observed is not None
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
        assert name_in_answers(labelled) == labelled
        assert without_label_file(labelled) == without_label_file(name) == name


def test_the_file_of_labels_is_one_of_the_files_of_the_data(folder: Path) -> None:
    (status,) = registry.check("digits#labels=theirs.npy")
    assert (status.file, status.state, status.notes) == (folder / "theirs.npy", "present", (NOTE,))
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
    if labels is not None:
        with pytest.raises(error, match=message):
            registry.check("digits#labels=theirs.npy")


@pytest.mark.usefixtures("folder")
def test_a_file_that_changes_while_it_is_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(data: dilution.data.Arrays, path: str) -> dilution.data.Arrays:
        np.save(path, LABELS)
        return dilution.data.with_label_file(data, path)

    np.save("theirs.npy", LABELS[::-1])  # what no other test has read
    monkeypatch.setattr("dilution.data.label_file_source.with_label_file", changing)
    with pytest.raises(DataError, match=r"theirs\.npy was changed while it was read"):
        load("digits#labels=theirs.npy")


@pytest.mark.parametrize(
    "name", ["digits#classes=3,labels=theirs.npy", "digits#label=theirs.npy", "digits#labels="]
)
@pytest.mark.usefixtures("folder")
def test_other_options_are_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"digits#labels=theirs\.npy,classes=5"):
        load(name)


@pytest.mark.usefixtures("folder")
def test_a_second_file_of_labels_is_refused() -> None:
    name, rule = "digits#labels=theirs.npy", r"noisy_label is 'b\.npy', and digits#labels=.* has a file"
    with pytest.raises(InputError, match=rule):
        dilution.diagnose(name, noisy_label="b.npy")
    with pytest.raises(InputError, match=r"labels is 'b\.npy' and dataset is 'digits#labels=theirs\.npy'"):
        dilution.Run.of(dataset=name, n=100, model="mlp1", labels="b.npy")


@pytest.mark.usefixtures("folder")
def test_a_plan_that_would_ignore_the_file_is_refused() -> None:
    remedy = r"Plan for digits with .* dilution diagnose 'digits#labels=theirs\.npy'"
    with pytest.raises(InputError, match=remedy):
        dilution.plan("digits", noisy_label="theirs.npy", target=0.9, eta=0.3)


@pytest.mark.usefixtures("folder")
def test_a_benchmark_has_the_noises_of_the_images_and_the_labels_of_the_file() -> None:
    train = load("digits#labels=theirs.npy").train
    whole = noises_of("digits", load("digits").train)
    noises = noises_of("digits#labels=theirs.npy", train)
    assert set(noises) == {*whole, "observed"}


def test_data_of_the_user_have_their_labels_in_them(folder: Path) -> None:
    np.savez(folder / "mine.npz", images=np.zeros((20, 4, 4), np.uint8), labels=np.arange(20) % 2)
    with pytest.raises(InputError, match=r"'labels=theirs.npy' follows the # of mine.npz"):
        load("mine.npz#labels=theirs.npy")


@pytest.mark.trains
@pytest.mark.usefixtures("folder")
def test_a_diagnosis_of_a_shared_file_of_labels_counts_its_errors() -> None:
    short = "--model sklearn:logistic --repeats 1 --folds 2 --n-bootstrap 20 --workers 0"
    printed = succeeded(command("diagnose", "digits", "--noisy-label", "theirs.npy", *short.split()))
    assert "Counted against the true labels of these data: 0.251" in printed
    by_name = dilution.diagnose(
        "digits#labels=theirs.npy",
        model="sklearn:logistic",
        repeats=1,
        folds=2,
        n_bootstrap=20,
        execution=dilution.Execution(workers=0, progress=False),
    )
    assert str(by_name).splitlines()[0].partition(": ")[2] in printed


@pytest.mark.usefixtures("folder")
def test_a_column_of_data_without_columns_is_refused_with_what_can_be_named() -> None:
    rule = "Name a file with one label per training image, such as labels.npy"
    refused(command("diagnose", "digits", "--noisy-label", "noisy"), rule)
