"""The classifier keeps scikit-learn's conventions, and its file keeps the classifier."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dilution import DataError, InputError, NoisyLabelClassifier

QUICK = {"method": "plain", "model": "sklearn:forest", "folds": 2, "n_bootstrap": 2, "random_state": 0}


def noisy(n=120, seed=0):
    """Return features, noisy labels and true labels of two classes."""
    random = np.random.default_rng(seed)
    true = random.integers(2, size=n)
    features = 3.0 * true[:, None] + random.normal(size=(n, 3))
    return features, np.where(random.random(n) < 0.2, 1 - true, true), true


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
@pytest.mark.filterwarnings("ignore")  # scikit-learn's own, about checks that it skips
@parametrize_with_checks(
    [
        NoisyLabelClassifier(**{key: value for key, value in QUICK.items() if key != "random_state"}),
    ]
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.trains
def test_networks_keep_the_convention_on_sample_weights():
    """A weight of 2 is a row twice, one of 0 no row, and the order of the rows does not matter."""
    features, labels, _ = noisy(60)
    counts = np.random.default_rng(1).integers(0, 3, size=60)
    settings = QUICK | {"model": "mlp1", "n_models": 1}
    weighted = NoisyLabelClassifier(**settings).fit(features, labels, sample_weight=counts)
    order = np.random.default_rng(2).permutation(counts.sum())
    repeated = NoisyLabelClassifier(**settings).fit(
        features.repeat(counts, axis=0)[order], labels.repeat(counts)[order]
    )
    np.testing.assert_array_equal(weighted.predict_proba(features), repeated.predict_proba(features))


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_pipelines_cross_validation_and_grid_search():
    features, labels, true = noisy(200)
    pipeline = make_pipeline(StandardScaler(), NoisyLabelClassifier(**QUICK))
    assert (pipeline.fit(features, labels).predict(features) == true).mean() > 0.9
    assert cross_val_score(pipeline, features, labels, cv=2).mean() > 0.65
    search = GridSearchCV(NoisyLabelClassifier(**QUICK), {"method": ["plain", "prune"]}, cv=2)
    assert search.fit(features, labels).best_params_["method"] in ("plain", "prune")


@pytest.mark.trains
def test_the_default_learns_more_than_the_labels_say():
    features, labels, true = noisy(200)
    classifier = NoisyLabelClassifier(folds=2, n_bootstrap=5, random_state=0).fit(features, labels)
    assert classifier.result_.accuracy.clean.value > 0.9
    assert (classifier.predict(features) == true).mean() > 0.95


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
@pytest.mark.parametrize("kind", [int, str, bool, object])
def test_a_saved_classifier_predicts_the_same_classes(kind, tmp_path):
    features, labels, _ = noisy(40)
    names = np.array(["no", "yes"])[labels] if kind in (str, object) else labels.astype(kind)
    frame = pd.DataFrame(features, columns=["a", "b", "c"])
    classifier = NoisyLabelClassifier(**QUICK).fit(frame, names.astype(kind))
    loaded = NoisyLabelClassifier.load(classifier.save(tmp_path / "model.dilution"))
    predicted = loaded.predict(frame)
    np.testing.assert_array_equal(predicted, classifier.predict(frame))
    assert predicted.dtype == classifier.classes_.dtype
    assert loaded.n_features_in_ == 3
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_a_loaded_classifier_has_its_parameters(tmp_path):
    features, labels, _ = noisy(60)
    classifier = NoisyLabelClassifier(**QUICK).fit(features, labels)
    loaded = NoisyLabelClassifier.load(classifier.save(tmp_path / "c.dilution"))
    assert loaded.get_params() == classifier.get_params()


@pytest.mark.trains
def test_images_follow_the_rule_of_pixels(tmp_path):
    random = np.random.default_rng(0)
    true = random.integers(2, size=60)
    images = random.integers(0, 100, (60, 8, 8)).astype(np.uint8)
    images[true == 1, :4] += 120
    settings = {"method": "plain", "model": "perceptron", "folds": 2, "n_bootstrap": 2, "random_state": 0}
    classifier = NoisyLabelClassifier(**settings).fit(images, true)
    of_bytes = classifier.predict_proba(images)
    np.testing.assert_array_equal(classifier.predict_proba(images / 255), of_bytes)
    np.testing.assert_array_equal(classifier.predict_proba(images[:, None]), of_bytes)
    loaded = NoisyLabelClassifier.load(classifier.save(tmp_path / "model.dilution"))
    np.testing.assert_array_equal(loaded.predict_proba(images), of_bytes)
    with pytest.raises(InputError, match="floats must lie in"):
        classifier.predict(images.astype(float))
    with pytest.raises(InputError, match="fitted to images of"):
        classifier.predict(images[:, :4])


def test_text_is_refused_with_the_functions_that_take_it():
    frame = pd.DataFrame({"hall": ["north", "south"] * 10, "age": range(20)})
    with pytest.raises(InputError, match=r"is text \(could not convert .*'north'\).*dilution\.fit"):
        NoisyLabelClassifier(**QUICK).fit(frame, np.arange(20) % 2)


def test_one_class_and_weights_of_zero_are_refused():
    features, labels, _ = noisy(20)
    with pytest.raises(InputError, match="all labels are of one class"):
        NoisyLabelClassifier(**QUICK).fit(features, np.zeros(20, dtype=int))
    with pytest.raises(ValueError, match="at least one non-zero"):
        NoisyLabelClassifier(**QUICK).fit(features, labels, sample_weight=np.zeros(20))


def test_a_model_of_the_command_line_is_no_classifier(tmp_path):
    from fitted_models import images, untrained

    path = untrained(images()).save(tmp_path / "model.dilution")
    with pytest.raises(DataError, match="was not saved by a NoisyLabelClassifier"):
        NoisyLabelClassifier.load(path)


def test_parameters_are_cloned_and_shown():
    classifier = NoisyLabelClassifier(**QUICK)
    assert clone(classifier).get_params() == classifier.get_params()
    assert "method='plain'" in repr(classifier)
