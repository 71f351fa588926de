"""From noisy labels to an answer: the call, the command, the page."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dilution
from dilution.cli import app
from dilution.data import Arrays, UnsplitData
from dilution.diagnosis import cleanlab, cleanlab_rate, diagnose, numbers
from dilution.diagnosis.cross_validation import held_out
from dilution.errors import InputError

QUICK = {"model": "perceptron", "folds": 3, "repeats": 1, "draws": 20, "workers": 0}


def digits(n=400, rate=0.3, seed=0):
    """Return digits with one label each, of which a share is wrong, and the right labels."""
    noisy = dilution.Dilution(
        dilution.load("digits").train, eta=rate, label_mode="replaced", n=n, seed=seed, stratified=True
    )
    data = noisy.data.subset(noisy.clean_rows)
    return dilution.Arrays(data.images, noisy.labels(torch.arange(n)), data.classes), data.labels


@pytest.fixture(scope="module")
def diagnosis():
    return diagnose(digits(n=1000)[0], model="mlp2", folds=4, repeats=1, draws=30, workers=0)


def test_the_rate_is_found_from_noisy_labels_alone(diagnosis):
    assert diagnosis.learned
    assert diagnosis.rate.low - 0.02 < 0.3 < diagnosis.rate.high + 0.02
    assert diagnosis.alpha.value == pytest.approx(
        diagnosis.rate.value / (0.9 - diagnosis.rate.value), rel=1e-6
    )
    assert "of the 1,000 labels are wrong" in diagnosis.answer


def test_few_examples_a_class_are_said_to_make_the_estimate_too_high(diagnosis):
    assert any("100 examples a class" in said for said in diagnosis.cautions)


def test_tables_have_a_row_for_each_class_and_each_entry(diagnosis):
    assert list(diagnosis.per_class["class"]) == [str(k) for k in range(10)]
    assert diagnosis.per_class["labels"].sum() == 1000
    assert (diagnosis.per_class["low"] <= diagnosis.per_class["wrong"]).all()
    assert (diagnosis.per_class["wrong"] <= diagnosis.per_class["high"]).all()
    assert len(diagnosis.matrix) == 100
    np.testing.assert_allclose(diagnosis.matrix.groupby("true")["share"].sum(), 1)


def test_wrong_labels_are_the_most_suspect(diagnosis):
    noisy, right = digits(n=1000)
    wrong = (noisy.labels != right).numpy()
    first = diagnosis.suspects["row"].head(200).to_numpy()
    assert wrong[first].mean() > 0.9
    assert diagnosis.suspects["wrong"].is_monotonic_decreasing
    suggested = diagnosis.suspects["suggested"].head(200).astype(int).to_numpy()
    assert (suggested == right.numpy()[first]).mean() > 0.8


def test_labels_that_say_nothing_are_said_to_say_nothing():
    images = dilution.load("digits").train.images[:200]
    labels = torch.from_numpy(np.random.default_rng(0).integers(3, size=200))
    found = diagnose(dilution.Arrays(images, labels), **QUICK)
    assert not found.learned
    assert "cannot be judged" in found.answer
    assert (found.rate.low, found.rate.high) == (0, pytest.approx(2 / 3))


def test_observed_labels_are_diagnosed_and_counted_against_right_ones():
    noisy, right = digits()
    both = dilution.Arrays(noisy.images, right, noisy.classes, observed=noisy.labels)
    found = diagnose(both, **QUICK)
    assert found.counted == pytest.approx(0.3, abs=0.01)
    assert found.rate == diagnose(noisy, **QUICK).rate


def test_checked_examples_are_taken_as_they_are(tmp_path):
    noisy, right = digits()
    names = tuple(f"image {k}" for k in range(len(noisy)))
    table = pd.DataFrame({"row": names, "right": ""})
    table.loc[:99, "right"] = [str(int(k)) for k in right[:100]]
    table.to_csv(tmp_path / "checked.csv", index=False)
    found = diagnose(UnsplitData(noisy, names), checked=tmp_path / "checked.csv", **QUICK)
    assert found.checked == 100
    assert found.suspects["row"].iloc[0].startswith("image ")


@pytest.mark.parametrize(
    ("checked", "says"),
    [
        ({"4000": "1"}, "4000"),
        ({"1": "horse"}, "horse"),
    ],
)
def test_a_checked_row_or_class_that_is_unknown_is_named(checked, says):
    with pytest.raises(InputError, match=says):
        diagnose(digits()[0], checked=checked, **QUICK)


def test_a_file_of_checked_labels_without_their_column_is_refused(tmp_path):
    (tmp_path / "checked.csv").write_text("row,label\n1,2\n")
    with pytest.raises(InputError, match="right"):
        diagnose(digits()[0], checked=tmp_path / "checked.csv", **QUICK)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([1] * 30, "at least two"),
        ([0] * 15 + [1] * 14 + [2], "has 1 example"),
        (list(range(4)), "at least 6"),
    ],
    ids=["one class", "a class of one", "too few examples"],
)
def test_labels_that_cannot_be_diagnosed_are_refused(labels, says):
    images = dilution.load("digits").train.images[: len(labels)]
    marks = labels if len(labels) > 4 else [0, 0, 1, 1]
    with pytest.raises(InputError, match=says):
        diagnose(dilution.Arrays(images, torch.tensor(marks)), **QUICK)


def test_what_is_no_data_is_refused():
    with pytest.raises(InputError, match="list"):
        diagnose([1, 2, 3], **QUICK)


def test_workers_predict_the_same_and_leave_the_data_alone():
    noisy, _ = digits(n=120)
    labels = noisy.labels.numpy()  # a view, which would dangle if memory moved
    before = labels.copy()
    alone, shared = (
        held_out(noisy, model="perceptron", folds=2, repeats=1, workers=workers) for workers in (0, 2)
    )
    np.testing.assert_allclose(alone.probabilities, shared.probabilities, atol=1e-5)
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(noisy.labels.numpy(), before)


def test_held_out_predictions_never_saw_the_label():
    noisy, _ = digits(n=200, rate=0.0)
    other = dilution.Arrays(noisy.images, noisy.labels.clone(), noisy.classes)
    first, again = (
        held_out(each, model="perceptron", folds=200 // 2, repeats=1, workers=0, settings=settings())
        for each in (noisy, other)
    )
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    parts = np.flatnonzero(first.probabilities.argmax(axis=1) == noisy.labels.numpy())
    changed = int(parts[0])
    other.labels[changed] = (other.labels[changed] + 1) % 10
    after = held_out(other, model="perceptron", folds=200 // 2, repeats=1, workers=0, settings=settings())
    np.testing.assert_array_equal(first.probabilities[changed], after.probabilities[changed])
    assert not np.array_equal(first.probabilities, after.probabilities)


def settings():
    return dilution.TrainConfig(
        targets="expected", optimizer="adam", rate=1e-2, batch_size=16, steps=3, n_evals=1
    )


def test_the_command_answers_and_writes_page_and_tables(tmp_path):
    noisy, _ = digits()
    np.savez(tmp_path / "mine.npz", images=noisy.images.numpy(), labels=noisy.labels.numpy())
    arguments = ["diagnose", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "out"), "--workers", "0"]
    quick = ["--model", "perceptron", "--folds", "3", "--repeats", "1", "--n-bootstrap", "20"]
    result = CliRunner().invoke(app, [*arguments, *quick], catch_exceptions=False)
    assert result.exit_code == 0
    assert "of the 400 labels are wrong" in result.output
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    answer = next(line for line in result.output.splitlines() if "labels are wrong" in line)
    assert answer in page
    assert page.index(answer) < page.index("<svg") < page.index("<h3>Method</h3>")
    for name in ("classes.csv", "matrix.csv", "suspects.csv", "diagnosis.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert len(pd.read_csv(tmp_path / "out" / "suspects.csv")) == 400


def test_an_unbalanced_table_with_gaps_is_diagnosed_and_what_was_done_to_it_is_said(tmp_path):
    random = np.random.default_rng(0)
    measured = random.normal(size=(600, 4))
    failed = measured @ [3, -2, 1, 0] > 3.5
    wrong = random.random(600) < 0.1
    table = pd.DataFrame(measured, columns=["heat", "load", "age", "noise"])
    table.loc[random.random(600) < 0.05, "age"] = np.nan
    table["hall"] = random.choice(["north", "south"], size=600)
    table["state"] = np.where(failed ^ wrong, "failed", "held")
    table.to_csv(tmp_path / "machines.csv", index=False)
    words = ["diagnose", f"{tmp_path / 'machines.csv'}#state", "--out", str(tmp_path / "out")]
    words += ["--workers", "0", "--repeats", "1", "--n-bootstrap", "20"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "filled with the median" in result.output
    assert "examples a class networks learn little" not in result.output  # 300 a class
    assert "of the 600 labels are wrong" in result.output
    suspects = pd.read_csv(tmp_path / "out" / "suspects.csv")
    first = suspects["row"].head(30).str.removeprefix("row ").astype(int) - 2  # line 1 is the header
    assert wrong[first].mean() > 0.5
    assert set(suspects["label"]) == {"failed", "held"}


def test_a_handful_of_photographs_is_told_that_it_is_one(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(48):
        folder = tmp_path / "photos" / f"kind {number % 12}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(256, size=(20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    words = ["diagnose", f"{tmp_path / 'photos'}#16", "--out", str(tmp_path / "out"), "--workers", "0"]
    words += ["--model", "perceptron", "--repeats", "1", "--n-bootstrap", "20"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "cannot be judged" in result.output
    assert "Fewer than 20 labels" in result.output
    assert len(pd.read_csv(tmp_path / "out" / "classes.csv")) == 0  # no numbers where there is no answer
    assert len(pd.read_csv(tmp_path / "out" / "suspects.csv")) == 0


def test_few_examples_a_class_give_an_upper_bound_and_no_pattern(diagnosis):
    few = replace(diagnosis, labels=diagnosis.labels[: 50 * len(diagnosis.classes)])
    assert few.answer.startswith("At most about")
    assert not diagnosis.answer.startswith("At most about")
    told = " ".join(numbers(few))
    assert "Skew" not in told
    assert "look alike" not in told


def test_a_class_that_networks_do_not_see_is_named(diagnosis):
    lost = replace(diagnosis.found, prior=np.r_[0.0, np.full(9, 1 / 9)])
    cautions = replace(diagnosis, found=lost).cautions
    assert any(f"hardly see {diagnosis.classes[0]}" in each for each in cautions)
    assert not any("hardly see" in each for each in diagnosis.cautions)


def test_the_label_that_is_wrong_most_often_is_named(diagnosis):
    worst = diagnosis.per_class.sort_values("wrong_label").iloc[-1]
    assert any(f"labels that say {worst['class']!r}" in each for each in numbers(diagnosis))


def test_checked_labels_are_counted_beside_the_fit(tmp_path):
    data = dilution.load("digits").train
    right = {str(row): str(int(data.labels[row])) for row in range(0, 300, 3)}
    wrong = data.labels.clone()
    wrong[:300:6] = (wrong[:300:6] + 1) % 10  # half of those that are checked
    found = diagnose(
        Arrays(data.images, wrong, data.classes), model="perceptron", checked=right, folds=2, repeats=1,
        draws=20, workers=0,
    )  # fmt: skip
    assert found.checked_wrong[0] == 0.5
    assert found.checked_wrong[1:] == pytest.approx((0.4038, 0.5962), abs=1e-3)  # Wilson, 50 of 100
    assert any("100 labels that were checked 50%" in each for each in numbers(found))


def test_labels_without_a_visible_error_may_still_have_some(diagnosis):
    none = replace(diagnosis.found, matrix=np.eye(10))
    right = replace(diagnosis, found=none, other=none, drawn=[none] * 3)
    assert right.rate.value == pytest.approx(0, abs=1e-12)
    assert right.rate.high == pytest.approx(1 - 0.025 ** (1 / 1000))
    assert 0.0036 < right.rate.high < 0.0038  # three in a thousand, and a little


def test_comparing_with_cleanlab_is_refused_before_anything_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(cleanlab, "find_spec", lambda _: None)
    monkeypatch.setattr("dilution.diagnosis.diagnose", None)
    done = CliRunner().invoke(app, ["diagnose", "digits", "--cleanlab", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "cleanlab is not installed" in done.stderr


def test_cleanlab_judges_the_same_predictions(diagnosis):
    pytest.importorskip("cleanlab")
    rate = cleanlab_rate(diagnosis.held_out.probabilities, diagnosis.labels)
    assert 0.1 < rate < 0.6


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="bfloat16"):
        held_out(dilution.load("digits").train, precision="half", workers=0)
