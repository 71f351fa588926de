"""Learners that take no steps: the same examples, the same accuracies as by hand, honest errors."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

import dilution
from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.noise import Dilution, structured
from dilution.study import Run, Study
from dilution.study.planner import plan
from dilution.study.prepare import prepare
from dilution.training import (
    ESTIMATORS,
    Task,
    TrainConfig,
    estimators,
    kind_of,
    train,
    train_together,
)
from dilution.training.evaluation import Normalise

pytestmark = pytest.mark.usefixtures("one_thread")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def features(data, rows, prepare):
    return prepare(data.take(rows)).flatten(1).numpy()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_learner_learns_under_noise_and_reports_one_accuracy(name, digits):
    noisy = Dilution(digits.train, 2, n=400, seed=1)
    result = train(name, noisy, test=digits.test)
    said = result.summary()
    assert said["test_acc_at_best_clean_val"] > 0.6
    assert (
        said["test_acc_last"]
        == said["test_acc_at_best_clean_val"]
        == said["test_acc_at_best_noisy_val"]
        == said["test_acc_max"]
    )
    assert said["steps_done"] == 0
    assert (result.n_training, result.n_validation, result.n_test) == (360, 40, 360)
    training, _ = noisy.hold_out(40)
    assert result.noise_summary.noise_rate_empirical == training.noise_summary().noise_rate_empirical
    shares = result.predict(digits.test)
    assert shares.sum(dim=1).allclose(torch.ones(360))
    right = (shares.argmax(dim=1) == digits.test.labels).double().mean()
    assert float(right) == pytest.approx(said["test_acc_at_best_clean_val"])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_seed_gives_the_same_result_and_nothing_global_changes(name, digits):
    noisy = Dilution(digits.train, 1, n=100)
    np.random.seed(1)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = train(name, noisy, test=digits.test, seed=3)
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    again = train(name, noisy, test=digits.test, seed=3)
    assert torch.equal(first.predict(digits.test), again.predict(digits.test))


def test_the_forest_draws_from_the_seed(digits):
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
    prepare = Normalise(training.data, training.clean_rows)
    index = torch.arange(len(training))
    plain = estimators._examples(training, prepare, weighted=False)
    images = prepare(training.images(index)).flatten(1).numpy()
    np.testing.assert_array_equal(plain.features, images)
    np.testing.assert_array_equal(plain.labels, training.labels(index).numpy())
    assert plain.weights is None
    pooled = estimators._examples(training, prepare, weighted=True)
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
    prepare = Normalise(training.data, training.clean_rows)
    index = torch.arange(len(training))
    x, y = prepare(training.images(index)).flatten(1).numpy(), training.labels(index).numpy()
    aside = features(held_out.data, held_out.clean_rows, prepare)
    truth = held_out.data.labels[held_out.clean_rows].numpy()
    models = [
        LogisticRegression(C=c / 4, max_iter=1000, tol=1e-6).fit(x, y) for c in (1e-4, 1e-3, 1e-2, 1e-1)
    ]
    best = max(models, key=lambda model: model.score(aside, truth))  # the first of equals
    result = train("sklearn:logistic", noisy, test=digits.test, n_val=20)
    wanted = best.predict_proba(features(digits.test, torch.arange(360), prepare))
    np.testing.assert_allclose(result.predict(digits.test).numpy(), wanted, atol=0.01)


def test_neighbours_vote_with_all_labels_of_whole_images(digits):
    noisy = Dilution(digits.train, 4, n=200)
    training, held_out = noisy.hold_out(20)
    prepare = Normalise(training.data, training.clean_rows)
    x = prepare(training.data.take(training.clean_rows)).flatten(1)
    votes = training.histogram(torch.arange(training.n)).double()

    def shares(arrays, rows, k):
        apart = torch.cdist(prepare(arrays.take(rows)).flatten(1), x)
        return votes[apart.topk(k, largest=False).indices].mean(dim=1) / 5

    truth = held_out.data.labels[held_out.clean_rows]
    found = {
        k: float((shares(held_out.data, held_out.clean_rows, k).argmax(1) == truth).double().mean())
        for k in (1, 5, 20, 50)
    }
    best = max(found, key=found.get)
    result = train("sklearn:knn", noisy, test=digits.test, n_val=20)
    wanted = shares(digits.test, torch.arange(360), best)
    assert result.summary()["val_acc_clean"] == pytest.approx(found[best], abs=0.051)  # ties may differ
    assert float((result.predict(digits.test) - wanted).abs().mean()) < 1e-3


def test_classes_without_a_label_get_no_probability_and_shift_no_other():
    labels = torch.tensor([0, 1, 3, 4, 5, 6]).repeat(10)
    images = torch.zeros(60, 1, 2, 4, dtype=torch.uint8)
    images.view(60, 8)[torch.arange(60), labels] = 255
    plain = Arrays(images, labels, tuple("abcdefgh"))
    for name in ESTIMATORS:
        result = train(name, Dilution(plain, 0), test=plain, n_val=6)
        shares = result.predict(plain)
        assert shares.shape == (60, 8)
        assert float(shares[:, [2, 7]].max()) < 1e-6
        if name != "sklearn:boosting":  # leaves of 20 rows cannot tell classes of 9
            assert result.summary()["test_acc_at_best_clean_val"] > 0.9


def test_more_examples_than_memory_holds_are_refused_before_they_are_made(digits):
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
            self.shares = np.bincount(y, minlength=self.classes) / len(y)

        def predict_proba(self, X):
            return np.tile(self.shares, (len(X), 1))

    class Raises(Prior):
        def fit(self, X, y):
            raise ValueError("I will not")

    class RaisesLater(Prior):
        def predict_proba(self, X):
            raise ValueError("nor will I")

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


def test_classifiers_of_ones_own_are_trained(module, digits):
    name = module(OWN)
    noisy = Dilution(digits.train, 1, n=300)
    assert train(f"{name}:bayes", noisy, test=digits.test).summary()["test_acc_at_best_clean_val"] > 0.7
    first, again, other = (train(f"{name}:forest", noisy, test=digits.test, seed=s) for s in (0, 0, 1))
    assert first.summary()["test_acc_at_best_clean_val"] > 0.4
    assert torch.equal(first.predict(digits.test), again.predict(digits.test))
    assert not torch.equal(first.predict(digits.test), other.predict(digits.test))
    prior = train(f"{name}:Prior", noisy, test=digits.test)
    training, _ = noisy.hold_out(30)
    shares = training.labels(torch.arange(len(training))).bincount(minlength=10) / len(training)
    torch.testing.assert_close(prior.predict(digits.test)[0], shares.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Raises", "its fit raised ValueError: I will not"),
        ("RaisesLater", "its predict_proba raised ValueError: nor will I"),
        ("Thin", r"predict_proba returned shape \(5, 1\) for 5 images; it must"),
        ("Empty", "must return finite probabilities"),
        ("decides", "returned a LinearSVC; it must return a torch.nn.Module, or an object with fit and"),
        ("ready", "must be a function or class"),
    ],
)
def test_a_classifier_that_breaks_a_rule_is_told_which(module, digits, name, said):
    own = f"{module(OWN)}:{name}"
    with pytest.raises(InputError, match=said):
        train(own, Dilution(digits.train, 0, n=50), test=digits.test)


def test_an_unknown_learner_names_the_nearest_one():
    with pytest.raises(
        InputError, match=r"'sklearn:forrest' is not a learner\. Did you mean 'sklearn:forest'"
    ):
        Run.of(dataset="digits", n=100, alpha=0, model="sklearn:forrest")
    with pytest.raises(InputError, match=r"'forest' is not a network\. Did you mean 'sklearn:forest'"):
        kind_of("forest", (1, 8, 8), 10)


def test_learners_and_networks_do_not_train_together(digits):
    noisy = Dilution(digits.train, 0, n=50)
    names = ["sklearn:knn", "mlp1"]
    tasks = [Task(name, noisy, digits.test, 0, 5, TrainConfig(steps=2)) for name in names]
    for order in (tasks, tasks[::-1]):
        with pytest.raises(InputError, match="must agree in network"):
            train_together(order)


def test_studies_take_learners_one_at_a_time_and_measure_nothing(module, tmp_path):
    name = module(OWN)
    base = {"dataset": "digits", "n": 100, "alpha": 1, "steps": 2, "n_val": 20}
    networks = ["sklearn:forest", "sklearn:knn", f"{name}:bayes", f"{name}:Raises"]
    runs = [Run.of(**base, model=each, seed=seed) for each in networks for seed in range(2)]

    def measure(probe):
        raise AssertionError(probe)

    said = []
    ready = prepare(runs, None)
    packs = plan(ready, None, study=ready, cores=2, measure=measure, say=said.append)
    assert [(len(pack.runs), pack.threads, pack.device) for pack in packs] == [(1, 1, "cpu")] * 8
    assert said[0] == "sklearn:forest, 2 runs: one at a time in 2 processes; it has no steps to measure"
    tables = [dilution.run(Study.of("own", runs), store=tmp_path / f"{n}.sqlite", workers=n) for n in (0, 2)]
    assert tables[0]["state"].tolist() == ["done"] * 6 + ["failed"] * 2
    assert tables[0]["error"].iloc[-1].startswith(f"model is '{name}:Raises'; its fit raised ValueError")
    assert (tables[0]["steps_done"].dropna() == 0).all()
    kept = [
        "key",
        "state",
        "test_acc_at_best_clean_val",
        "test_acc_last",
        "val_acc_clean",
        "noise_rate_empirical",
        "group_size",
    ]
    pd.testing.assert_frame_equal(tables[0][kept], tables[1][kept])


def test_replaced_labels_are_one_row_a_image(digits):
    noisy = Dilution(digits.train, eta=0.3, n=300, label_mode="replaced")
    training, _ = noisy.hold_out(30)
    prepare = Normalise(training.data, training.clean_rows)
    weighted, plain = (estimators._examples(training, prepare, weighted=each) for each in (True, False))
    assert (weighted.weights == 1).all()
    np.testing.assert_array_equal(weighted.features, plain.features)
    np.testing.assert_array_equal(weighted.labels, plain.labels)
    result = train("sklearn:forest", noisy, test=digits.test)
    assert result.summary()["test_acc_at_best_clean_val"] > 0.7
    assert result.noise_summary.noise_rate_empirical == pytest.approx(0.3, abs=0.1)
