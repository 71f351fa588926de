"""Fitting to doubtful labels: methods, accuracy on clean labels, verified labels, the file."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution, refused, succeeded

from dilution import DataError, Execution, InputError, diagnose, fit, load_model
from dilution.data import Arrays
from dilution.fitting import learners
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.choice import Choice, Fitting
from dilution.fitting.forest import Forest
from dilution.fitting.learner_selection import select_learners
from dilution.fitting.learners import NetworkLearner
from dilution.utils.stage_log import StageLog

QUIET = Execution(executor="inline", progress=False)


def table(n=300, noise_rate=0.25, skew=False, classes=3, seed=0):
    """Return features, noisy labels and true labels of overlapping classes."""
    random = np.random.default_rng(seed)
    true = random.integers(classes, size=n)
    features = 2.5 * np.eye(classes)[true] + random.normal(size=(n, classes))
    shift = 1 if skew else random.integers(1, classes, size=n)
    labels = np.where(random.random(n) < noise_rate, (true + shift) % classes, true)
    return features, labels, true


def fitted(data, **options):
    return fit(data, execution=QUIET, **({"n_bootstrap": 10, "folds": 3} | options))


@pytest.fixture(scope="module")
def result():
    features, labels, _ = table()
    return fitted((features, labels))


@pytest.mark.trains
def test_the_model_is_more_often_right_than_the_labels(result):
    features, labels, true = table(n=1000, seed=1)
    predicted = result.predict(features).astype(int)
    assert (predicted == true).mean() > 0.85
    assert (labels == true).mean() < 0.8


@pytest.mark.trains
def test_clean_accuracy_is_reported_beside_raw_agreement_and_its_limit(result):
    features, _, true = table(n=2000, seed=1)
    accuracy = (result.predict(features).astype(int) == true).mean()
    clean, agreement = result.accuracy.clean, result.accuracy.agreement
    assert clean.low <= accuracy <= clean.high
    assert agreement.high < clean.low
    assert result.accuracy.largest_agreement.value == pytest.approx(0.75, abs=0.06)
    assert clean.percent() in result.answer
    assert any(
        agreement.percent() in sentence and result.accuracy.largest_agreement.percent() in sentence
        for sentence in result.details
    )


@pytest.mark.trains
def test_the_method_is_chosen_on_held_out_labels_and_named_with_the_reason(result):
    methods = result.methods
    assert set(methods["method"]) == {"plain", "forward", "prune", "reweight"}
    best = methods.loc[methods["loss"].idxmin(), "method"]
    assert result.method == best == methods.loc[methods["is_chosen"], "method"].item()
    assert f"Method: {best}" in result.details[0]
    assert all(f"{loss:.4f}" in result.details[0] for loss in methods["loss"])


@pytest.mark.trains
def test_the_file_keeps_the_model_to_the_bit(result, tmp_path):
    features = table(n=50, seed=2)[0]
    loaded = load_model(result.save(tmp_path / "model.dilution"))
    np.testing.assert_array_equal(loaded.predict_proba(features), result.predict_proba(features))
    assert loaded.method == result.method
    assert loaded.facts["n_examples"] == 300
    assert loaded.facts["clean_accuracy"] == result.accuracy.clean.to_dict()
    assert loaded.shares == result.model.shares


@pytest.mark.trains
@pytest.mark.usefixtures("first_budgets")
def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    features, labels, _ = table(n=60)
    first, again, other = (
        fitted((features, labels), method="prune", model="mlp1", seed=seed, folds=2, n_models=2)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.predict_proba(features), again.predict_proba(features))
    assert (first.predict_proba(features) != other.predict_proba(features)).any()


@pytest.mark.trains
def test_networks_of_an_average_differ():
    features, labels, _ = table(n=60)
    images = torch.from_numpy(features).float()[:, :, None, None]
    data = Arrays(images, torch.from_numpy(labels), ("a", "b", "c"))
    learner = NetworkLearner("mlp1", budgets=(1,))
    fitting = Fitting(data, np.full(60, -1), np.ones(60), [learner], 2, 0, lambda _: None)
    members, shares = fitting.refit(Choice(), 3)
    first, second, third = (member.probabilities(images) for member in members)
    assert shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (first != second).any()
    assert (first != third).any()
    assert (second != third).any()


@pytest.mark.trains
@pytest.mark.parametrize(
    ("method", "model"), [("forward", "mlp1"), ("prune", "sklearn:forest"), ("reweight", "sklearn:forest")]
)
def test_methods_learn_from_skewed_noise_better_than_from_the_labels_as_they_are(method, model):
    features, labels, _ = table(noise_rate=0.4, skew=True)
    new, _, true = table(n=1000, seed=1)
    accuracies = []
    for name in (method, "plain"):
        trained = fitted((features, labels), method=name, model=model, n_models=1, folds=2)
        assert trained.method == name
        accuracies.append((trained.predict(new).astype(int) == true).mean())
    assert accuracies[0] > accuracies[1] + 0.02
    assert accuracies[0] > 0.8


def learners_of(n, features, classes, model=None, dtype=np.float32):
    images = torch.from_numpy(np.zeros((n, features, 1, 1), dtype=dtype))
    arrays = Arrays(images, torch.arange(n) % classes)
    return [learner.name for learner in select_learners(model, arrays, None, "cpu")]


def test_tables_are_fitted_by_networks_trees_and_a_linear_model():
    assert learners_of(500, 4, 2) == ["mlp2", "sklearn:forest", "sklearn:logistic"]
    assert learners_of(2000, 4, 2) == ["mlp2", "sklearn:forest", "sklearn:boosting", "sklearn:logistic"]
    assert learners_of(2000, 4, 3) == ["mlp2", "sklearn:forest", "sklearn:logistic"]
    assert learners_of(6000, 1000, 3) == ["mlp2", "sklearn:forest"]
    assert learners_of(500, 4, 2, "sklearn:logistic") == ["sklearn:logistic"]
    assert learners_of(500, 4, 2, "mlp1") == ["mlp1"]
    assert learners_of(500, 4, 2, dtype=np.uint8) == ["mlp2"]


@pytest.mark.trains
@pytest.mark.parametrize(("model", "kind"), [("sklearn:forest", Forest), ("sklearn:boosting", BoostedTrees)])
@pytest.mark.usefixtures("small_forests")
def test_trees_alone_can_be_fitted(model, kind):
    features, labels, _ = table(n=150, classes=2)  # boosting has a tree per class above 2
    trained = fitted((features, labels), model=model, folds=2)
    assert [type(member) for member in trained.model.members] == [kind]
    assert trained.model.model == model
    assert "only networks" in trained.obstacles["forward"]


@pytest.mark.trains
@pytest.mark.usefixtures("first_budgets")
def test_images_are_fitted_by_a_convnet(monkeypatch):
    monkeypatch.setattr(learners, "_STEPS_PER_EPOCH", 10)
    random = np.random.default_rng(0)
    true = random.integers(2, size=120)
    images = random.integers(0, 100, (120, 8, 8)).astype(np.uint8)
    images[true == 1, :4] += 120
    labels = np.where(random.random(120) < 0.2, 1 - true, true)
    trained = fitted((images, labels), method="forward", folds=2)
    assert trained.model.model == "conv2"
    assert (trained.predict(images).astype(int) == true).mean() > 0.9


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_verified_labels_are_learned_in_place_of_the_given_ones():
    features, labels, true = table(n=150, noise_rate=0.5)
    verified = {str(row): str(true[row]) for row in range(100)}
    with_verified = fitted((features, labels), verified_labels=verified, model="sklearn:forest")
    new, _, new_true = table(n=1000, seed=1)
    assert with_verified.n_verified == 100
    assert "100 verified labels" in with_verified.details[-1]
    assert (with_verified.predict(new).astype(int) == new_true).mean() > 0.8


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_a_label_that_is_wrong_without_another_class_is_not_learned(tmp_path):
    features, labels, _ = table(90)
    path = tmp_path / "verified.csv"
    path.write_text("id,verified_label,verdict\n" + "".join(f"{row},,wrong\n" for row in range(20)))
    options = {"model": "sklearn:forest", "method": "plain"}
    left_out = fitted((features, labels), verified_labels=path, **options)
    weighted = fitted((features, labels), sample_weight=np.arange(90) >= 20, **options)
    np.testing.assert_array_equal(left_out.predict_proba(features), weighted.predict_proba(features))
    assert "20 examples are not learned: the label was found wrong without another class" in left_out.notes


@pytest.mark.trains
def test_verifying_the_most_doubtful_labels_makes_models_no_worse():
    """Labels that remain are right more often than labels as they came, which must not mislead the choice."""
    new, _, new_true = table(n=2000, seed=1)
    gains = []
    for seed in range(10, 15):
        features, labels, true = table(n=300, noise_rate=0.35, skew=True, seed=seed)
        without = fitted((features, labels), model="sklearn:logistic", n_bootstrap=2)
        doubtful = np.argsort(-without.diagnosis.fit.judge_labels(labels).p_wrong)[:50]
        verified = {str(row): str(true[row]) for row in doubtful}
        known = fitted((features, labels), model="sklearn:logistic", n_bootstrap=2, verified_labels=verified)
        own = [(result.predict(new).astype(int) == new_true).mean() for result in (without, known)]
        gains.append(own[1] - own[0])
    assert np.mean(gains) >= 0
    assert min(gains) > -0.03


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_a_diagnosis_of_the_user_is_used():
    features, labels, true = table(n=200)
    certain = np.full((200, 3), 0.001) + 0.997 * np.eye(3)[true]
    diagnosis = diagnose((features, labels), pred_probs=certain, n_bootstrap=5, execution=QUIET)
    trained = fitted((features, labels), diagnosis=diagnosis, method="prune", model="sklearn:forest")
    assert trained.diagnosis is diagnosis
    assert trained.n_verified == 0
    others = (features, labels[::-1].copy())
    with pytest.raises(InputError, match="are not the 200 labels to learn"):
        fitted(others, diagnosis=diagnosis)


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_verified_labels_of_a_diagnosis_are_learned():
    features, labels, true = table(n=200)
    certain = np.full((200, 3), 0.001) + 0.997 * np.eye(3)[true]
    verified = {str(row): str(true[row]) for row in range(30)}
    settings = {"pred_probs": certain, "n_bootstrap": 5, "execution": QUIET}
    diagnosis = diagnose((features, labels), verified_labels=verified, **settings)
    options = {"method": "plain", "model": "sklearn:forest"}
    alone = fitted((features, labels), diagnosis=diagnosis, **options)
    named = fitted((features, labels), diagnosis=diagnosis, verified_labels=verified, **options)
    np.testing.assert_array_equal(alone.predict_proba(features), named.predict_proba(features))
    assert alone.n_verified == named.n_verified == 30
    assert "the fit uses 30 verified labels of the diagnosis" in alone.notes


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_observed_labels_are_learned_where_true_ones_are_there_too():
    features, labels, true = table(n=200)
    arrays = Arrays(
        torch.from_numpy(features.astype(np.float32))[:, :, None, None],
        torch.from_numpy(true),
        ("0", "1", "2"),
        torch.from_numpy(labels),
    )
    from_both = fitted(arrays, model="sklearn:forest", method="plain")
    from_noisy = fitted((features, labels), model="sklearn:forest", method="plain")
    np.testing.assert_array_equal(from_both.predict_proba(features), from_noisy.predict_proba(features))


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_an_example_of_weight_zero_is_not_learned():
    features, labels, _ = table(n=200)
    spoiled, weights = labels.copy(), np.ones(200)
    spoiled[:50], weights[:50] = (labels[:50] + 1) % 3, 0
    trained = [
        fitted((features, y), model="sklearn:forest", method="plain", sample_weight=weights)
        for y in (labels, spoiled)
    ]
    new = table(n=200, seed=1)[0]
    difference = np.abs(trained[0].predict_proba(new) - trained[1].predict_proba(new)).mean()
    assert difference < 0.1  # the folds differ, and so may the budget


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_labels_that_are_noise_alone_are_said_to_be_so():
    features, labels, _ = table(n=200)
    shuffled = np.random.default_rng(0).permutation(labels)
    trained = fitted((features, shuffled), model="sklearn:forest")
    assert "no better than by their frequencies" in trained.answer
    assert trained.accuracy is None
    assert trained.method == "plain"


def test_few_examples_are_fitted_without_a_choice():
    features, labels, _ = table(n=8, classes=2)
    trained = fitted((features, labels), model="sklearn:forest", folds=5)
    assert trained.method == "plain"
    assert trained.accuracy is None
    assert "too few" in trained.answer
    with pytest.raises(InputError, match="too few examples to estimate the noise"):
        fitted((features, labels), model="sklearn:forest", method="prune")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "pruned"}, "Did you mean 'prune'"),
        ({"n_models": 0}, "n_models is 0"),
        ({"sample_weight": np.ones(5)}, r"sample_weight has shape \(5,\)"),
        ({"sample_weight": np.zeros(300)}, "not all 0"),
        (
            {"model": "sklearn:knn"},
            "fit knows 'sklearn:forest', 'sklearn:boosting', 'sklearn:logistic' and networks",
        ),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_arguments_are_checked_before_anything_is_trained(options, message):
    features, labels, _ = table()
    with pytest.raises(InputError, match=message):
        fitted((features, labels), **options)


def test_trees_are_not_fitted_to_images():
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    with pytest.raises(InputError, match="which is for tables, and the data are images"):
        fitted((images, np.arange(20) % 2), model="sklearn:forest")


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests", "first_budgets")
def test_stages_of_a_fit_name_the_model_and_how_many_there_are(monkeypatch):
    stages = []
    monkeypatch.setattr(StageLog, "begin", lambda _, stage: stages.append(stage))
    features, labels, _ = table(n=120)
    settings = {"folds": 3, "n_bootstrap": 2, "method": "plain", "execution": Execution(workers=0)}
    fit((features, labels), **settings)
    expected = [
        "fitting mlp2, 2 epochs, models 1 to 3 of 3",
        *[f"fitting sklearn:forest, model {number} of 3" for number in (1, 2, 3)],
        *[f"fitting sklearn:logistic, L2 penalty 1/3, model {number} of 3" for number in (1, 2, 3)],
        "estimating the noise",
        "fitting sklearn:forest, model 1 of 1",  # to all examples
    ]
    places = [stages.index(stage) for stage in expected]
    assert places == sorted(places)


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory):
    """Return the path of a CSV file with noisy labels, text and numbers."""
    features, labels, _ = table(n=200)
    frame = pd.DataFrame(features, columns=["a", "b", "c"]).round(4)
    frame["town"] = np.where(features[:, 0] > 1, "Ulm", "Bonn")
    frame["label"] = np.array(["red", "green", "blue"])[labels]
    path = tmp_path_factory.mktemp("doubtful") / "doubtful.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_fit_and_predict_on_the_command_line(doubtful, tmp_path):
    out = succeeded(
        dilution(
            "fit", doubtful, "--out", "m.dilution", "--model", "sklearn:forest", "--folds", 3, cwd=tmp_path
        )
    )
    assert "of new examples, as estimated from noisy labels" in out
    assert "Method: " in out
    assert "model: m.dilution" in out
    pd.read_csv(doubtful).drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    succeeded(dilution("predict", "m.dilution", "new.csv", "--out", "predictions.csv", cwd=tmp_path))
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert len(predictions) == 200
    assert set(predictions["label"]) <= {"red", "green", "blue"}


def test_fit_replaces_no_foreign_file(doubtful, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused(dilution("fit", doubtful, "--out", "notes.txt", cwd=tmp_path), "notes.txt", "--overwrite")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_fit_names_a_missing_file(tmp_path):
    refused(dilution("fit", "missing.csv", cwd=tmp_path), "missing.csv")


def test_a_damaged_model_is_refused(result_file):
    content = bytearray(result_file.read_bytes())
    content[len(content) // 2] ^= 1
    result_file.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_model(result_file)


@pytest.fixture
def result_file(tmp_path):
    features, labels, _ = table(n=8, classes=2)
    trained = fitted((features, labels), model="sklearn:forest")
    assert replace(trained, name="x").name == "x"
    return trained.save(tmp_path / "model.dilution")
