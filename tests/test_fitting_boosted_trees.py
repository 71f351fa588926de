"""Gradient-boosted trees as arrays predict what scikit-learn predicts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from dilution.errors import InputError
from dilution.fitting import BoostedTrees


def fitted(load=load_wine, **settings):
    features, labels = load(return_X_y=True)
    features = features.astype(np.float32)
    classifier = HistGradientBoostingClassifier(max_iter=8, **settings).fit(features, labels)
    return classifier, features


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_trees_predict_the_probabilities_of_scikit_learn(load):
    classifier, features = fitted(load)
    trees = BoostedTrees.of_classifier(classifier, len(classifier.classes_))
    predicted = trees.probabilities(torch.from_numpy(features)[:, :, None, None])
    np.testing.assert_allclose(predicted, classifier.predict_proba(features), atol=1e-12)


def test_a_class_without_examples_has_probability_0():
    features, labels = load_wine(return_X_y=True)
    classifier = HistGradientBoostingClassifier(max_iter=3).fit(features, np.array([0, 2, 3])[labels])
    trees = BoostedTrees.of_classifier(classifier, 5)
    predicted = trees.probabilities(torch.from_numpy(features)[:, :, None, None])
    assert (predicted[:, [1, 4]] == 0).all()
    np.testing.assert_allclose(predicted.sum(axis=1), 1)


def test_other_classifiers_and_categories_are_refused():
    features, labels = load_wine(return_X_y=True)
    with pytest.raises(InputError, match="is a RandomForestClassifier; a file holds networks"):
        BoostedTrees.of_classifier(RandomForestClassifier(2).fit(features, labels), 3)
    categories = np.random.default_rng(0).integers(0, 9, (len(labels), 1))
    classifier = HistGradientBoostingClassifier(categorical_features=[0], max_iter=3).fit(
        categories, categories[:, 0] % 2
    )
    with pytest.raises(InputError, match="splits at categories"):
        BoostedTrees.of_classifier(classifier, 2)


@pytest.mark.parametrize("seed", range(20))
def test_arrays_that_are_no_trees_are_refused(seed):
    trees = BoostedTrees.of_classifier(fitted()[0], 3)
    rng = np.random.default_rng(seed)
    inner = int(rng.choice(np.flatnonzero(trees.features >= 0)))
    children, roots = trees.children.copy(), trees.roots.copy()
    children[inner, 0] = rng.choice([inner, 0, -1, len(children), inner - 1])
    roots[0, 0] = rng.choice([-1, len(children)])
    for change in ({"children": children}, {"roots": roots}, {"columns": np.array([0, 1, 3])}):
        with pytest.raises(InputError, match="the trees have"):
            replace(trees, **change)
