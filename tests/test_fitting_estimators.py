"""A classifier of scikit-learn, a network's class, and given probabilities in fits: what is used and kept."""

import joblib
import numpy as np
import pytest
from commands import dilution, refused
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from dilution import Execution, InputError, NoisyLabelClassifier, diagnose, fit, load_model

QUIET = Execution(executor="inline", progress=False)


def table(n=240, noise_rate=0.25, classes=3, seed=0):
    """Return features, noisy labels and true labels of overlapping classes."""
    random = np.random.default_rng(seed)
    true = random.integers(classes, size=n)
    features = (3.0 * np.eye(classes)[true] + random.normal(size=(n, classes))).astype(np.float32)
    labels = np.where(
        random.random(n) < noise_rate, (true + random.integers(1, classes, size=n)) % classes, true
    )
    return features, labels, true


def fitted(data, model, **options):
    return fit(data, model=model, execution=QUIET, **({"n_bootstrap": 5, "folds": 3} | options))


class Net(nn.Sequential):
    """A network of the user."""

    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(shape[0], 64), nn.ReLU(), nn.Linear(64, classes))


def make_net(shape, classes):
    return Net(shape, classes)


@pytest.mark.trains
@pytest.mark.parametrize(
    "classifier",
    [
        RandomForestClassifier(10, random_state=3),
        ExtraTreesClassifier(10, random_state=3),
        HistGradientBoostingClassifier(max_iter=5, random_state=3),
        LogisticRegression(),
        KNeighborsClassifier(5),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_a_classifier_gets_the_features_and_labels_as_they_are(classifier):
    features, labels, _ = table()
    result = fitted((features, labels), classifier, method="plain")
    expected = clone(classifier).fit(features, labels).predict_proba(features)
    np.testing.assert_allclose(result.predict_proba(features), expected, atol=1e-6)


@pytest.mark.trains
def test_a_classifier_gets_pixels_of_images_in_0_to_1():
    random = np.random.default_rng(0)
    labels = random.integers(2, size=60)
    images = (random.integers(0, 128, size=(60, 5, 5)) + 100 * labels[:, None, None]).astype(np.uint8)
    result = fitted((images, labels), LogisticRegression(), method="plain")
    rows = images.reshape(60, -1).astype(np.float32) / 255
    expected = LogisticRegression().fit(rows, labels).predict_proba(rows)
    np.testing.assert_allclose(result.predict_proba(images), expected, atol=1e-6)


def accuracy_of_boosting(method):
    """Return the accuracy on clean labels of many rounds of boosting, which repeat wrong labels."""
    model = HistGradientBoostingClassifier(max_iter=60, min_samples_leaf=2, random_state=0)
    new, _, true = table(2000, 0, 2, seed=1)
    result = fitted(table(500, 0.25, 2)[:2], model, method=method, folds=2, n_bootstrap=2)
    return (np.asarray(result.predict(new)).astype(int) == true).mean()


@pytest.fixture(scope="module")
def plain_accuracy():
    return accuracy_of_boosting("plain")


@pytest.mark.trains
@pytest.mark.parametrize("method", ["auto", "prune", "reweight"])
def test_methods_against_noise_help_a_classifier_of_the_user(method, plain_accuracy):
    assert accuracy_of_boosting(method) > plain_accuracy + 0.02


@pytest.mark.trains
def test_what_does_not_apply_to_a_classifier_is_said():
    result = fitted(table()[:2], KNeighborsClassifier())
    assert "takes no sample_weight" in result.obstacles["reweight"]
    assert "only networks" in result.obstacles["forward"]
    assert "reweight not tried, as the fit of the model takes no sample_weight" in " ".join(result.details)
    assert "KNeighborsClassifier (with its own settings)" in " ".join(result.details)


def test_weights_that_are_no_rows_are_refused_where_the_classifier_takes_none():
    features, labels, _ = table(60)
    with pytest.raises(InputError, match=r"takes no sample_weight, and sample_weight has 0[.]5"):
        fitted((features, labels), KNeighborsClassifier(), sample_weight=np.arange(60) + 0.5)


@pytest.mark.trains
def test_copies_are_rows_of_a_classifier_that_takes_no_weights():
    features, labels, _ = table(60)
    twice = np.concatenate([features, features[:20]]), np.concatenate([labels, labels[:20]])
    settings = {"method": "plain", "folds": 2, "n_bootstrap": 2}
    classifier = NoisyLabelClassifier(model=KNeighborsClassifier(3), **settings).fit(*twice)
    expected = KNeighborsClassifier(3).fit(*twice).predict_proba(features)
    assert (
        classifier.predict_proba(features) == expected
    ).mean() > 0.9  # ties are broken by the order of rows


@pytest.mark.trains
@pytest.mark.parametrize(
    "classifier",
    [RandomForestClassifier(5), ExtraTreesClassifier(5), HistGradientBoostingClassifier(max_iter=5)],
)
def test_trees_of_the_user_are_kept_in_a_file(classifier, tmp_path):
    features, labels, _ = table()
    result = fitted((features, labels), classifier, to_file=True)
    loaded = load_model(result.save(tmp_path / "model.dilution"))
    np.testing.assert_array_equal(loaded.predict_proba(features), result.predict_proba(features))


@pytest.mark.trains
def test_another_classifier_is_kept_by_joblib_and_no_model_file(tmp_path):
    features, labels, _ = table(90)
    result = fitted((features, labels), KNeighborsClassifier(), method="plain")
    with pytest.raises(InputError, match="joblib"):
        result.save(tmp_path / "model.dilution")
    joblib.dump(result, tmp_path / "model.joblib")
    kept = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(kept.predict_proba(features), result.predict_proba(features))


def test_the_command_refuses_at_once_what_it_could_not_save(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features, labels, _ = table(60)
    rows = [f"{a},{b},{c},{label}" for (a, b, c), label in zip(features, labels, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,c,label", *rows]))
    name = "sklearn.neighbors:KNeighborsClassifier(n_neighbors=3)"
    refused(dilution("fit", "table.csv", "--model", name), "joblib.dump")
    assert not (tmp_path / "model.dilution").exists()


@pytest.mark.trains
@pytest.mark.parametrize("model", [Net, make_net])
@pytest.mark.usefixtures("first_budgets")
def test_a_class_or_factory_of_networks_is_fitted_and_loaded(model, tmp_path):
    features, labels, true = table()
    result = fitted((features, labels), model, method="forward", n_models=1, folds=2, n_bootstrap=2)
    assert (np.asarray(result.predict(features)).astype(int) == true).mean() > 0.85
    path = result.save(tmp_path / "model.dilution")
    with pytest.raises(InputError, match="load_model"):
        load_model(path)
    loaded = load_model(path, model=model)
    np.testing.assert_array_equal(loaded.predict_proba(features), result.predict_proba(features))


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_a_diagnosis_of_given_probabilities_is_used():
    features, labels, true = table(400)
    probabilities = np.full((400, 3), 0.05) + 0.85 * np.eye(3)[true]
    diagnosis = diagnose((features, labels), pred_probs=probabilities, n_bootstrap=5, execution=QUIET)
    result = fitted((features, labels), "sklearn:forest", diagnosis=diagnosis, method="prune")
    assert result.diagnosis is diagnosis
    assert result.noise.fit.noise_rate == pytest.approx((labels != true).mean(), abs=0.03)


@pytest.mark.trains
def test_a_classifier_in_the_classifier_of_scikit_learn():
    features, labels, _ = table()
    classifier = NoisyLabelClassifier(model=KNeighborsClassifier(5), folds=3, n_bootstrap=2)
    assert clone(classifier).get_params()["model__n_neighbors"] == 5
    assert cross_val_score(classifier, features, labels, cv=2).mean() > 0.5
