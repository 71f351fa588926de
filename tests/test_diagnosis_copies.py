"""Copies in a diagnosis: they share folds, are drawn together, and their labels tell of the noise."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from noisy_predictions import noisy_predictions, transition_at

import dilution
from dilution import Execution
from dilution.data import Arrays
from dilution.data.duplicates import group_copies
from dilution.data.splits import spread_classes
from dilution.diagnosis import diagnose
from dilution.diagnosis.bootstrap import bootstrap, interval, sample_weights
from dilution.diagnosis.copies import NO_COPIES, clustered_share, copy_evidence
from dilution.diagnosis.cross_validation import CrossValidation, cross_validate
from dilution.diagnosis.explain import _copies
from dilution.diagnosis.goodness_of_fit import class_conditional_p_value, has_learned
from dilution.diagnosis.grouped_error import standard_error
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit, fit_noise
from dilution.diagnosis.verified_labels import verified_noise_rate
from dilution.errors import InputError
from dilution.utils.estimate import Estimate

INLINE = Execution(workers=0)
CLASSES = 3


def perfect_fit(transition, true):
    """Return the fit of models that know each true class."""
    q = np.eye(len(transition))[true]
    prior = np.bincount(true, minlength=len(transition)) / len(true)
    return NoiseFit(transition, 1.0, np.zeros(len(transition)), q, prior, transition)


def draw_labels(transition, true, random):
    cumulated = np.cumsum(transition, axis=1)[true]
    return (random.random(len(true))[:, None] > cumulated).sum(axis=1).clip(0, len(transition) - 1)


SKEWED = np.array([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.4, 0.2, 0.4]])


@pytest.mark.parametrize("transition", [transition_at(0.3, classes=3), SKEWED], ids=["uniform", "skewed"])
@pytest.mark.parametrize("times", [2, 5])
def test_disagreeing_copies_give_the_noise_rate_of_their_labels(transition, times):
    random = np.random.default_rng(0)
    true = np.repeat(random.integers(3, size=20_000), times)
    copies = np.repeat(np.arange(20_000), times)
    labels = draw_labels(transition, true, random)
    # The fit is twice as sure of the labels as it should be; its pattern is right.
    sure = np.eye(3) + (transition - np.eye(3)) / 2
    evidence = copy_evidence(copies, labels, perfect_fit(sure, true), [], None, 0)
    assert evidence.n_copies == 20_000 * (times - 1)
    assert evidence.n_groups == 20_000
    assert evidence.noise_rate.value == pytest.approx((labels != true).mean(), abs=0.01)


@pytest.mark.trains
def test_the_interval_of_the_copies_has_its_level():
    """The bootstrap draws groups, whose labels depend on each other by the true class."""
    transition, covered, widths = transition_at(0.3, classes=3), 0, []
    for seed in range(120):
        random = np.random.default_rng(seed)
        true = np.repeat(random.integers(3, size=150), 4)
        copies = np.repeat(np.arange(150), 4)
        labels = draw_labels(transition, true, random)
        fit = perfect_fit(transition, true)
        rate = copy_evidence(copies, labels, fit, [fit] * 50, copies, seed).noise_rate
        covered += rate.low <= 0.3 <= rate.high
        widths.append(rate.high - rate.low)
    assert 105 <= covered <= 119  # 114 on average, give or take 2.4
    assert 0.05 < np.mean(widths) < 0.12


@pytest.mark.parametrize("n_groups", [5, 30, 150])
@pytest.mark.parametrize("rate", [0.02, 0.3])
@pytest.mark.parametrize("spread", [False, True], ids=["one rate", "a rate per group"])
def test_the_interval_of_disagreeing_pairs_has_its_level_and_lies_in_0_to_1(rate, n_groups, spread):
    random, classes, n_samples = np.random.default_rng(5), 4, 400
    a, b = rate / 0.3, (1 - rate) / 0.3
    variance = a * b / ((a + b) ** 2 * (a + b + 1)) if spread else 0.0
    square = rate**2 + variance
    truth = 2 * rate - square - square / (classes - 1)
    covered = 0
    for _ in range(n_samples):
        sizes = random.integers(2, 6, n_groups)
        copies = np.repeat(np.arange(n_groups), sizes)
        rates = (random.beta(a, b, n_groups) if spread else np.full(n_groups, rate))[copies]
        labels = np.where(random.random(len(copies)) < rates, random.integers(1, classes, len(copies)), 0)
        counts = np.bincount(copies * classes + labels, minlength=n_groups * classes).reshape(-1, classes)
        shares = 1 - (counts * (counts - 1)).sum(axis=1) / (sizes * (sizes - 1))
        bounds = clustered_share(shares, sizes - 1.0, np.arange(n_groups))
        assert 0 <= bounds.low <= bounds.value <= bounds.high <= 1
        covered += bounds.low <= truth <= bounds.high
    assert covered >= 0.92 * n_samples  # few groups: more than 95 %, since their variance is hardly known
    assert covered <= 0.98 * n_samples or n_groups < 100


def test_the_interval_of_disagreeing_pairs_is_wilsons_where_each_pair_is_a_cluster():
    n, wrong = 4000, 900
    rate = clustered_share((np.arange(n) < wrong) * 1.0, np.ones(n), np.arange(n))
    wilson = verified_noise_rate(np.zeros(n, dtype=np.int64), (np.arange(n) < wrong).astype(np.int64))
    assert (rate.low, rate.value, rate.high) == pytest.approx(
        (wilson.low, wilson.value, wilson.high), abs=1e-4
    )
    by_five = clustered_share(np.repeat(np.arange(n // 5) < 180, 5) * 1.0, np.ones(n), np.arange(n) // 5)
    assert by_five.high - by_five.low == pytest.approx(5**0.5 * (rate.high - rate.low), rel=0.01)
    assert (clustered_share(np.ones(3), np.ones(3), np.zeros(3)).low, by_five.value) == (0, 0.225)


def test_few_copies_and_few_bootstrap_samples_give_shares_and_rates_from_0_to_1():
    transition = transition_at(0.3, classes=3)
    for seed in range(30):
        random = np.random.default_rng(seed)
        true = np.repeat(random.integers(3, size=22), 2)
        copies = np.repeat(np.arange(22), 2)
        labels = draw_labels(transition_at([0.02, 0.6][seed % 2], classes=3), true, random)
        fit = perfect_fit(transition, true)
        evidence = copy_evidence(copies, labels, fit, [fit] * 3, copies, seed)
        for estimate in (evidence.disagreement, evidence.noise_rate):
            assert np.isnan(estimate.value) or 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_copies_of_one_label_and_no_copies_are_no_evidence():
    labels = np.arange(60) % 3
    fit = perfect_fit(np.eye(3), labels)
    assert copy_evidence(np.arange(60), labels, fit, [fit] * 3, None, 0) == NO_COPIES
    doubled = copy_evidence(
        np.arange(120) % 60, np.tile(labels, 2), perfect_fit(np.eye(3), np.tile(labels, 2)), [], None, 0
    )
    assert doubled.disagreement.value == 0
    assert np.isnan(doubled.noise_rate.value)
    assert doubled.n_minority == 0


def test_disagreement_is_that_of_pairs_and_groups_count_by_their_copies():
    copies = np.array([0, 0, 0, 1, 1, 2])
    labels = np.array([0, 0, 1, 1, 2, 0])
    fit = perfect_fit(transition_at(0.2, classes=3), labels)
    evidence = copy_evidence(copies, labels, fit, [], None, 0)
    assert (evidence.n_copies, evidence.n_groups, evidence.n_minority) == (3, 2, 2)
    assert evidence.disagreement.value == pytest.approx((2 * 2 / 3 + 1 * 1) / 3)
    assert np.isnan(evidence.noise_rate.value)  # two groups are too few


def test_disagreement_beyond_any_noise_gives_the_rate_of_no_information():
    copies, labels = np.repeat(np.arange(30), 2), np.tile([0, 1], 30)
    fit = perfect_fit(transition_at(0.1, classes=3), labels)
    rate = copy_evidence(copies, labels, fit, [], None, 0).noise_rate.value
    assert rate == pytest.approx(2 / 3, abs=1e-6)


def test_groups_are_drawn_as_a_whole():
    groups = np.repeat(np.arange(40), np.arange(40) % 4 + 1)
    for weights in sample_weights(len(groups), groups, 5, 0):
        per_group = [set(weights[groups == group]) for group in range(40)]
        assert all(len(values) == 1 for values in per_group)
        assert sum(next(iter(values)) for values in per_group) == 40
    alone = [list(weights) for weights in sample_weights(30, None, 3, 7)]
    assert alone == [list(weights) for weights in sample_weights(30, np.arange(30), 3, 7)]


@pytest.mark.trains
def test_five_copies_of_each_example_leave_estimate_and_interval_as_they_are():
    predictions, _ = noisy_predictions(transition_at(0.3), n=600)
    copies = np.repeat(np.arange(600), 5)
    copied = HeldOutPredictions(
        predictions.pred_probs[copies], predictions.labels[copies], np.full(3000, -1), np.full(3000, 0.2)
    )
    rates = []
    for sample, groups in ((predictions, None), (copied, copies)):
        fit = fit_noise(sample)
        fits = bootstrap(sample, fit, samples=40, groups=groups)
        rates.append(interval(fit, fits, lambda each: each.noise_rate))
    assert rates[1].value == pytest.approx(rates[0].value, abs=0.01)
    assert rates[1].high - rates[1].low == pytest.approx(rates[0].high - rates[0].low, rel=0.1)


def test_copies_do_not_make_a_test_more_significant():
    random = np.random.default_rng(0)
    values, groups = random.normal(size=100), np.repeat(np.arange(100), 5)
    assert standard_error(np.repeat(values, 5), groups) == pytest.approx(standard_error(values))
    assert standard_error(values, np.arange(100)) == pytest.approx(standard_error(values))
    labels = np.arange(60) % 2
    right = np.where(np.arange(60) % 5 < 3, 0.55, 0.45)  # of the label; 0.5 is its frequency
    pred_probs = np.where(np.arange(2) == labels[:, None], right[:, None], 1 - right[:, None])
    rows = np.repeat(np.arange(60), 50)
    assert not has_learned(pred_probs, labels)
    assert has_learned(pred_probs[rows], labels[rows])
    assert not has_learned(pred_probs[rows], labels[rows], rows)
    good, _ = noisy_predictions(transition_at(0.3), n=1000)
    fit = fit_noise(good)
    once = class_conditional_p_value(fit, good.labels)
    rows = np.repeat(np.arange(1000), 20)
    many = replace(fit, class_probs=fit.class_probs[rows])
    assert class_conditional_p_value(many, good.labels[rows]) < 1e-6 < once
    assert class_conditional_p_value(many, good.labels[rows], rows) > 1e-3


def made_table(times, *, copied, noise_rate=0.26, n=600, seed=0):
    """Return a table with copies, whose labels are copied or given anew, and the true noise rate."""
    random = np.random.default_rng(seed)
    true = random.integers(0, CLASSES, n)
    features = random.normal(size=(n, 5)) * 0.8
    features[:, 0] += 2.5 * (true == 1)
    features[:, 1] += 2.5 * (true == 2)

    def label():
        is_wrong = random.random(n) < noise_rate
        return np.where(is_wrong, (true + random.integers(1, CLASSES, n)) % CLASSES, true)

    first = label()
    labels = np.stack([first if copied else label() for _ in range(times)])
    frame = pd.DataFrame(np.tile(features.round(4), (times, 1)), columns=list("abcde"))
    frame["label"] = labels.ravel()
    return frame.sample(frac=1, random_state=seed), float((labels != true).mean())


@pytest.mark.trains
@pytest.mark.parametrize(("times", "copied"), [(5, True), (2, False)], ids=["copied", "two answers"])
def test_the_interval_holds_the_noise_rate_of_a_table_with_copies(tmp_path, capsys, times, copied):
    frame, rate = made_table(times, copied=copied)
    frame.to_csv(tmp_path / "t.csv", index=False)
    diagnosis = diagnose(tmp_path / "t.csv", repeats=1, n_bootstrap=30, execution=INLINE)
    assert diagnosis.noise_rate.low <= rate <= diagnosis.noise_rate.high
    n_copies = 600 * (times - 1)
    assert (
        f"note: {n_copies:,} of the {600 * times:,} rows are copies of other rows" in capsys.readouterr().err
    )
    (sentence,) = (text for text in diagnosis.details if "copies" in text)
    assert sentence.startswith(f"{n_copies:,} copies of 600 examples share their fold")
    assert diagnosis.to_dict()["copies"]["n_copies"] == n_copies
    assert diagnosis.to_dict()["n_groups"] == 600
    evidence = diagnosis.copies
    if copied:
        assert evidence.disagreement.value == 0
        assert "their labels never disagree" in sentence
    else:
        assert evidence.noise_rate.low <= rate <= evidence.noise_rate.high
        assert f"which puts the noise rate at {evidence.noise_rate.text('.3f')}" in sentence


def train_rows(monkeypatch, data, **settings):
    """Return the rows that each model of a cross-validation trains on, and those it predicts."""
    folds = []

    class Trainer:
        workers = 0

        def __init__(self, data, *_):
            self.classes = len(data.classes)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def predict(self, trainings):
            folds.extend(trainings)
            return [
                np.full((len(fold.held_out_rows), self.classes), 0.5, dtype=np.float32) for fold in trainings
            ]

    monkeypatch.setattr("dilution.diagnosis.cross_validation.FoldTrainer", Trainer)
    cross_validate(data, model="mlp1", execution=INLINE, **settings)
    return folds


def test_every_model_of_a_cross_validation_predicts_groups_that_it_did_not_see(monkeypatch):
    groups = torch.arange(90) % 17
    data = Arrays(torch.arange(90.0)[:, None, None, None], torch.arange(90) % 2, groups=groups)
    folds = train_rows(monkeypatch, data, folds=5, repeats=2)
    assert len(folds) > 10
    for fold in folds:
        assert not set(groups[fold.train_rows].tolist()) & set(groups[fold.held_out_rows].tolist())
    copies = Arrays(torch.arange(90)[:, None, None, None] % 30 / 2, torch.arange(90) % 2)
    for fold in train_rows(monkeypatch, copies, folds=3, repeats=1):
        assert not set(fold.train_rows % 30) & set(fold.held_out_rows % 30)


def test_a_pass_over_copies_counts_as_many_passes_over_the_examples(monkeypatch):
    images = torch.rand(4000, 1, 1, 1, generator=torch.manual_seed(0))
    once = Arrays(images, torch.arange(4000) % 2)
    five = Arrays(images.repeat(5, 1, 1, 1), (torch.arange(4000) % 2).repeat(5))
    steps = [
        {fold.config.steps for fold in train_rows(monkeypatch, data, repeats=1, n_distinct=4000)}
        for data in (once, five)
    ]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("grouped", [False, True])
def test_the_models_of_each_fold_have_seen_every_class(monkeypatch, grouped):
    """A rare class whose examples would lie in one fold alone is spread over two."""
    for seed in range(25):
        labels = torch.arange(60) % 2
        labels[torch.randperm(60, generator=torch.manual_seed(seed))[: 6 if grouped else 2]] = 2
        groups = torch.where(labels == 2, 100 + torch.cumsum(labels == 2, 0) % 2, torch.arange(60) // 2)
        images = torch.arange(60.0)[:, None, None, None]
        data = Arrays(images, labels, ("a", "b", "c"), groups=groups if grouped else None)
        for fold in train_rows(monkeypatch, data, folds=5, repeats=1, seed=seed):
            assert set(labels[fold.train_rows].tolist()) == {0, 1, 2}
            if grouped:
                assert not set(groups[fold.train_rows].tolist()) & set(groups[fold.held_out_rows].tolist())


def test_folds_in_which_no_class_lies_alone_stay_as_they_are():
    random = np.random.default_rng(0)
    part_of, labels = random.integers(0, 5, 200), random.integers(0, 4, 200)
    assert spread_classes(part_of, labels) is part_of
    labels[:2], part_of[:2] = 4, 3
    spread = spread_classes(part_of, labels)
    assert (spread != part_of).sum() == 1
    assert len(set(spread[:2])) == 2


def test_a_class_that_is_one_group_is_refused():
    labels = torch.cat([torch.zeros(40), torch.ones(10)]).long()
    groups = torch.where(labels == 1, 99, torch.arange(50))
    data = Arrays(torch.arange(50.0)[:, None, None, None], labels, ("a", "b"), groups=groups)
    with pytest.raises(InputError, match="all examples of class 'b' are one group"):
        cross_validate(data, model="logistic", execution=INLINE)


def test_too_few_groups_for_the_folds_are_refused():
    data = Arrays(torch.arange(90)[:, None, None, None] % 7 / 2, torch.arange(90) % 2)
    with pytest.raises(InputError, match=r"the 90 examples are 7 groups.*5 folds needs at least 10 groups"):
        cross_validate(data, execution=INLINE)


@pytest.fixture
def short(monkeypatch):
    """Replace the trainings by predictions of the labels themselves, and return the data that were passed."""
    passed = []

    def predict(data, **settings):
        passed.append((data, settings))
        probs = np.full((len(data), len(data.classes)), 0.1)
        probs[np.arange(len(data)), data.labels] = 0.8
        return CrossValidation(probs / probs.sum(axis=1, keepdims=True), "mlp1", 5, 2, 0.3, 1.0)

    monkeypatch.setattr("dilution.diagnosis.held_out.cross_validate", predict)
    return passed


def test_groups_are_a_column_a_file_or_an_array(tmp_path, short):
    rows = [f"{number / 3:.4f},{'ab'[number % 2]},p{number // 4}" for number in range(200)]
    (tmp_path / "t.csv").write_text("size,label,patient\n" + "\n".join(rows) + "\n")
    (tmp_path / "plain.csv").write_text(
        "size,label\n" + "\n".join(row.rsplit(",", 1)[0] for row in rows) + "\n"
    )
    lines = [f"row {number + 2},p{number // 4}" for number in range(200)]
    (tmp_path / "groups.csv").write_text("id,patient\n" + "\n".join(lines) + "\n")
    for data, group in (
        (tmp_path / "t.csv", "patient"),
        (f"{tmp_path / 't.csv'}#label", "patient"),
        (tmp_path / "plain.csv", tmp_path / "groups.csv"),
        (tmp_path / "plain.csv", str(tmp_path / "groups.csv")),
        (tmp_path / "plain.csv", np.arange(200) // 4),
        (tmp_path / "plain.csv", pd.Series([f"p{number // 4}" for number in range(200)])),
    ):
        diagnosis = diagnose(data, group=group, n_bootstrap=20, execution=Execution(progress=False))
        arrays, settings = short.pop()
        np.testing.assert_array_equal(arrays.split_groups, np.arange(200) // 4)
        assert arrays.shape == (1, 1, 1)
        assert settings["n_distinct"] == 200  # patients are no copies
        assert diagnosis.n_independent == 50
        assert diagnosis.copies == NO_COPIES
        assert any("200 examples are of 50 groups of" in note for note in diagnosis.notes)


@pytest.mark.parametrize("n_different", [1, 2])
def test_data_that_load_takes_with_a_note_are_diagnosed_with_this_note(tmp_path, short, n_different):
    """All examples are equal, or there is one group of copies per class: no fold could keep them together."""
    rows = [f"{number % n_different},{'ab'[number % 2]}" for number in range(60)]
    (tmp_path / "t.csv").write_text("size,label\n" + "\n".join(rows) + "\n")
    note = {1: "all 60 rows are equal", 2: "copies lie on both sides of every split"}[n_different]
    (loaded,) = (line for line in dilution.load(tmp_path / "t.csv").notes if note in line)
    diagnosis = diagnose(tmp_path / "t.csv", n_bootstrap=20, execution=Execution(progress=False))
    assert loaded in diagnosis.notes
    ((arrays, settings),) = short
    assert arrays.split_groups is None
    assert settings["n_distinct"] == 60
    assert diagnosis.copies == NO_COPIES


def test_copies_that_no_fold_could_keep_together_are_divided_among_folds(monkeypatch):
    data = Arrays((torch.arange(60) % 2).float()[:, None, None, None], torch.arange(60) % 2)
    grouped, (note,) = group_copies(data)
    assert "60 rows are only 2 different ones" in note
    assert len(train_rows(monkeypatch, grouped, folds=5, repeats=1)) > 5


def test_groups_that_do_not_fit_are_refused(tmp_path):
    frame, _ = made_table(1, copied=True, n=40)
    path = Path(tmp_path / "t.csv")
    frame.to_csv(path, index=False)
    wrong = tmp_path / "g.csv"
    with pytest.raises(InputError, match="'doctor' is not a column"):
        diagnose(path, group="doctor")
    with pytest.raises(InputError, match="group is 'doctor', which is no file, and digits is no table"):
        diagnose("digits", group="doctor")
    with pytest.raises(InputError, match=r"group has shape \(3,\) for 40 examples"):
        diagnose(path, group=[1, 2, 3])
    wrong.write_text("id,group\nrow 99,a\n")
    with pytest.raises(InputError, match="names the group of 'row 99', which is no example"):
        diagnose(path, group=wrong)
    wrong.write_text("id,group\nrow 2,a\nrow 3,b\nrow 2, b \n")
    with pytest.raises(
        InputError, match=r"g\.csv: 'row 2' has two groups, 'a' \(row 2\) and ' b ' \(row 4\)"
    ):
        diagnose(path, group=wrong)
    wrong.write_text("name,group\nrow 2,a\n")
    with pytest.raises(
        InputError, match="has the columns 'name', 'group'; a file of groups has the columns 'id'"
    ):
        diagnose(path, group=wrong)
    with pytest.raises(InputError, match=r"group is .*g\.csv'; runs open data by name"):
        dilution.plan(path, target=0.9, alpha=1, group=str(wrong))
    with pytest.raises(InputError, match="'doctor' is not a column"):
        dilution.advise(path, group="doctor")


@pytest.mark.parametrize(
    ("n_copies", "n_groups", "start"),
    [
        (1, 1, "1 copy of an example shares its fold, and"),
        (3, 1, "3 copies of an example share its fold, and"),
        (3, 2, "3 copies of 2 examples share their fold, and"),
    ],
)
def test_the_sentence_on_copies_agrees_with_their_number(n_copies, n_groups, start):
    copies = SimpleNamespace(n_copies=n_copies, n_groups=n_groups, disagreement=Estimate(0.0, 0.0, 0.5))
    assert _copies(SimpleNamespace(copies=copies)).startswith(start)
