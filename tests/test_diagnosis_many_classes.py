"""Thousands of classes: fewer trainings, no trees, no products with T, counted here; and a note says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dilution.data import Arrays
from dilution.diagnosis.cross_validation import cross_validate
from dilution.diagnosis.many_classes import MANY_BUDGETS, MANY_CLASSES, describe_many
from dilution.errors import InputError
from dilution.fitting.learner_selection import describe_selection, select_learners
from dilution.fitting.learners import NetworkLearner
from dilution.fitting.validation import HeldOutLabels
from dilution.study.execution import Execution

FOLDS = 5


def examples(classes: int, dtype: torch.dtype = torch.float32) -> Arrays:
    """Return seven examples per class."""
    labels = torch.arange(7 * classes) % classes
    images = torch.arange(7 * classes * 2).reshape(-1, 2, 1, 1)
    return Arrays(images.to(dtype), labels, tuple(map(str, range(classes))))


def trainings(monkeypatch: pytest.MonkeyPatch, classes: int, **settings: object) -> list[int]:
    """Return the steps of each training of a cross-validation whose models predict better with more steps."""
    steps = []

    class Trainer:
        workers = 0

        def __init__(self, data, *_):
            self.data = data

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def predict(self, folds):
            steps.extend(fold.config.steps for fold in folds)
            return [self._probabilities(fold) for fold in folds]

        def _probabilities(self, fold):
            own = 1 - 1 / (1 + fold.config.steps)
            probs = np.full((len(fold.held_out_rows), classes), (1 - own) / (classes - 1), dtype=np.float32)
            probs[np.arange(len(probs)), self.data.labels[fold.held_out_rows]] = own
            return probs

    monkeypatch.setattr("dilution.diagnosis.cross_validation.FoldTrainer", Trainer)
    cross_validate(examples(classes), model="mlp1", folds=FOLDS, execution=Execution(workers=0), **settings)
    return steps


def test_the_work_of_a_cross_validation_per_example_is_smaller_above_the_limit(monkeypatch):
    few, many = (trainings(monkeypatch, classes) for classes in (MANY_CLASSES, MANY_CLASSES + 1))
    assert len(few) == 5 + 2 * FOLDS - 1  # all budgets, and two repeats, of which the first fold is trained
    assert len(many) == len(MANY_BUDGETS) + FOLDS - 1
    assert sum(many) < sum(few) / 7


def test_repeats_that_are_asked_for_are_made(monkeypatch):
    assert len(trainings(monkeypatch, MANY_CLASSES + 1, repeats=3)) == len(MANY_BUDGETS) + 3 * FOLDS - 1


def test_the_model_of_the_selected_budget_is_not_trained_twice(monkeypatch):
    steps = trainings(monkeypatch, 3, repeats=1)
    selected = steps[-1]
    assert steps.count(selected) == FOLDS


def test_networks_alone_are_fitted_above_the_limit():
    names = {
        classes: [learner.name for learner in select_learners(None, examples(classes), None, "cpu")]
        for classes in (MANY_CLASSES, MANY_CLASSES + 1)
    }
    assert names[MANY_CLASSES] == ["mlp2", "sklearn:forest", "sklearn:logistic"]
    assert "sklearn:forest" not in names[MANY_CLASSES + 1]
    (network, *_) = select_learners("mlp1", examples(MANY_CLASSES + 1), None, "cpu")
    assert isinstance(network, NetworkLearner)
    assert network.budgets == MANY_BUDGETS


@pytest.mark.parametrize("model", ["sklearn:forest", "sklearn:boosting"])
def test_trees_of_more_classes_are_refused_with_the_limit_and_a_remedy(model):
    with pytest.raises(InputError, match=r"501 classes; trees.* take at most 500\. Use model='mlp2'"):
        select_learners(model, examples(MANY_CLASSES + 1), None, "cpu")
    assert select_learners(model, examples(MANY_CLASSES), None, "cpu")[0].name == model


def test_a_note_says_what_is_left_out():
    assert describe_many(MANY_CLASSES, "x") == ()
    for dtype, word in ((torch.float32, "no trees"), (torch.uint8, "models are networks")):
        data = examples(MANY_CLASSES + 1, dtype)
        (note,) = describe_selection(select_learners(None, data, None, "cpu"), data)
        assert note.startswith("there are 501 classes")
        assert word in note
    assert describe_selection(select_learners(None, examples(3), None, "cpu"), examples(3)) == ()


def test_likelihoods_from_one_column_of_t_are_those_of_all_columns(monkeypatch):
    rng = np.random.default_rng(0)
    n, classes = 40, 6
    transition = rng.dirichlet(np.ones(classes), size=classes)
    probs = rng.dirichlet(np.ones(classes), size=n)
    labels = rng.integers(classes, size=n)
    held_out = HeldOutLabels([np.arange(0, n, 2)], labels, np.arange(n) % 3 == 0, np.ones(n))
    every = held_out.likelihoods(probs, transition)
    monkeypatch.setattr("dilution.fitting.validation.has_many_classes", lambda _: True)
    np.testing.assert_allclose(replace(held_out).likelihoods(probs, transition), every, rtol=1e-12)
