"""Memorisation: the shares of wrong labels and of true classes that a model predicts on its training set."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import dilution
from dilution.data import Arrays
from dilution.noise import Dilution, symmetric, uniform
from dilution.training.evaluation import Normalise
from dilution.training.memorisation import Memorisation

MakeData = Callable[..., Arrays]


class Lookup(nn.Module):
    """A model that predicts a class for each image, which it knows by its first pixel."""

    def __init__(self, classes: Tensor) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.one_hot(self.classes[images[:, 0, 0, 0].round().long()], 10).float()


class Identity(Normalise):
    def __init__(self) -> None:
        pass

    def __call__(self, images: Tensor) -> Tensor:
        return images.float()


def numbered(n: int = 200) -> Arrays:
    """Return images that hold their number."""
    images = torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1)
    return Arrays(images, torch.arange(n) % 10, tuple(str(c) for c in range(10)))


@pytest.mark.parametrize("image_source", ["same", "fresh"])
@pytest.mark.parametrize("alpha", [1.0, 5.5])
def test_a_model_that_predicts_true_classes_recovers_all_and_memorises_none(image_source, alpha):
    data = numbered()
    noisy = Dilution(data, alpha, noise=uniform(), image_source=image_source, n=50)
    measured = Memorisation(Identity(), noisy, 0)(Lookup(data.labels))
    assert measured == {"memorised": 0.0, "recovered": 1.0}


def test_a_model_that_predicts_replaced_labels_memorises_all():
    data = numbered()
    noisy = Dilution(data, noise=symmetric(0.5))
    measured = Memorisation(Identity(), noisy, 0)(Lookup(noisy.own_labels))
    assert measured == {"memorised": 1.0, "recovered": 0.0}


def test_all_wrongly_labelled_examples_are_looked_at_if_they_are_few():
    data = numbered()
    noisy = Dilution(data, noise=symmetric(0.3), seed=4)
    looked_at = Memorisation(Identity(), noisy, 0)._index
    index = torch.arange(len(noisy))
    wrong = index[noisy.labels(index) != noisy.true_labels(index)]
    assert torch.equal(looked_at.sort().values, wrong)


def test_a_thousand_of_many_are_drawn_by_the_seed(make_data: MakeData):
    noisy = Dilution(make_data(400), 20.0)
    first, again, other = (Memorisation(Identity(), noisy, seed)._index for seed in (0, 0, 1))
    assert len(first) == 1000
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert bool((noisy.labels(first) != noisy.true_labels(first)).all())


def test_without_wrong_labels_nothing_is_measured(make_data: MakeData):
    assert Memorisation(Identity(), Dilution(make_data(50), 0.0), 0)(nn.Identity()) == {}


def test_images_without_a_class_of_their_own_are_not_recovered():
    noisy = Dilution(numbered(), 1.0, image_source="white_noise", n=50)
    measured = Memorisation(Identity(), noisy, 0)(Lookup(torch.zeros(1000, dtype=torch.int64)))
    assert set(measured) == {"memorised"}


@pytest.mark.trains
def test_the_measures_are_those_of_the_training_part_by_the_seed_of_the_training():
    digits = dilution.load("digits")
    noisy = Dilution(digits.train, 20.0, n=200, seed=3)  # more wrong labels than are looked at
    settings = {"steps": 40, "n_evals": 1, "optimizer": "adam", "lr": 3e-3, "keep": "last"}
    result = dilution.train("mlp1", noisy, test=digits.test, seed=5, n_val=60, **settings)
    training, _ = noisy.hold_out(60)
    expected = Memorisation(result.normalise, training, 5)(result.model)
    last = result.history[["memorised", "recovered"]].iloc[-1].to_dict()
    assert last == pytest.approx(expected, abs=0.0011)  # one prediction may change by rounding


@pytest.mark.trains
def test_a_history_has_the_measures_where_labels_are_drawn():
    digits = dilution.load("digits")
    settings = {"test": digits.test, "epochs": 1, "n_evals": 2, "optimizer": "adam", "lr": 1e-3}
    noisy = Dilution(digits.train, 2.0, n=200)
    for targets in ("sampled", "pooled"):
        result = dilution.train("mlp1", noisy, targets=targets, **settings)
        assert result.history[["memorised", "recovered"]].notna().all(axis=None)
        assert result.summary()["memorised_last"] == result.history["memorised"].iloc[-1]
    expected = dilution.train("mlp1", noisy, targets="expected", **settings)
    assert "memorised" not in expected.history
    clean = dilution.train("mlp1", Dilution(digits.train, 0.0, n=200), **settings)
    assert "memorised" not in clean.history
