"""From data to advice: the function, the command, the sentences. The test split chooses nothing."""

import math
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from label_modes import label_modes
from typer.testing import CliRunner

import dilution
from dilution import Execution
from dilution.advice import Advice, advise, gradient_sums
from dilution.advice.ablation import CheckpointChoice, Comparison
from dilution.advice.advise import _measure_noise_scales, _Request
from dilution.advice.noise_scale import NoiseScale
from dilution.advice.page import compared_settings
from dilution.cli import app
from dilution.errors import InputError, StoreError
from dilution.study import Run
from dilution.study.store import Store
from dilution.training.recipes import RECIPE, read_recipe
from dilution.utils.estimate import Estimate

INLINE = Execution(workers=0, progress=False)
QUESTION = {"alpha": 4, "model": "mlp1", "n": 300, "epochs": 2, "execution": INLINE}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("advice") / "advice.sqlite"


@pytest.fixture(scope="module")
def advised(store):
    return advise("digits", **QUESTION, store=store)


@pytest.fixture
def advice():
    """Return an advice that was not trained."""
    run = Run.of(
        dataset="digits", n=600, model="mlp1", alpha=4, targets="pooled", optimizer="adam", lr=0.002,
        schedule="linear", batch_size=32, steps=68, ema_decay=0.9,
    )  # fmt: skip
    runs = pd.DataFrame({"model": "mlp1", "seed": [0, 1, 2], "n_test": 360})
    return Advice(
        name="digits",
        run=run,
        n_images=2160,
        eta=None,
        noise_scales=(
            NoiseScale(0.0, Estimate(93, 82, 107), Estimate(93, 82, 107)),
            NoiseScale(4.0, Estimate(1832, 1119, math.inf), Estimate(331, 202, 913)),
        ),
        lr_trials=pd.DataFrame({"budget_fraction": 0.125, "lr": [1e-4, 2e-3], "loss": [2.0, 1.0]}),
        comparisons=(Comparison("schedule", "linear", "cosine", 0.003, 0.004),),
        checkpoint=CheckpointChoice("last", 0.01, 0.002),
        runs=runs.assign(test_acc_last=[0.8, 0.81, 0.82], test_acc_at_best_noisy_val=[0.6, 0.61, 0.62]),
        search_runs=runs,
        majority_share=0.103,
        trusts_test_labels=True,
    )


@pytest.mark.trains
def test_advice_is_a_recipe_with_a_reason_for_each_choice(advised):
    assert isinstance(advised, Advice)
    assert set(advised.recipe) <= set(RECIPE)
    chosen = {"targets", "optimizer", "lr", "schedule", "batch_size", "ema_decay"}
    assert {*chosen, "checkpoint"} <= set(advised.reasons)
    assert advised.recipe["targets"] == "pooled"
    assert list(advised.noise_scale_table.columns) == ["alpha", "gradient_of", "mean", "low", "high"]
    assert advised.noise_scale_table["alpha"].nunique() == 4
    assert len(advised.runs) == 3
    assert advised.accuracy.low < advised.accuracy.value < advised.accuracy.high
    assert advised.accuracy.value == pytest.approx(advised.runs[f"test_acc_{advised.checkpoint.step}"].mean())


@pytest.mark.parametrize("alpha", [None, 2.0])
def test_noise_scales_are_measured_on_examples_with_the_groups_of_the_data(alpha):
    data = dilution.load("digits")
    groups = torch.arange(len(data.train)) // 3  # named groups: nothing in the images shows them
    train = replace(data.train, observed=data.train.labels.roll(1), groups=groups)
    request = _Request.of(replace(data, train=train), "digits", alpha, None, "mlp1", None, 2.0, "float32", 0)
    noisy = request.dilute(0.0)
    assert torch.equal(noisy.data.labels, train.observed if alpha is None else train.labels)
    sides = [set(groups[part.clean_rows].tolist()) for part in noisy.hold_out(100)]
    assert all(sides)
    assert not set.intersection(*sides)


def test_noise_scales_are_measured_equally_apart_in_the_logarithm_of_labels_per_clean_one(monkeypatch):
    """The model is trained without the noise that is to be added."""
    module = sys.modules["dilution.advice.advise"]
    monkeypatch.setattr(module, "train_halfway", lambda _, noisy, *__: noisy.alpha)
    monkeypatch.setattr(module, "measure_noise_scale", lambda trained, noisy, _: (trained, noisy.alpha))
    data = dilution.load("digits")
    for alpha, levels in ((15.0, [16 ** (step / 3) - 1 for step in range(4)]), (None, [0.0])):
        request = _Request.of(data, "digits", alpha, None, "mlp1", 300, 2.0, "float32", 0)
        trained, measured = zip(*_measure_noise_scales(request), strict=True)
        assert set(trained) == {0.0}
        assert measured == pytest.approx(levels)


def test_the_proposed_batch_size_is_for_the_noise_scale_at_the_level_asked_for(tmp_path, monkeypatch):
    module, batch_sizes = sys.modules["dilution.advice.advise"], []

    def search_lr(run, train):
        batch_sizes.append(run.batch_size)
        raise KeyboardInterrupt  # before anything is trained

    monkeypatch.setattr(module, "search_lr", search_lr)
    small, large = (NoiseScale(0.0, Estimate(size, 0, 999), Estimate(size, 0, 999)) for size in (8, 200))
    for scales in ((small, large), (large, large), (small, small)):
        monkeypatch.setattr(module, "_measure_noise_scales", lambda _, scales=scales: scales)
        with pytest.raises(KeyboardInterrupt):
            advise("digits", **QUESTION | {"epochs": 100}, store=tmp_path / "advice.sqlite")
    assert batch_sizes[0] == batch_sizes[1] > batch_sizes[2]


def test_noise_levels_with_an_infinite_scale_are_left_out_of_the_exponent_with_a_word(advice):
    (growth,) = [text for text in advice.details if "grows as" in text]
    assert "(1 + α)^1.85; theory" in growth  # ln(1832 / 93) / ln 5
    infinite = NoiseScale(1.0, Estimate(math.inf, 90, math.inf), Estimate(math.inf, 90, math.inf))
    scales = (advice.noise_scales[0], infinite, advice.noise_scales[1])
    (growth,) = [text for text in replace(advice, noise_scales=scales).details if "grows as" in text]
    assert "(1 + α)^1.85 (left out: 1 of 3 noise levels, at which it is infinite); theory" in growth


@pytest.mark.trains
def test_labels_as_they_are_are_not_pooled(tmp_path):
    advice = advise(
        "digits", model="perceptron", n=200, epochs=1, execution=INLINE, store=tmp_path / "advice.sqlite"
    )
    assert advice.recipe["targets"] == "sampled"
    assert math.isnan(advice.growth_exponent)
    assert advice.details == []
    assert advice.reasons["targets"] == "Each example has one label: label pooling does not apply."
    assert "agreement with the test labels as they are" in advice.answer


@pytest.mark.trains
def test_noise_is_added_to_the_labels_of_built_in_data_and_the_answer_says_so(advised):
    assert set(advised.runs["label_mode"]) == {"added"}
    mode_sentences = [sentence for sentence in advised.details if "the label mode" in sentence]
    assert mode_sentences == [
        "Noisy labels are added to the labels, as in the paper; the label mode 'replaced' replaces them."
    ]
    assert not any("the label mode" in text for text in replace(advised, is_mode_assumed=False).details)


@label_modes
def test_the_label_mode_of_an_advice_is_that_of_the_data_unless_it_is_given(
    tmp_path, monkeypatch, is_own, asked, mode
):
    requests = []

    def measure(request):
        requests.append(request)
        raise KeyboardInterrupt  # before anything is trained

    monkeypatch.setattr(sys.modules["dilution.advice.advise"], "_measure_noise_scales", measure)
    labels = np.arange(200) % 2
    np.savez(tmp_path / "own.npz", features=np.random.default_rng(0).normal(size=(200, 2)), labels=labels)
    settings = {"eta": 0.2, "label_mode": asked, "store": tmp_path / "s.sqlite", "execution": INLINE}
    with pytest.raises(KeyboardInterrupt):
        dilution.advise(tmp_path / "own.npz" if is_own else "digits", **settings)
    assert [request.label_mode for request in requests] == [mode]


def test_observed_labels_beside_added_noise_are_said_to_be_unused(tmp_path, monkeypatch, capsys):
    def stop(request):
        raise KeyboardInterrupt  # before anything is trained

    monkeypatch.setattr(sys.modules["dilution.advice.advise"], "_measure_noise_scales", stop)
    labels = np.arange(200) % 2
    features = np.random.default_rng(0).normal(size=(200, 2))
    np.savez(tmp_path / "own.npz", features=features, labels=labels, noisy_labels=np.roll(labels, 1))
    for level, is_said in (({"eta": 0.2}, True), ({}, False)):
        with pytest.raises(KeyboardInterrupt):
            dilution.advise(tmp_path / "own.npz", store=tmp_path / "s.sqlite", **level)
        assert ("The observed labels are not used" in capsys.readouterr().err) is is_said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 1, "eta": 0.5}, "^both of alpha and eta given; give one: "),
        ({"alpha": -1}, "^alpha is -1; it must be ≥ 0"),
        ({"eta": 0.95}, r"^eta is 0\.95; .* must lie in \[0, 0\.9\)"),
        ({"alpha": 1e9}, r"1\.4e\+12 labels.*Give --alpha 695893 or less"),
        ({"epochs": 0}, "^epochs is 0; it must be a number above 0 and at most "),
        ({"model": "sklearn:knn"}, "takes no optimizer steps"),
        ({"model": "conv9"}, r"^'conv9' is not a model\. .* There are: conv2, "),
        ({"precision": "half"}, r"^'half' is not a precision\. There are: bfloat16, float32\.$"),
    ],
)
def test_wrong_questions_are_refused_before_a_store_is_made(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        advise("digits", **changes, store=tmp_path / "advice.sqlite", execution=INLINE)
    assert not (tmp_path / "advice.sqlite").exists()


@pytest.mark.trains
def test_the_labels_of_the_test_split_do_not_change_the_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(gradient_sums, "BATCHES", 2 * gradient_sums.BLOCKS)
    data = dilution.load("digits")
    results = []
    for name, shift in (("right", 0), ("wrong", 3)):
        arrays = {"images": data.train.images.numpy(), "labels": data.train.labels.numpy()}
        labels = (data.test.labels.numpy() + shift) % 10
        np.savez(tmp_path / f"{name}.npz", **arrays, test_images=data.test.images.numpy(), test_labels=labels)
        advice = advise(
            tmp_path / f"{name}.npz", alpha=2, model="perceptron", n=200, epochs=1,
            store=tmp_path / f"{name}.sqlite", execution=INLINE,
        )  # fmt: skip
        results.append((advice.recipe, advice.lr_trials["loss"].tolist(), advice.accuracy))
    right, wrong = results
    assert right[:2] == wrong[:2]
    assert right[2] != wrong[2]


def test_a_model_whose_loss_is_not_finite_is_refused(tmp_path, module):
    name = module("""
        from torch import nn

        def make(shape, classes):
            layer = nn.Linear(64, classes)
            layer.bias.data.fill_(float("nan"))
            return nn.Sequential(nn.Flatten(), layer)
    """)
    with pytest.raises(InputError, match="finite"):
        advise("digits", model=f"{name}:make", n=300, epochs=1, store=tmp_path / "s.sqlite", execution=INLINE)


@pytest.mark.trains
def test_the_command_writes_a_recipe_that_the_other_commands_accept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gradient_sums, "BATCHES", 2 * gradient_sums.BLOCKS)
    words = "advise digits --eta 0.6 --model perceptron --n 200 --epochs 1 --workers 0"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Train perceptron on digits with pooled targets, batch size ")
    assert "\ncheckpoint: Keep the " in result.stdout
    assert "at noise rate 0.6 (α = 2)." in result.stdout
    assert read_recipe("advice/recipe.toml")["targets"] == "pooled"
    page = (tmp_path / "advice" / "index.html").read_text("utf-8")
    assert "gradient noise scale" in page
    for name in ("advice.png", "noise_scales.csv", "lrs.csv", "runs.csv"):
        assert (tmp_path / "advice" / name).stat().st_size > 0
    study = (
        'name = "mine"\n[base]\ndataset = "digits"\nn = 100\nmodel = "perceptron"\nsteps = 2\nalpha = 1.0\n'
    )
    (tmp_path / "mine.toml").write_text(study)
    for recipe in ("advised", "advice/recipe.toml"):
        result = CliRunner().invoke(app, ["run", "mine.toml", "--recipe", recipe, "--workers", "0"])
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (
            CheckpointChoice("at_best_noisy_val", -0.1, 0.01),
            "Keep the step with the lowest loss on noisy validation labels: the last step has 10.0 ± 1.0 "
            "points lower accuracy",
        ),
        (
            CheckpointChoice("last", 0.0148, 0.01),
            "Keep the last step: the step with the lowest loss on noisy validation labels has 1.5 ± 1.0 "
            "points lower accuracy on noisy validation labels.",
        ),
        (CheckpointChoice("last", 0.0, 0.0), "has the same accuracy on noisy validation labels."),
        (
            CheckpointChoice("last", -0.01, 0.02),
            "is not more accurate on noisy validation labels by a standard error",
        ),
    ],
)
def test_the_checkpoint_has_a_reason_and_gives_the_accuracy(advice, choice, reason):
    other = replace(advice, checkpoint=choice)
    assert reason in other.reasons["checkpoint"]
    assert other.accuracy.value == pytest.approx(advice.runs[f"test_acc_{choice.step}"].mean())
    assert ("at the step with the lowest loss" in other.answer) == (choice.step == "at_best_noisy_val")


def test_the_answer_has_the_settings_and_the_accuracy(advice):
    assert advice.answer == (
        "Train mlp1 on digits with pooled targets, batch size 32, Adam at learning rate 0.002 (decreasing "
        "to 0 over the last 70 % of the steps), EMA decay 0.9: 81.0 % [78.5, 83.5] test accuracy after "
        "2,160 examples. Predicting the majority class alone has 10.3 %."
    )
    weak = replace(advice, majority_share=0.8).answer
    assert weak.endswith(
        "At this budget the model is not significantly better than the majority class (80.0 %)."
    )


def test_noisy_agreement_near_the_majority_does_not_call_a_model_useless(advice, monkeypatch):
    monkeypatch.setattr(type(advice), "clean_accuracy", Estimate(0.83, 0.72, 0.93))
    answer = replace(advice, majority_share=0.8).answer
    assert "not significantly better than the majority class" not in answer
    assert answer.endswith("where labels are wrong, agreement hides how much better a model is.")


def test_reasons_have_numbers_with_intervals(advice):
    reasons = advice.reasons
    assert reasons["batch_size"].startswith("The gradient noise scale is 331 [202, 913] examples; ")
    assert "from 1,832 [1,119, ∞] labels on" in reasons["targets"]
    assert reasons["schedule"] == (
        "Within a standard error of schedule = cosine: the noisy validation losses differ by 0.003 ± 0.004 "
        "nats."
    )
    assert "first or last of these" in reasons["lr"]
    assert advice.details[0].endswith("1,832 [1,119, ∞] at α = 4.")
    assert replace(advice, eta=0.72).details[0].endswith("at noise rate 0.72 (α = 4).")


def test_the_page_of_a_table_does_not_speak_of_images(advice):
    assert compared_settings(advice) == "Schedule and EMA decay"
    shifts = Comparison("translate", 2, 0, 0.003, 0.004)
    images = replace(advice, comparisons=(*advice.comparisons, shifts))
    assert compared_settings(images) == "Schedule, EMA decay and image shifts"


def test_the_short_form_has_the_recipe_and_the_accuracy(advice):
    assert repr(advice).startswith(
        "Advice for mlp1 on digits: targets = pooled, optimizer = adam, lr = 0.002"
    )
    assert repr(advice).endswith("; 81.0 % [78.5, 83.5] test accuracy")
    html = advice._repr_html_()
    assert html.startswith("<p>Train mlp1")
    assert html.count("<tr") == 1 + len(advice.recipe)


@pytest.mark.trains
@pytest.mark.usefixtures("advised")
def test_runs_without_evaluations_are_refused(tmp_path, store):
    path = shutil.copy(store, tmp_path / "advice.sqlite")
    with Store(path) as opened:
        for row in list(opened.rows()):  # as an import leaves them
            opened.finish({row["key"]: {"state": row["state"], "result": row["result"]}}, at=row["finished"])
    with pytest.raises(StoreError, match=r"imported runs, or runs of an older version. Name another"):
        advise("digits", **QUESTION, store=path)
