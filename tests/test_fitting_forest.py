"""Forests as plain arrays: the probabilities of scikit-learn, and nothing else than trees is taken."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from dilution.errors import InputError
from dilution.fitting import Forest


def fitted(classes=(0, 1, 2), n=80):
    random = np.random.default_rng(0)
    features = random.normal(size=(n, 4)).astype(np.float32)
    labels = np.array(classes)[random.integers(len(classes), size=n)]
    return features, RandomForestClassifier(5, max_depth=4, random_state=0).fit(features, labels)


def images(features):
    return torch.from_numpy(features)[:, :, None, None]


def test_the_probabilities_are_those_of_scikit_learn():
    features, classifier = fitted()
    forest = Forest.of_classifier(classifier, 3)
    np.testing.assert_allclose(
        forest.probabilities(images(features)), classifier.predict_proba(features), atol=1e-6
    )
    assert forest.n_features <= 4
    assert forest.n_classes == 3


def test_a_class_without_examples_has_probability_zero():
    features, classifier = fitted(classes=(0, 2))
    probabilities = Forest.of_classifier(classifier, 4).probabilities(images(features))
    assert (probabilities[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(probabilities[:, [0, 2]], classifier.predict_proba(features), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("roots", lambda array: array + 10_000, "roots that are no nodes"),
        ("children", lambda array: array * 0, "do not lie behind their parents"),
        ("values", lambda array: array * np.nan, "no shares"),
        ("values", lambda array: array[:, :1], "values of shape"),
        ("thresholds", lambda array: array * np.nan, "no numbers"),
        ("features", lambda array: array[:-1], "in place of"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name, change, fault):
    forest = Forest.of_classifier(fitted()[1], 3)
    with pytest.raises(InputError, match=fault):
        replace(forest, **{name: change(getattr(forest, name))})
