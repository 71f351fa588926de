"""Copies among the examples of a pilot: counted once, left to chance, or refused."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pilots import true_accuracy

import dilution
from dilution import Execution
from dilution.data import Arrays, DataSet
from dilution.errors import InputError
from dilution.planning import LabelKind, Plan
from dilution.planning.distinct_examples import MOST_PER_EXAMPLE, DistinctExamples
from dilution.planning.pilot import PilotScope, first_runs
from dilution.planning.plan import _fit_law, check_learned

INLINE = Execution(workers=0, progress=False)


def images_of(groups, labels=None, named=None):
    """Return images that are equal where their groups are; labels are those of the groups."""
    different = np.random.default_rng(0).integers(0, 256, (int(groups.max()) + 1, 1, 2, 2)).astype(np.uint8)
    images = torch.from_numpy(different[groups])
    labels = groups % 2 if labels is None else labels
    named = None if named is None else torch.from_numpy(named)
    return Arrays(images, torch.from_numpy(labels.astype(np.int64)), ("a", "b"), groups=named)


def rows_of(values, labels):
    features = torch.from_numpy(values.astype(np.float32))[:, None, None, None]
    return Arrays(features, torch.from_numpy(labels), ("a", "b"))


@given(st.lists(st.integers(1, 8), min_size=10, max_size=60), st.floats(0.05, 1))
def test_a_run_has_the_expected_number_of_different_examples(sizes, share):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    n = max(1, round(share * len(groups)))
    distinct = DistinctExamples(np.array(sizes), 10.0, ("image", "images"))
    random = np.random.default_rng(0)
    counts = [len(np.unique(random.permutation(groups)[:n])) for _ in range(100)]
    assert float(distinct.count(n)) == pytest.approx(np.mean(counts), rel=0.02, abs=1)
    assert distinct.count(len(groups)) == pytest.approx(len(sizes))


def test_the_axis_of_the_law_is_the_number_of_different_examples():
    """Accuracy of a made-up world depends on different examples alone; a twelfth of the pilot are copies."""
    sizes = np.r_[np.full(500, 2), np.ones(3500, dtype=np.int64)]
    distinct = DistinctExamples(sizes, 10_000.0, ("image", "images"))
    specs = first_runs(PilotScope("digits", "mlp2", len(sizes), (0.0, 2.0, 5.0, 10.0)))
    runs = distinct.add_to(
        pd.DataFrame({"n": [spec.n for spec in specs], "alpha": [spec.alpha for spec in specs]})
    )
    runs["n_test"] = 10_000
    runs["test_acc_at_best_clean_val"] = true_accuracy(distinct.count(runs["n"]), runs["alpha"])
    assert runs["n_distinct"].iloc[-1] < runs["n"].iloc[-1]
    law = _fit_law(runs, "added")
    for n in (500, 1000, 3000):
        assert np.median(law.accuracy(n, 0.0)) == pytest.approx(true_accuracy(n, 0.0), abs=1e-3)
    in_rows = _fit_law(runs.drop(columns="n_distinct"), "added")
    assert np.median(in_rows.accuracy(3000, 0.0)) < true_accuracy(3000, 0.0) - 2e-3


def test_the_axis_of_the_law_is_the_number_of_clean_examples_where_labels_are_replaced():
    specs = first_runs(PilotScope("digits", "mlp2", 4000, (0.0, 2.0, 5.0), label_mode="replaced"))
    runs = pd.DataFrame({"n": [spec.n for spec in specs], "alpha": [spec.alpha for spec in specs]})
    accuracy = true_accuracy(runs["n"] / (1 + runs["alpha"]), runs["alpha"])
    law = _fit_law(runs.assign(n_test=10_000, test_acc_at_best_clean_val=accuracy), "replaced")
    for n, alpha in ((1000, 0.0), (1000, 2.0), (500, 5.0)):
        assert np.median(law.accuracy(n, alpha)) == pytest.approx(true_accuracy(n, alpha), abs=1e-3)


@pytest.mark.parametrize(("copies", "refused"), [(1, False), (3, True)])
def test_data_with_many_copies_are_refused_before_a_store_is_made(tmp_path, copies, refused):
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(600, 3)), copies, axis=0)
    labels = (features[:, 0] > 0).astype(int)
    np.savez(tmp_path / "d.npz", features=features, labels=labels)
    ask = {"target": 0.9, "alpha": 1, "store": tmp_path / "s.sqlite", "execution": INLINE, "max_runs": 8}
    if not refused:
        DistinctExamples.of(dilution.load(tmp_path / "d.npz")).check(480, 240)
        return
    with pytest.raises(InputError, match=r"1,440 training rows are 480 different .* 3\.0 rows per") as error:
        dilution.plan(str(tmp_path / "d.npz"), **ask)
    assert not (tmp_path / "s.sqlite").exists()
    assert ", or keep one row per example, as pandas does with rows.drop_duplicates()." in str(error.value)
    smaller = int(re.search(r"--pilot-n (\d+)", str(error.value))[1])
    distinct = DistinctExamples.of(dilution.load(tmp_path / "d.npz"))
    distinct.check(smaller, 240)  # the remedy works, and no larger number does
    with pytest.raises(InputError, match="per different one"):
        distinct.check(smaller + 1, 240)
    assert smaller / float(distinct.count(smaller)) <= MOST_PER_EXAMPLE


def test_a_pilot_size_below_the_least_is_no_remedy():
    distinct = DistinctExamples(np.full(60, 20), 100.0, ("row", "rows"))
    with pytest.raises(InputError, match=r"1\.2\. Keep one row per example") as error:
        distinct.check(1200, 240)
    assert "--pilot-n" not in str(error.value)


def test_copies_are_counted_once_and_named_groups_are_no_copies():
    groups = np.r_[np.arange(100), np.arange(10)]
    train = images_of(groups, named=np.r_[np.arange(100) // 10, np.arange(10) // 10])
    test = images_of(np.r_[np.arange(20), np.zeros(5, dtype=np.int64)])
    distinct = DistinctExamples.of(DataSet("x", train, test))
    assert len(distinct.sizes) == 100
    assert distinct.n_test == pytest.approx(25**2 / (19 + 36))
    assert distinct.notes == (
        "10 of the 110 training images are copies of other images; a plan counts labels of different images",
        "with copies the 25 test images measure accuracy as closely as 11 different images",
        "images of one named group count as different images in a plan; the error of test accuracy that "
        "comes from the choice of groups is not included",
    )
    plain = DistinctExamples.of(DataSet("x", images_of(np.arange(30)), images_of(np.arange(9))))
    assert plain.notes == ()
    assert plain.count(np.array([7, 30])).tolist() == [7, 30]
    assert plain.n_test == 9


def test_equal_rows_whose_trusted_labels_differ_are_different_examples():
    values = np.arange(300) % 12
    agreeing = (values > 5).astype(np.int64)
    chance = np.where(np.arange(300) % 24 == 3, 1 - agreeing, agreeing)  # two labels in one of twelve
    many = DistinctExamples.of(DataSet("x", rows_of(values, agreeing), rows_of(values, agreeing)))
    assert len(many.sizes) == 12
    coarse = DistinctExamples.of(DataSet("x", rows_of(values, chance), rows_of(values, chance)))
    assert len(coarse.sizes) == 300
    assert coarse.n_test == 300
    (note,) = coarse.notes
    assert note.startswith("labels of equal rows differ")
    coarse.check(300, 240)
    images = images_of(values, chance)  # equal pixels are never equal by chance
    assert len(DistinctExamples.of(DataSet("x", images, images)).sizes) == 12


def test_the_sampling_error_of_accuracy_is_that_of_different_test_examples():
    runs = pd.DataFrame({"n": [50], "alpha": 0.0, "n_test": 1000, "majority_share": 0.1})
    learned = runs.assign(test_acc_at_best_clean_val=0.13)
    check_learned(learned)
    with pytest.raises(InputError, match="on 200 examples, not significantly"):
        check_learned(learned.assign(n_test_distinct=200.4))


def test_the_best_of_many_guesses_is_no_learning():
    """A mean of 2.5 standard errors above the majority class: seldom in one point of a pilot, not in 40."""
    accuracy = 0.1 + 2.5 * (0.1 * 0.9 / 1000) ** 0.5
    runs = pd.DataFrame({"n": range(1, 41), "alpha": 0.0, "n_test": 1000, "majority_share": 0.1})
    runs["test_acc_at_best_clean_val"] = accuracy
    check_learned(runs.head(1))
    with pytest.raises(InputError, match="not significantly better"):
        check_learned(runs)


def test_details_say_what_copies_do_not_count(make_law):
    runs = pd.DataFrame(
        {
            "alpha": [0.0, 5.0],
            "n": [100, 2000],
            "n_test": 500,
            "majority_share": 0.1,
            "n_distinct": [98.2, 1850.4],
        }
    ).assign(n_test_distinct=400.0)
    plan = Plan("mine", 0.8, 0.0, LabelKind(4.0, 1.0), LabelKind(0.0, 1.0), runs, make_law)
    assert plan.details[-2] == (
        "Runs of the pilot have up to 2,000 clean examples, of which about 1,850 differ; numbers of labels "
        "are those of different examples."
    )
    assert (
        "measured on 500 examples, which with their copies are worth 400 different ones;" in plan.details[-1]
    )
    assert "± 2.6 points" in plan.details[-1]  # 1.28 √(0.8 · 0.2 / 400)


@pytest.fixture
def make_law():
    draws = np.linspace(0.9, 1.1, 200)
    from dilution.planning.accuracy_law import AccuracyLaw

    coefficients = np.c_[np.zeros(200), np.ones(200), np.zeros(200)]
    return AccuracyLaw(draws, draws, coefficients, 5.0, np.full(200, 0.1), np.full(200, 8.0), 5.0)


@pytest.mark.trains
def test_a_plan_on_few_copies_is_answered_with_a_note(tmp_path):
    digits = dilution.load("digits")
    images = torch.cat([digits.train.images, digits.train.images[:60]])
    labels = torch.cat([digits.train.labels, digits.train.labels[:60]])
    np.savez(
        tmp_path / "d.npz", images=images.numpy(), labels=labels.numpy(),
        test_images=digits.test.images.numpy(), test_labels=digits.test.labels.numpy(),
    )  # fmt: skip
    plan = dilution.plan(
        str(tmp_path / "d.npz"), target=0.8, alpha=1, model="perceptron", pilot_n=250,
        max_runs=8, execution=INLINE,
        store=tmp_path / "s.sqlite",
    )  # fmt: skip
    assert "60 of the 1,497 training images are copies of other images; a plan counts labels of" in str(
        plan.notes
    )
    assert (plan.runs["n_distinct"] < plan.runs["n"]).all()
    assert any("numbers of labels are those of different examples" in text for text in plan.details)
