"""Linear models: the solution of scikit-learn, forward correction, files, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.fitting import FittedModel, load_model
from dilution.fitting.learners import Job, Targets
from dilution.fitting.linear import Linear, compress
from dilution.fitting.linear_learner import LinearLearner

EYE = np.eye(3)


def examples(n=150, seed=0):
    """Return examples of three classes, and their numbers."""
    random = np.random.default_rng(seed)
    true = random.integers(3, size=n)
    features = (2 * EYE[true] + random.normal(size=(n, 3))).astype(np.float32)
    return Arrays(torch.from_numpy(features)[:, :, None, None], torch.from_numpy(true), ("a", "b", "c")), true


def fitted(data, targets, budgets=(100,), rows=None):
    rows = np.arange(len(data)) if rows is None else rows
    return [members[0] for members in LinearLearner().fit(data, targets, [Job(rows, 0)], budgets)]


def test_the_solution_is_that_of_scikit_learn():
    data, true = examples()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(true))
    (linear,) = fitted(data, Targets(EYE[true] * weights[:, None]))
    features = data.images.flatten(1).double().numpy()
    inputs = compress(features, features.mean(axis=0), 1 / features.std(axis=0))
    # Its loss is a sum with a penalty of 1/(2 C), ours a mean with half of 1/100.
    reference = LogisticRegression(C=100 / weights.sum(), tol=1e-8, max_iter=1000)
    reference.fit(inputs, true, sample_weight=weights)
    np.testing.assert_allclose(linear.probabilities(data.images), reference.predict_proba(inputs), atol=2e-3)


def test_a_larger_budget_is_a_smaller_penalty():
    data, true = examples()
    sizes = [np.abs(linear.weights).sum() for linear in fitted(data, Targets(EYE[true]), (3, 30, 300))]
    assert sizes[0] < sizes[1] < sizes[2]


def test_forward_correction_learns_the_true_classes_from_skewed_labels():
    data, true = examples(n=1500)
    transition = 0.6 * EYE + 0.4 * np.roll(EYE, 1, axis=1)
    random = np.random.default_rng(2)
    labels = np.where(random.random(1500) < 0.4, (true + 1) % 3, true)
    corrected, plain = (fitted(data, Targets(EYE[labels], T))[0] for T in (transition, None))
    new, new_true = examples(n=2000, seed=3)
    probs = corrected.probabilities(new.images)
    assert (probs.argmax(axis=1) == new_true).mean() > 0.8
    assert probs[np.arange(2000), new_true].mean() > 0.7
    assert plain.probabilities(new.images)[np.arange(2000), new_true].mean() < 0.6


def test_rows_without_weight_are_not_learned():
    data, true = examples()
    spoiled = EYE[true].copy()
    spoiled[:50] = 0
    ignored = fitted(data, Targets(spoiled))[0]
    absent = fitted(data, Targets(EYE[true]), rows=np.arange(50, 150))[0]
    np.testing.assert_array_equal(ignored.weights, absent.weights)


def test_a_class_without_examples_becomes_improbable():
    data, true = examples()
    (linear,) = fitted(data, Targets(EYE[np.where(true == 2, 1, true)]))
    assert linear.probabilities(data.images)[:, 2].max() < 0.05


def test_the_file_and_the_exported_program_predict_the_same(tmp_path):
    data, true = examples()
    (linear,) = fitted(data, Targets(EYE[true]))
    model = FittedModel("sklearn:logistic", data.shape, data.dtype, data.classes, [linear])
    loaded = load_model(model.save(tmp_path / "model.dilution"))
    expected = model.probabilities(data.images)
    np.testing.assert_array_equal(loaded.probabilities(data.images), expected)
    program = torch.export.load(model.export(tmp_path / "model.pt2")).module()
    np.testing.assert_allclose(program(data.images).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("mean", lambda array: array[:-1], "mean of shape"),
        ("bias", lambda array: array * np.nan, "not finite"),
        ("weights", lambda array: array[:1], "weights of shape"),
        ("scale", lambda array: array.astype(np.float32), "not float64"),
    ],
)
def test_arrays_that_are_no_linear_model_are_refused(name, change, fault):
    linear = Linear(np.zeros(4), np.ones(4), np.ones((3, 4)), np.zeros(3))
    with pytest.raises(InputError, match=fault):
        replace(linear, **{name: change(getattr(linear, name))})
