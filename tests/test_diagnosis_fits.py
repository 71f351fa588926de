"""A diagnosis of many classes: which fit it has, and files that open."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from noisy_predictions import noisy_predictions, transition_at

import dilution
from dilution.data import Arrays, UnsplitData
from dilution.diagnosis import fits, write_diagnosis
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.diagnosis.diagnose import diagnose_predictions
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit

CLASSES, PER_CLASS = 1000, 4


def diagnosis_of(predictions, names, samples=3, copies=None):
    n = len(predictions.labels)
    images = torch.zeros(n, 1, 1, 2, dtype=torch.uint8)
    noisy = Arrays(images, torch.from_numpy(predictions.labels), tuple(names))
    held_out = CrossValidation(predictions.pred_probs, "mlp2", 4, 8, 1.0, 1.6)
    return diagnose_predictions(
        "mine", UnsplitData(noisy), noisy, held_out, np.full(n, -1), samples, 0, float("nan"), copies
    )


@pytest.fixture(scope="module")
def many():
    predictions, true = noisy_predictions(
        transition_at(0.1, classes=CLASSES), n=CLASSES * PER_CLASS, separation=5.0
    )
    return diagnosis_of(
        predictions, [f"{number} {'long' * 2500 * (number < 10)}" for number in range(CLASSES)]
    ), true


@pytest.mark.parametrize(("limit", "kind"), [(20, NoiseFit), (19, PooledFit)])
def test_up_to_the_limit_every_entry_of_t_is_fitted(monkeypatch, limit, kind):
    monkeypatch.setattr(fits, "MAX_CLASSES", limit)
    predictions, _ = noisy_predictions(transition_at(0.1, classes=20), n=120)
    diagnosis = diagnosis_of(predictions, [str(number) for number in range(20)], samples=2)
    assert isinstance(diagnosis.fit, kind)
    assert (len(diagnosis.transition) == 400) == (kind is NoiseFit)


@pytest.mark.trains
def test_an_upper_bound_for_many_classes_holds_the_true_rate_and_says_its_rule(many):
    diagnosis, true = many
    rate = (diagnosis.labels != true).mean()
    assert diagnosis.is_upper_bound
    assert diagnosis.noise_rate.low <= rate <= diagnosis.noise_rate.high
    assert diagnosis.noise_rate.value == pytest.approx(rate, abs=0.03)
    assert any("all share one noise rate" in sentence for sentence in diagnosis.details)
    assert max(map(len, [diagnosis.answer, *diagnosis.details, *diagnosis.caveats])) < 1000


@pytest.mark.trains
def test_the_files_of_many_classes_with_long_names_are_small(many, tmp_path):
    diagnosis, _ = many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_diagnosis(diagnosis, tmp_path, "dilution diagnose mine")
    assert page.stat().st_size < 2e6
    assert "The page lists the 200 largest classes" in page.read_text("utf-8")
    transition = pd.read_csv(tmp_path / "transition.csv")
    assert CLASSES <= len(transition) < 10 * CLASSES
    assert len(pd.read_csv(tmp_path / "per_class.csv")) == CLASSES
    assert len(pd.read_csv(tmp_path / "label_issues.csv")) == CLASSES * PER_CLASS


@pytest.mark.trains
def test_bootstrap_fits_keep_no_array_with_a_row_per_example(many):
    for sample in many[0].bootstrap_fits:
        assert sample.evidence is many[0].fit.evidence
        own = [value for name, value in vars(sample).items() if name != "evidence"]
        assert sum(np.size(value) for value in own) <= 4 * CLASSES


@pytest.mark.trains
def test_copies_imply_a_noise_rate_with_many_classes_too():
    predictions, _ = noisy_predictions(transition_at(0.3, classes=150), n=1500, separation=5.0)
    random = np.random.default_rng(1)
    copies = np.arange(1500) // 2
    probs = predictions.pred_probs[::2].repeat(2, axis=0)
    true = noisy_predictions(transition_at(0.3, classes=150), n=1500, separation=5.0)[1][::2].repeat(2)
    wrong = random.random(1500) < 0.3
    labels = np.where(wrong, (true + random.integers(1, 150, size=1500)) % 150, true)
    copied = diagnosis_of(
        replace(predictions, pred_probs=probs, labels=labels),
        [str(number) for number in range(150)],
        20,
        copies,
    )
    rate = copied.copies.noise_rate
    assert rate.low <= wrong.mean() <= rate.high


@pytest.mark.trains
def test_a_table_of_more_than_a_hundred_classes_is_diagnosed(tmp_path):
    random = np.random.default_rng(0)
    true = np.repeat(np.arange(120), 6)
    features = 3 * random.normal(size=(120, 6))[true] + 0.3 * random.normal(size=(720, 6))
    wrong = random.random(720) < 0.1
    labels = np.where(wrong, (true + random.integers(1, 120, size=720)) % 120, true)
    table = pd.DataFrame(features, columns=list("abcdef")).assign(label=[f"class {c}" for c in labels])
    table.to_csv(tmp_path / "table.csv", index=False)
    diagnosis = dilution.diagnose(
        tmp_path / "table.csv", folds=2, repeats=1, n_bootstrap=20, execution=dilution.Execution(workers=0)
    )
    assert diagnosis.learned
    assert diagnosis.noise_rate.high >= wrong.mean()
    worst = diagnosis.label_issues["index"].to_numpy()[: wrong.sum()]
    assert wrong[worst].mean() > 3 * wrong.mean()
