"""Arrays, DataSet and UnsplitData: their rules and reprs."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilution.data import Arrays, DataSet, UnsplitData, from_numpy, load
from dilution.diagnosis.cross_validation import _fold, split_folds
from dilution.diagnosis.fold_training import _train_and_predict
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import TrainConfig
from dilution.training.task import TrainTask

ROWS = np.random.default_rng(0).normal(size=(40, 3))
LABELS = np.arange(40) % 2


def images(n: int, side: int = 4) -> torch.Tensor:
    return torch.zeros(n, 1, side, side, dtype=torch.uint8)


def test_classes_are_named_by_number_unless_their_names_are_passed() -> None:
    assert Arrays(images(3), torch.tensor([0, 2, 1])).classes == ("0", "1", "2")
    assert Arrays(images(1), torch.tensor([0]), ("a", "b")).classes == ("a", "b")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (images(2).double(), torch.tensor([0, 1]), "torch.float64"),
        (images(2)[:, 0], torch.tensor([0, 1]), "channel axis"),
        (images(2), torch.tensor([0, 1], dtype=torch.int32), "torch.int32"),
        (images(2), torch.tensor([0, 1, 1]), "for 2 images"),
        (images(0), torch.tensor([], dtype=torch.int64), "0 images"),
        (images(2), torch.tensor([-1, 1]), "run from -1 to 1"),
    ],
)
def test_invalid_arrays_are_refused(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Arrays(images, labels)


def test_a_label_without_a_class_is_refused() -> None:
    with pytest.raises(InputError, match=r"with 2 classes they must lie in 0 … 1"):
        Arrays(images(1), torch.tensor([2]), ("a", "b"))


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (torch.tensor([0, 1, 1]), "for 2 images"),
        (torch.tensor([0.0, 1.0]), "torch.float32"),
        (torch.tensor([0, 2]), "run from 0 to 2; with 2 classes"),
        (torch.tensor([-1, 0]), "run from -1 to 0"),
    ],
)
def test_invalid_observed_labels_are_refused(observed: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=f"observed labels.*{message}"):
        Arrays(images(2), torch.tensor([0, 1]), ("a", "b"), observed)


def test_observed_labels_stay_with_their_examples() -> None:
    noisy = (LABELS + (np.arange(40) % 5 == 0)) % 2
    data = from_numpy(features=ROWS, labels=LABELS, noisy_labels=noisy)
    assert data.train.observed is not None
    row_of = {float(np.float32(features[0])): row for row, features in enumerate(ROWS)}
    for arrays in (data.train, data.test, data.train.subset(torch.tensor([3, 1]))):
        rows = [row_of[float(image[0, 0, 0])] for image in arrays.images]
        assert arrays.observed is not None
        assert arrays.observed.tolist() == noisy[rows].tolist()
        assert arrays.labels.tolist() == LABELS[rows].tolist()


def test_observed_labels_move_to_a_device_with_the_labels() -> None:
    data = from_numpy(features=ROWS, labels=LABELS, noisy_labels=LABELS).train
    moved = data.to(torch.device("meta"))
    assert moved.observed is not None
    assert moved.labels.device == moved.observed.device == torch.device("meta")
    assert data.to(torch.device("meta")) is moved


def parts_of_fold(train: Arrays, groups: np.ndarray, seed: int) -> list[list[int]]:
    """Return the pixels that the model of a fold trains on, those that stop it, and those it predicts."""
    parts: list[list[int]] = []

    def stop(tasks: list[TrainTask], _device: str) -> None:
        (task,) = tasks
        for noisy in task.noisy.hold_out(task.n_val):
            parts.append(noisy.data.images[noisy.clean_rows].flatten().int().tolist())
        parts.append(task.test.images.flatten().int().tolist())
        raise InterruptedError

    fold = _fold(split_folds(len(train), groups, 3, seed, 0), 0, seed, TrainConfig(epochs=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dilution.diagnosis.fold_training.train_together", stop)
        with pytest.raises(InterruptedError):
            _train_and_predict(train, "mlp1", "cpu", fold)
    return parts


@given(st.integers(60, 120), st.integers(12, 30), st.integers(0, 99))
def test_no_named_group_is_on_two_sides_of_any_division_of_its_examples(
    n: int, n_groups: int, seed: int
) -> None:
    """All examples differ, so that only the names keep a group together."""
    random = np.random.default_rng(seed)
    group_of = np.r_[np.arange(n_groups), random.integers(0, n_groups, n - n_groups)]
    labels = random.integers(0, 2, n)
    labels[:4] = 0, 1, 0, 1
    pixels = np.arange(n, dtype=np.float32)
    data = from_numpy(features=pixels[:, None], labels=labels, groups=group_of)
    train = data.train
    assert train.split_groups is not None

    def check(*parts: list[int]) -> None:
        groups_of = [set(group_of[part].tolist()) for part in parts]
        assert all(groups_of)
        assert len(set.union(*groups_of)) == sum(map(len, groups_of))

    check(*(split.images.flatten().int().tolist() for split in (train, data.test)))
    training, held_out = Dilution(train, 1.0, seed=seed).hold_out(len(train) // 5)
    check(*(noisy.data.images[noisy.clean_rows].flatten().int().tolist() for noisy in (training, held_out)))
    groups = train.split_groups.numpy()
    folds = split_folds(len(train), groups, 3, seed, 0, train.labels.numpy())
    check(*(train.images[torch.from_numpy(rows)].flatten().int().tolist() for rows in folds))
    check(*parts_of_fold(train, groups, seed))


def test_splits_must_have_one_shape_and_the_same_classes() -> None:
    two = Arrays(images(2), torch.tensor([0, 1]))
    one = Arrays(images(1), torch.tensor([0]))
    small = Arrays(images(2, side=3), torch.tensor([0, 1]))
    assert DataSet("x", two, two).test is two
    for other in (one, small):
        with pytest.raises(InputError, match="both must be the same"):
            DataSet("x", two, other)


def test_splits_of_different_types_are_refused() -> None:
    pixels = Arrays(images(4), torch.tensor([0, 1, 0, 1]))
    floats = Arrays(images(4).float(), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(InputError, match="must be of one type"):
        DataSet("x", floats, pixels)


def test_reprs_are_short() -> None:
    digits = load("digits")
    assert repr(digits.train) == "Arrays(1437 images of 1×8×8, 10 classes)"
    assert repr(digits) == "DataSet('digits', 1437 + 360 images of 1×8×8, 10 classes)"
    rows = from_numpy(features=ROWS, labels=LABELS, noisy_labels=LABELS).train
    assert repr(UnsplitData(rows)) == "UnsplitData(Arrays(32 rows of 3 features, 2 classes, observed labels))"


def test_arrays_can_be_pickled() -> None:
    digits = load("digits").train
    copy = pickle.loads(pickle.dumps(digits))
    assert torch.equal(copy.images, digits.images)
    assert repr(copy) == repr(digits)
