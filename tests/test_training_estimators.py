"""Estimators: they are fitted to the examples of the diluted set, and break no rule unnoticed."""

import numpy as np
import pandas as pd
import pytest
import torch

import dilution
from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.noise import Dilution, structured
from dilution.study import Run, Study
from dilution.study.execution import Execution
from dilution.study.grouping import group_runs
from dilution.study.prepare import prepare
from dilution.training import (
    ESTIMATORS,
    TrainConfig,
    TrainTask,
    estimators,
    train,
    train_together,
)
from dilution.training.evaluation import Normalise

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.trains]


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def features(data, rows, normalise):
    return normalise(data.take(rows)).flatten(1).numpy()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_learns_under_noise_and_reports_one_accuracy(name, digits):
    noisy = Dilution(digits.train, 2, n=400, seed=1)
    result = train(name, noisy, test=digits.test)
    summary = result.summary()
    assert summary["test_acc_at_best_clean_val"] > 0.6
    assert (
        summary["test_acc_last"]
        == summary["test_acc_at_best_clean_val"]
        == summary["test_acc_at_best_noisy_val"]
        == summary["test_acc_max"]
    )
    assert summary["steps_done"] == 0
    assert (result.n_train, result.n_val, result.n_test) == (360, 40, 360)
    training, _ = noisy.hold_out(40)
    assert result.noise_summary.noise_rate_empirical == training.noise_summary().noise_rate_empirical
    probabilities = result.predict(digits.test)
    assert probabilities.sum(dim=1).allclose(torch.ones(360))
    correct = (probabilities.argmax(dim=1) == digits.test.labels).double().mean()
    assert float(correct) == pytest.approx(summary["test_acc_at_best_clean_val"])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_seed_gives_the_same_result_and_changes_no_global_generator(name, digits):
    noisy = Dilution(digits.train, 1, n=100)
    np.random.seed(1)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = train(name, noisy, test=digits.test, seed=3)
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    again = train(name, noisy, test=digits.test, seed=3)
    assert torch.equal(first.predict(digits.test), again.predict(digits.test))


def test_the_forest_depends_on_the_seed(digits):
    noisy = Dilution(digits.train, 1, n=100)
    first, other = (train("sklearn:forest", noisy, test=digits.test, seed=seed) for seed in (0, 1))
    assert not torch.equal(first.predict(digits.test), other.predict(digits.test))


@pytest.mark.parametrize("images", ["same", "fresh", "white_noise"])
@pytest.mark.parametrize("stratified", [False, True])
def test_examples_are_those_of_the_dilution(digits, images, stratified):
    noisy = Dilution(
        digits.train, 1.5, n=300, image_source=images, stratified=stratified, noise=structured(0.7)
    )
    training, _ = noisy.hold_out(30)
    normalise = Normalise(training.data, training.clean_rows)
    index = torch.arange(len(training))
    plain = estimators._example_table(training, normalise, weighted=False)
    expected = normalise(training.images(index)).flatten(1).numpy()
    np.testing.assert_array_equal(plain.features, expected)
    np.testing.assert_array_equal(plain.labels, training.labels(index).numpy())
    assert plain.weights is None
    pooled = estimators._example_table(training, normalise, weighted=True)
    if images != "same":
        assert pooled.weights is None
        return

    def counted(examples):
        weights = np.ones(len(examples.labels)) if examples.weights is None else examples.weights
        table = pd.DataFrame({"x": list(map(bytes, examples.features)), "y": examples.labels, "w": weights})
        return table.groupby(["x", "y"])["w"].sum()

    pd.testing.assert_series_equal(counted(pooled), counted(plain))
    assert len(pooled.labels) < len(plain.labels)


def test_weighted_labels_give_the_logistic_regression_of_all_examples(digits):
    from sklearn.linear_model import LogisticRegression

    noisy = Dilution(digits.train, 3, n=200)
    training, held_out = noisy.hold_out(20)
    normalise = Normalise(training.data, training.clean_rows)
    index = torch.arange(len(training))
    x, y = normalise(training.images(index)).flatten(1).numpy(), training.labels(index).numpy()
    x_val = features(held_out.data, held_out.clean_rows, normalise)
    y_val = held_out.data.labels[held_out.clean_rows].numpy()
    models = [
        LogisticRegression(C=c / 4, max_iter=1000, tol=1e-6).fit(x, y) for c in (1e-4, 1e-3, 1e-2, 1e-1)
    ]
    best = max(models, key=lambda model: model.score(x_val, y_val))  # the first in a tie
    result = train("sklearn:logistic", noisy, test=digits.test, n_val=20)
    expected = best.predict_proba(features(digits.test, torch.arange(360), normalise))
    np.testing.assert_allclose(result.predict(digits.test).numpy(), expected, atol=0.01)


def test_neighbours_vote_with_all_labels_of_whole_images(digits):
    noisy = Dilution(digits.train, 4, n=200)
    training, held_out = noisy.hold_out(20)
    normalise = Normalise(training.data, training.clean_rows)
    x = normalise(training.data.take(training.clean_rows)).flatten(1)
    votes = training.histogram(torch.arange(training.n)).double()

    def probabilities(arrays, rows, k):
        distances = torch.cdist(normalise(arrays.take(rows)).flatten(1), x)
        return votes[distances.topk(k, largest=False).indices].mean(dim=1) / 5

    true = held_out.data.labels[held_out.clean_rows]
    accuracies = {}
    for k in (1, 5, 20, 50):
        predicted = probabilities(held_out.data, held_out.clean_rows, k).argmax(1)
        accuracies[k] = float((predicted == true).double().mean())
    best = max(accuracies, key=accuracies.get)
    result = train("sklearn:knn", noisy, test=digits.test, n_val=20)
    expected = probabilities(digits.test, torch.arange(360), best)
    assert result.summary()["val_acc_clean"] == pytest.approx(accuracies[best], abs=0.051)  # ties may differ
    assert float((result.predict(digits.test) - expected).abs().mean()) < 1e-3


def test_classes_without_labels_get_no_probability_and_shift_no_other():
    labels = torch.tensor([0, 1, 3, 4, 5, 6]).repeat(10)
    images = torch.zeros(60, 1, 2, 4, dtype=torch.uint8)
    rows = torch.arange(60)
    images.view(60, 8)[rows, labels] = (255 - rows).byte()  # no two images are equal
    plain = Arrays(images, labels, tuple("abcdefgh"))
    for name in ESTIMATORS:
        result = train(name, Dilution(plain, 0), test=plain, n_val=6)
        probabilities = result.predict(plain)
        assert probabilities.shape == (60, 8)
        assert float(probabilities[:, [2, 7]].max()) < 1e-6
        if name != "sklearn:boosting":  # leaves of 20 rows cannot tell classes of 9
            assert result.summary()["test_acc_at_best_clean_val"] > 0.9


def test_a_table_too_large_for_memory_is_refused(digits):
    noisy = Dilution(digits.train, 1e6, n=100)
    with pytest.raises(InputError, match=r"a table of 90,000,090 examples × 64 features.*smaller n or alpha"):
        train("sklearn:knn", noisy, test=digits.test)


def test_pooled_labels_fit_in_memory_at_any_noise_level(digits):
    result = train("sklearn:logistic", Dilution(digits.train, 10_000, n=50), test=digits.test)
    assert result.noise_summary.alpha_empirical == 10_000


OWN = """
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def bayes(shape, classes):
        return GaussianNB(var_smoothing=0.1)

    def forest(shape, classes):
        return make_pipeline(StandardScaler(), RandomForestClassifier(5))

    class Prior:
        def __init__(self, shape, classes):
            self.classes = classes

        def fit(self, X, y):
            assert X.dtype == np.float32 and y.dtype == np.int64
            self.probabilities = np.bincount(y, minlength=self.classes) / len(y)

        def predict_proba(self, X):
            return np.tile(self.probabilities, (len(X), 1))

    class Raises(Prior):
        def fit(self, X, y):
            raise ValueError("no fit")

    class RaisesLater(Prior):
        def predict_proba(self, X):
            raise ValueError("no prediction")

    class Thin(Prior):
        def predict_proba(self, X):
            return np.ones((len(X), 1))

    class Empty(Prior):
        def predict_proba(self, X):
            return np.full((len(X), self.classes), np.nan)

    def decides(shape, classes):
        from sklearn.svm import LinearSVC
        return LinearSVC()

    ready = GaussianNB()
"""


def test_custom_estimators_are_fitted(module, digits):
    name = module(OWN)
    noisy = Dilution(digits.train, 1, n=300)
    assert train(f"{name}:bayes", noisy, test=digits.test).summary()["test_acc_at_best_clean_val"] > 0.7
    first, again, other = (train(f"{name}:forest", noisy, test=digits.test, seed=s) for s in (0, 0, 1))
    assert first.summary()["test_acc_at_best_clean_val"] > 0.4
    assert torch.equal(first.predict(digits.test), again.predict(digits.test))
    assert not torch.equal(first.predict(digits.test), other.predict(digits.test))
    prior = train(f"{name}:Prior", noisy, test=digits.test)
    training, _ = noisy.hold_out(30)
    share = training.labels(torch.arange(len(training))).bincount(minlength=10) / len(training)
    torch.testing.assert_close(prior.predict(digits.test)[0], share.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Raises", "its fit raised ValueError: no fit"),
        ("RaisesLater", "its predict_proba raised ValueError: no prediction"),
        ("Thin", r"predict_proba returned shape \(5, 1\) for 5 images; it must"),
        ("Empty", "must return finite probabilities"),
        ("decides", "returned a LinearSVC; it must return a torch.nn.Module, or an object with fit and"),
        ("ready", "must be a function or class"),
    ],
)
def test_an_estimator_that_breaks_a_rule_is_refused(module, digits, name, message):
    reference = f"{module(OWN)}:{name}"
    with pytest.raises(InputError, match=message):
        train(reference, Dilution(digits.train, 0, n=50), test=digits.test)


def test_estimators_and_models_do_not_train_together(digits):
    noisy = Dilution(digits.train, 0, n=50)
    names = ["sklearn:knn", "mlp1"]
    tasks = [TrainTask(name, noisy, digits.test, 0, 5, TrainConfig(steps=2)) for name in names]
    for order in (tasks, tasks[::-1]):
        with pytest.raises(InputError, match="must agree in model"):
            train_together(order)


def test_a_study_of_estimators_is_the_same_in_a_worker_process(module, tmp_path):
    name = module(OWN)
    base = {"dataset": "digits", "n": 100, "alpha": 1, "steps": 2, "n_val": 20}
    models = ["sklearn:forest", "sklearn:knn", f"{name}:bayes", f"{name}:Raises"]
    runs = [Run.of(**base, model=model, seed=1) for model in models]
    groups = group_runs(prepare(runs, None), None, study=runs, cores=2)
    assert [(len(group.runs), group.threads, group.device) for group in groups] == [(1, 1, "cpu")] * 4
    tables = [
        dilution.run(Study.of("own", runs), store=tmp_path / f"{n}.sqlite", execution=Execution(workers=n))
        for n in (0, 1)
    ]
    assert tables[0]["state"].tolist() == ["done"] * 3 + ["failed"]
    assert tables[0]["error"].iloc[-1].startswith(f"model is '{name}:Raises'; its fit raised ValueError")
    assert (tables[0]["steps_done"].dropna() == 0).all()
    columns = [
        "key", "state", "test_acc_at_best_clean_val", "test_acc_last", "val_acc_clean",
        "noise_rate_empirical", "group_size",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns])


def test_replaced_labels_are_one_row_per_image(digits):
    noisy = Dilution(digits.train, eta=0.3, n=300, label_mode="replaced")
    training, _ = noisy.hold_out(30)
    normalise = Normalise(training.data, training.clean_rows)
    weighted, plain = (
        estimators._example_table(training, normalise, weighted=weighted) for weighted in (True, False)
    )
    assert (weighted.weights == 1).all()
    np.testing.assert_array_equal(weighted.features, plain.features)
    np.testing.assert_array_equal(weighted.labels, plain.labels)
    result = train("sklearn:forest", noisy, test=digits.test)
    assert result.summary()["test_acc_at_best_clean_val"] > 0.7
    assert result.noise_summary.noise_rate_empirical == pytest.approx(0.3, abs=0.1)
