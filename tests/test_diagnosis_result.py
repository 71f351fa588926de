"""The tables and sentences of a diagnosis, from predictions whose truth is known; nothing is trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from noisy_predictions import noisy_predictions, transition_at

from dilution.data import Arrays, UnsplitData
from dilution.diagnosis.copies import CopyEvidence
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.diagnosis.diagnose import diagnose_predictions
from dilution.diagnosis.result import MIN_PHOTOGRAPHS_PER_CLASS
from dilution.diagnosis.verified_labels import verified_noise_rate
from dilution.noise import equivalent_alpha
from dilution.utils.estimate import Estimate

N, CLASSES = 1000, 5


@pytest.fixture(scope="module")
def diagnosis():
    predictions, _ = noisy_predictions(transition_at(0.3, classes=CLASSES), n=N)
    images = torch.zeros(N, 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(N) % 256
    noisy = Arrays(images, torch.from_numpy(predictions.labels), tuple("abcde"))
    cross_validation = CrossValidation(predictions.pred_probs, "mlp2", 4, 8, 1.0, 1.6)
    unverified = np.full(N, -1)
    return diagnose_predictions(
        "mine", UnsplitData(noisy), noisy, cross_validation, unverified, 10, 0, true_noise_rate=float("nan")
    )


def test_tables_have_one_row_per_class_and_one_per_entry_of_the_matrix(diagnosis):
    per_class, transition = diagnosis.per_class, diagnosis.transition
    assert list(per_class["class"]) == list("abcde")
    assert per_class["n_labels"].sum() == N
    assert (per_class["low"] <= per_class["noise_rate"]).all()
    assert (per_class["noise_rate"] <= per_class["high"]).all()
    assert len(transition) == CLASSES**2
    np.testing.assert_allclose(transition.groupby("true")["probability"].sum(), 1)


def test_the_answer_leads_with_the_noise_rate_in_percent(diagnosis):
    rate = diagnosis.noise_rate
    assert diagnosis.answer.startswith(
        f"{100 * rate.value:.0f} % of the 1,000 labels are wrong (95 % interval "
    )
    low = replace(diagnosis.fit, transition=transition_at(0.05, classes=CLASSES))
    clean = replace(diagnosis, fit=low, alternative_fit=low, bootstrap_fits=[low] * 3)
    assert clean.answer.startswith("5.0 % of the 1,000 labels are wrong")


def test_the_short_form_is_the_answer(diagnosis):
    assert repr(diagnosis) == f"Diagnosis of mine: {diagnosis.answer}"
    assert len(repr(diagnosis)) < 250
    html = replace(diagnosis, name="<b>")._repr_html_()
    assert "&lt;b&gt;" in html
    assert html.count("<tr") == 1 + CLASSES


def test_few_examples_per_class_give_an_upper_bound_and_no_pattern(diagnosis):
    few = replace(diagnosis, labels=diagnosis.labels[: 50 * CLASSES])
    assert few.answer.startswith("At most about")
    assert "upper bound" in few.answer
    assert len(few.details) == 1


def test_few_photographs_learned_from_pixels_say_nothing_of_single_labels(diagnosis):
    few = replace(
        diagnosis, labels=diagnosis.labels[: 100 * CLASSES], min_per_class=MIN_PHOTOGRAPHS_PER_CLASS
    )
    assert few.noise_rate.low == 0 < diagnosis.noise_rate.low
    assert few.noise_rate.high == pytest.approx(diagnosis.noise_rate.high, abs=0.02)
    assert few.answer.startswith("At most about")
    clean = few.clean("relabel", 0.5)
    assert clean.changes.empty
    assert any("cannot tell which labels are wrong: only verified labels" in text for text in clean.sentences)
    assert not diagnosis.clean("relabel", 0.5).changes.empty


def test_few_examples_per_class_are_said_to_make_the_estimate_too_high(diagnosis):
    fewer = replace(diagnosis, labels=diagnosis.labels[: 100 * CLASSES])
    assert any(caveat.startswith("With 100 examples per class") for caveat in fewer.caveats)
    assert not any("models learn little" in caveat for caveat in diagnosis.caveats)


def test_a_class_that_the_models_hardly_predict_is_named(diagnosis):
    lost = replace(diagnosis.fit, prior=np.r_[0.0, np.full(4, 1 / 4)])
    assert any("hardly predict a:" in caveat for caveat in replace(diagnosis, fit=lost).caveats)
    assert not any("hardly predict" in caveat for caveat in diagnosis.caveats)


def test_the_label_that_is_wrong_most_often_is_named(diagnosis):
    worst = diagnosis.per_class.sort_values("label_noise_rate").iloc[-1]
    assert any(f"of the labels {worst['class']!r} are wrong" in sentence for sentence in diagnosis.details)


def test_verified_labels_are_reported_beside_the_fit(diagnosis):
    verified = replace(diagnosis, n_verified=100, verified_noise_rate=Estimate(0.5, 0.4038, 0.5962))
    assert any(
        sentence.startswith(
            "50 % [40, 60] of the 100 verified labels are wrong. If they were sampled at random"
        )
        for sentence in verified.details
    )


@pytest.mark.parametrize("reason", ["nothing learned", "upper bound"])
def test_verified_and_true_noise_rates_are_said_without_an_estimate_too(diagnosis, reason):
    verified = replace(
        diagnosis, n_verified=75, verified_noise_rate=Estimate(0.16, 0.09, 0.26), true_noise_rate=0.17
    )
    if reason == "nothing learned":
        verified = replace(verified, learned=False)
        assert verified.answer.endswith("16 % [9, 26] of the 75 verified labels are wrong.")
        assert any("list of label issues are empty, since models" in text for text in verified.details)
        assert not any("than the estimate" in text for text in verified.details)
        few = replace(verified, n_verified_groups=4)
        assert any(text.endswith("With so few groups this number is unreliable.") for text in few.details)
    else:
        verified = replace(verified, labels=diagnosis.labels[: 50 * CLASSES], n_doubted=50)
        assert verified.is_upper_bound
    assert any(text.startswith("16 % [9, 26] of the 75 verified labels") for text in verified.details)
    assert "Counted against the true labels of these data: 0.170." in verified.details


def test_without_an_estimate_the_answer_has_the_accuracies_that_were_measured(diagnosis):
    n = len(diagnosis.labels)
    labels = np.where(np.arange(n) < 0.6 * n, 0, 1)
    pred_probs = np.eye(CLASSES)[np.where(np.arange(n) < 0.3 * n, 0, 2)]
    nothing = replace(
        diagnosis,
        learned=False,
        labels=labels,
        cross_validation=replace(diagnosis.cross_validation, pred_probs=pred_probs),
    )
    assert "predict 30.0 % of the held-out labels, and the most frequent class alone 60.0 %" in nothing.answer


def test_verified_labels_of_few_groups_are_not_called_reliable(diagnosis):
    verified = replace(diagnosis, n_verified=100, verified_noise_rate=Estimate(0.5, 0.4038, 0.5962))
    for n_groups, end in (
        (40, "is more reliable than the estimate."),
        (4, "is less reliable than the estimate."),
    ):
        (sentence,) = [
            text
            for text in replace(verified, n_verified_groups=n_groups).details
            if "verified labels" in text
        ]
        assert f"wrong; they are of {n_groups} different groups of examples, and the interval" in sentence
        assert sentence.endswith(end)


def test_labels_without_a_visible_error_may_still_have_some(diagnosis):
    clean = replace(diagnosis.fit, transition=np.eye(CLASSES))
    rate = replace(diagnosis, fit=clean, alternative_fit=clean, bootstrap_fits=[clean] * 3).noise_rate
    assert rate.value == pytest.approx(0, abs=1e-12)
    assert rate.high == pytest.approx(1 - 0.025 ** (1 / N))
    assert 0.0036 < rate.high < 0.0038  # three in a thousand, and a little


def test_the_level_of_uniform_noise_is_infinite_where_labels_carry_no_information():
    assert equivalent_alpha(0.0, 10) == 0
    assert equivalent_alpha(0.45, 10) == pytest.approx(1)
    assert equivalent_alpha(0.9, 10) == np.inf


def test_a_noise_rate_that_no_uniform_noise_has_is_said_without_infinity(diagnosis):
    reversed_fit = replace(diagnosis.fit, transition=np.roll(np.eye(CLASSES), 1, axis=1))
    above = replace(
        diagnosis, fit=reversed_fit, alternative_fit=reversed_fit, bootstrap_fits=[reversed_fit] * 3
    )
    limit = "it stays below 80 %, the rate at which labels of 5 classes tell nothing."
    assert above.details[0].endswith(f"Uniform noise has no such rate: {limit}")
    partly = replace(diagnosis, bootstrap_fits=[*diagnosis.bootstrap_fits[:3], reversed_fit])
    assert "it has no upper bound, since the interval reaches 80 %" in partly.details[0]
    for changed in (above, partly):
        assert not any(" inf" in text for text in (changed.answer, *changed.details))


@pytest.mark.parametrize(("wrong", "contradicts"), [(20, True), (17, False), (6, False)])
def test_verified_labels_that_contradict_the_labels_lead_the_answer(diagnosis, wrong, contradicts):
    verified = np.where(np.arange(N) < 20, diagnosis.labels, -1)
    verified[:wrong] = (verified[:wrong] + 1) % CLASSES
    checked = replace(
        diagnosis, n_verified=20, verified_noise_rate=verified_noise_rate(verified, diagnosis.labels)
    )
    assert checked.verified_contradict == contradicts
    start = (
        "The verified labels contradict the labels: 20 of 20 differ, more than if labels were drawn at random"
    )
    assert checked.answer.startswith(start) == contradicts
    assert "% of the 1,000 labels are wrong (95 % interval" in checked.answer


def test_verified_labels_of_the_most_suspicious_examples_contradict_nothing(diagnosis):
    doubted = np.flatnonzero(diagnosis.cross_validation.pred_probs.argmax(axis=1) != diagnosis.labels)[:20]
    verified = np.full(N, -1)
    verified[doubted] = diagnosis.cross_validation.pred_probs.argmax(axis=1)[doubted]
    checked = replace(
        diagnosis,
        n_verified=20,
        n_verified_as_predicted=20,
        n_doubted=int((diagnosis.cross_validation.pred_probs.argmax(axis=1) != diagnosis.labels).sum()),
        n_verified_doubted=20,
        verified_noise_rate=verified_noise_rate(verified, diagnosis.labels),
    )
    assert not checked.verified_contradict
    assert checked.verified_are_suspicious
    assert any("Models doubt them more often than others" in sentence for sentence in checked.details)
    at_random = replace(checked, n_verified_doubted=4, n_verified_as_predicted=16)
    assert not at_random.verified_are_suspicious


def test_groups_count_where_examples_depend_on_each_other(diagnosis):
    per_class = np.array([4, 30, 30, 30, 30])
    grouped = replace(diagnosis, n_groups=125, groups_per_class=per_class)
    assert grouped.is_upper_bound
    assert "with 25 groups of examples per class the models confuse" in grouped.answer
    assert "Fewer than 20 labels of different groups: a." in grouped.caveats[-1]
    more = replace(diagnosis, n_groups=500, groups_per_class=per_class * 4)
    assert any(text.startswith("With 100 groups of examples per class") for text in more.caveats)
    copied = replace(diagnosis, n_groups=500, copies=CopyEvidence(n_copies=500, n_groups=500))
    assert any(text.startswith("With 100 examples per class") for text in copied.caveats)


def test_a_skew_that_is_written_as_zero_is_not_called_a_pattern(diagnosis):
    pattern = diagnosis.noise_pattern
    little = replace(pattern, kind="structured", delta=Estimate(0.002, 0.001, 0.004))
    answers = []
    for changed in (little, replace(little, delta=Estimate(0.3, 0.2, 0.4))):
        other = replace(diagnosis)
        other.__dict__["noise_pattern"] = changed
        answers.append(other.answer)
        assert any(sentence.startswith(f"Skew δ = {changed.delta.value:.2f}") for sentence in other.details)
    assert "spread almost evenly" in answers[0]
    assert "more frequent than others" in answers[1]


def test_reprs_of_a_result_and_its_parts_are_short(diagnosis):
    for part in (diagnosis.fit, diagnosis.cross_validation, diagnosis.bootstrap_fits[0]):
        assert repr(part).startswith(f"{type(part).__name__}(")
        assert f"{len(diagnosis.labels):,} examples" in repr(part)
        assert len(repr(part)) < 120
