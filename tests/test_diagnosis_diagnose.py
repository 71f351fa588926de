"""From noisy labels to a diagnosis: the function and the command."""

import numpy as np
import pandas as pd
import pytest
import torch
from noisy_digits import noisy_digits
from typer.testing import CliRunner

import dilution
from dilution import Execution
from dilution.cli import app
from dilution.data import Arrays, UnsplitData
from dilution.data.from_arrays import check_arrays
from dilution.diagnosis import cleanlab, cleanlab_noise_rate, diagnose
from dilution.errors import InputError

INLINE = Execution(workers=0, progress=False)
QUICK = {"model": "sklearn:logistic", "folds": 3, "repeats": 1, "n_bootstrap": 20, "execution": INLINE}


@pytest.fixture(scope="module")
def diagnosis():
    return diagnose(
        noisy_digits(n=800)[0], model="mlp1", folds=3, repeats=1, n_bootstrap=20, execution=INLINE
    )


@pytest.mark.trains
def test_the_noise_rate_is_estimated_from_noisy_labels_alone(diagnosis):
    assert diagnosis.learned
    assert diagnosis.noise_rate.low - 0.02 < 0.3 < diagnosis.noise_rate.high + 0.02
    rate = diagnosis.noise_rate.value
    assert diagnosis.alpha.value == pytest.approx(rate / (0.9 - rate), rel=1e-6)
    assert "of the 800 labels are wrong" in diagnosis.answer


@pytest.mark.trains
def test_wrong_labels_are_ranked_first_with_the_true_class_suggested(diagnosis):
    noisy, true = noisy_digits(n=800)
    wrong = (noisy.labels != true).numpy()
    first = diagnosis.label_issues["index"].head(160).to_numpy()
    assert wrong[first].mean() > 0.9
    assert diagnosis.label_issues["p_wrong"].is_monotonic_decreasing
    suggested = diagnosis.label_issues["suggested_label"].head(160).astype(int).to_numpy()
    assert (suggested == true.numpy()[first]).mean() > 0.8


@pytest.mark.trains
def test_cleanlab_estimates_from_the_same_predictions(diagnosis):
    pytest.importorskip("cleanlab")
    rate = cleanlab_noise_rate(diagnosis.cross_validation.pred_probs, diagnosis.labels)
    assert 0.1 < rate < 0.6


@pytest.mark.trains
def test_random_labels_have_no_estimate():
    images = dilution.load("digits").train.images[:200]
    labels = torch.from_numpy(np.random.default_rng(0).integers(3, size=200))
    diagnosis = diagnose(Arrays(images, labels), **QUICK)
    assert not diagnosis.learned
    assert "cannot be estimated" in diagnosis.answer
    assert (diagnosis.noise_rate.low, diagnosis.noise_rate.high) == (0, pytest.approx(2 / 3))


@pytest.mark.trains
@pytest.mark.parametrize(("noise", "expected"), [(0.25, True), (0.5, False)])
def test_small_tables_have_an_estimate_if_models_beat_the_most_frequent_class(noise, expected):
    random = np.random.default_rng(10)
    features = random.normal(size=(300, 2))
    true = features[:, 0] > 0
    labels = np.where(true ^ (random.random(300) < noise), "u", "v")
    data = check_arrays(features=features, labels=labels).to_unsplit_data()
    diagnosis = diagnose(data, n_bootstrap=20, execution=INLINE)
    assert diagnosis.learned == expected
    wrong = float(((labels == "u") != true).mean())
    assert diagnosis.noise_rate.low <= wrong <= diagnosis.noise_rate.high or not expected


@pytest.mark.trains
def test_observed_labels_are_diagnosed_and_counted_against_true_ones():
    noisy, true = noisy_digits(n=280, classes=4)
    both = Arrays(noisy.images, true, noisy.classes, observed=noisy.labels)
    diagnosis = diagnose(both, **QUICK)
    assert diagnosis.learned
    assert diagnosis.true_noise_rate == pytest.approx(0.3, abs=0.01)
    assert diagnosis.noise_rate == diagnose(noisy, **QUICK).noise_rate


@pytest.mark.trains
def test_verified_labels_count_and_ids_of_the_user_are_kept(tmp_path):
    noisy, true = noisy_digits(n=280, classes=4)
    ids = tuple(f"image {row}" for row in range(len(noisy)))
    table = pd.DataFrame({"id": ids, "verified_label": ""})
    table.loc[:99, "verified_label"] = [str(int(label)) for label in true[:100]]
    table.to_csv(tmp_path / "verified.csv", index=False)
    diagnosis = diagnose(UnsplitData(noisy, ids), verified_labels=tmp_path / "verified.csv", **QUICK)
    assert diagnosis.n_verified == 100
    wrong = (noisy.labels[:100] != true[:100]).double().mean()
    assert diagnosis.verified_noise_rate.value == pytest.approx(float(wrong))
    assert f"of the {100} verified labels are wrong" in " ".join(diagnosis.details)
    first = diagnosis.label_issues.iloc[0]
    assert first["id"] == f"image {first['index']}"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1] * 30, "at least 2 classes"),
        ([0] * 15 + [1] * 14 + [2], "has 1 example"),
        ([0, 0, 1, 1], "at least 6"),
    ],
    ids=["one class", "a class of one", "too few examples"],
)
def test_labels_that_cannot_be_diagnosed_are_refused(labels, message):
    images = dilution.load("digits").train.images[: len(labels)]
    with pytest.raises(InputError, match=message):
        diagnose(Arrays(images, torch.tensor(labels)), **QUICK)


@pytest.mark.parametrize("options", [{"precision": "half"}, {"folds": 500}])
def test_impossible_options_are_refused_before_anything_trains(options):
    with pytest.raises(InputError, match=r"bfloat16|at least 1000"):
        diagnose(noisy_digits(n=100)[0], **QUICK | options)


def test_objects_that_are_not_data_are_refused():
    with pytest.raises(InputError, match="list"):
        diagnose([1, 2, 3], **QUICK)


def test_a_cluster_is_refused():
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="one machine"):
        diagnose(noisy_digits(n=100)[0], execution=Execution(executor="ray", workers=1))


@pytest.mark.trains
def test_progress_goes_to_stderr_and_can_be_turned_off(capsys):
    noisy, _ = noisy_digits(n=120, classes=2)
    for progress in (True, False):
        execution = Execution(workers=0, progress=progress)
        diagnose(noisy, **QUICK | {"execution": execution, "n_bootstrap": 2})
        captured = capsys.readouterr()
        assert captured.out == ""
        assert ("repeat 1 of 1, 3 models" in captured.err) == progress


@pytest.mark.trains
def test_the_command_prints_the_answer_and_writes_page_and_tables(tmp_path):
    noisy, _ = noisy_digits(n=280, classes=4)
    np.savez(tmp_path / "mine.npz", images=noisy.images.numpy(), labels=noisy.labels.numpy())
    out = tmp_path / "out"
    words = ["diagnose", str(tmp_path / "mine.npz"), "--out", str(out), "--workers", "0"]
    words += ["--model", "perceptron", "--folds", "2", "--repeats", "1", "--n-bootstrap", "20"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "selected " in result.stderr
    answer = result.stdout.splitlines()[0]
    assert "of the 280 labels are wrong" in answer
    page = (out / "index.html").read_text("utf-8")
    assert page.index(answer) < page.index("<svg") < page.index("<h3>Method</h3>")
    for name in ("per_class.csv", "transition.csv", "label_issues.csv", "diagnosis.png"):
        assert (out / name).stat().st_size > 0
    issues = pd.read_csv(out / "label_issues.csv")
    columns = ["index", "id", "given_label", "suggested_label", "p_wrong", "p_suggested"]
    assert list(issues) == [*columns, "is_issue", "weight", "state", "verified_label"]
    assert len(issues) == 280
    assert result.stdout.splitlines()[-1] == f"to check them one by one: dilution review {out}"


@pytest.mark.trains
def test_an_unbalanced_table_with_missing_values_is_diagnosed(tmp_path):
    random = np.random.default_rng(0)
    features = random.normal(size=(600, 4))
    failed = features @ [3, -2, 1, 0] > 3.5
    wrong = random.random(600) < 0.1
    table = pd.DataFrame(features, columns=["heat", "load", "age", "noise"])
    table.loc[random.random(600) < 0.05, "age"] = np.nan
    table["hall"] = random.choice(["north", "south"], size=600)
    table["state"] = np.where(failed ^ wrong, "failed", "held")
    table.to_csv(tmp_path / "machines.csv", index=False)
    words = ["diagnose", f"{tmp_path / 'machines.csv'}#state", "--out", str(tmp_path / "out")]
    words += ["--workers", "0", "--repeats", "1", "--folds", "3", "--n-bootstrap", "20"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "median" in result.stderr  # what was done to the missing values
    assert "models learn little" not in result.output  # 300 examples per class
    assert "of the 600 labels are wrong" in result.output
    issues = pd.read_csv(tmp_path / "out" / "label_issues.csv")
    first = issues["id"].head(30).str.removeprefix("row ").astype(int) - 2  # line 1 is the header
    assert wrong[first].mean() > 0.5
    assert set(issues["given_label"]) == {"failed", "held"}


@pytest.mark.trains
def test_a_handful_of_photographs_gets_no_estimate_and_empty_tables(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(48):
        folder = tmp_path / "photos" / f"kind {number % 12}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(256, size=(20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    words = ["diagnose", f"{tmp_path / 'photos'}#16", "--out", str(tmp_path / "out"), "--workers", "0"]
    words += ["--model", "sklearn:knn", "--repeats", "1", "--n-bootstrap", "20"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "cannot be estimated" in result.output
    assert "Fewer than 20 labels" in result.output
    for name in ("per_class", "transition", "label_issues"):
        assert len(pd.read_csv(tmp_path / "out" / f"{name}.csv")) == 0


def test_a_missing_cleanlab_is_reported_before_anything_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(cleanlab, "find_spec", lambda _: None)
    monkeypatch.setattr("dilution.diagnosis.diagnose", None)
    result = CliRunner().invoke(app, ["diagnose", "digits", "--cleanlab", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "cleanlab is not installed" in result.stderr


@pytest.mark.trains
def test_classes_without_labels_change_nothing_but_a_note():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 3, 300)
    features = torch.from_numpy((draw.normal(size=(300, 4)) + 3 * true[:, None]).astype(np.float32))
    images = features[:, :, None, None]
    options = {"model": "sklearn:logistic", "repeats": 1, "folds": 2, "n_bootstrap": 5}
    execution = Execution(workers=0, progress=False)
    names, sparse = ("b", "d", "e"), torch.tensor([1, 3, 4])[torch.from_numpy(true)]
    dense = diagnose(Arrays(images, torch.from_numpy(true), names), execution=execution, **options)
    result = diagnose(Arrays(images, sparse, tuple("abcdef")), execution=execution, **options)
    assert result.notes == (*dense.notes, "3 classes have no examples and are left out, the first is 'a'")
    pd.testing.assert_frame_equal(result.transition, dense.transition)
    pd.testing.assert_frame_equal(result.label_issues, dense.label_issues)
    assert str(result) == str(dense)
