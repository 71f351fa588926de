import numpy as np
import pytest
import torch

from dilution.data import Arrays, from_numpy
from dilution.data.splits import split_arrays, stratified_split
from dilution.errors import InputError


def test_a_fifth_of_every_class_is_for_testing_exact_to_less_than_one() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(7, size=1003, p=np.arange(1, 8) / 28)
    train, test = stratified_split(labels)
    assert sorted([*train, *test]) == list(range(1003))
    assert len(test) == 201
    deviation = np.bincount(labels[test], minlength=7) - np.bincount(labels) / 5
    assert np.abs(deviation).max() < 1
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


def test_every_class_has_an_example_to_train_on() -> None:
    labels = np.array([0, 1, 1, 2, 3, 4, 5, 5])
    train, test = stratified_split(labels)
    assert set(labels[train]) == {0, 1, 2, 3, 4, 5}
    assert test.tolist() == [1]


def test_examples_that_cannot_be_split_are_refused() -> None:
    images = torch.zeros(3, 1, 2, 2)
    with pytest.raises(InputError, match="all 3 labels are 'b'; learning needs at least 2"):
        split_arrays("x", Arrays(images, torch.tensor([1, 1, 1]), ("a", "b")))
    with pytest.raises(InputError, match="no class of the 3 examples has two"):
        split_arrays("x", Arrays(images, torch.arange(3)))


def test_classes_without_a_test_example_are_said() -> None:
    features, labels = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 4

    def notes(test_labels: list[int]) -> list[str]:
        n = len(test_labels)
        data = from_numpy(
            features=features, labels=labels, test_features=features[:n] + 9, test_labels=test_labels
        )
        return [note for note in data.notes if "test split has no example" in note]

    assert notes([0, 1, 2, 3]) == []
    assert notes([0, 1, 3]) == [
        "the test split has no example of class '2': test accuracy does not measure it"
    ]
    assert notes([3, 3]) == [
        "the test split has no example of 3 of the 4 classes, the first is '0': test accuracy does not "
        "measure them"
    ]
