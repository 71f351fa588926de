"""dilution advise: the noise scale against theory, a search that no test image touches, honest words."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dilution
from dilution.advice import Advice, advise, answer, reasons
from dilution.advice.halving import Kept, best_lr, confirm, kept_step
from dilution.advice.noise_scale import halfway, mixed_slope, noise_scale
from dilution.cli import app
from dilution.errors import InputError, StoreError
from dilution.noise import Dilution
from dilution.study import Run
from dilution.study.progress import Progress
from dilution.study.store import Store
from dilution.training.recipes import RECIPE, read_recipe

QUIET = Progress(quiet=True)


def blobs(n=4000, classes=4, seed=0):
    """Gaussian classes that overlap, as rows of features."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = draw.normal(size=(classes, 16))
    rows = (centres[labels] + 0.8 * draw.normal(size=(n, 16))).astype(np.float32)
    held = {"test_features": rows[:200], "test_labels": labels[:200]}
    return dilution.from_numpy(features=rows, labels=labels, **held)


@pytest.fixture(scope="module")
def scales():
    data = blobs().train
    at = halfway("mlp1", Dilution(data, 0), 400, seed=0)
    return [noise_scale(at, Dilution(data, alpha), seed=0) for alpha in (0.0, 3.0)]


def test_the_noise_scale_grows_as_the_square_of_the_labels_for_each_clean_one(scales):
    clean, noisy = scales
    grown = noisy.label / clean.label
    assert 4**1.5 < grown < 4**2.5
    assert noisy.label_low < noisy.label < noisy.label_high


def test_pooling_divides_the_noise_scale_by_about_the_labels_of_a_image(scales):
    clean, noisy = scales
    assert clean.label == pytest.approx(clean.image, rel=0.2)
    assert 2 < noisy.label / noisy.image < 8


def test_the_noise_scale_is_that_of_all_gradients_at_once():
    """Against |G|² and tr Σ from the gradient of every image, by autograd."""
    data = blobs(n=512).train
    noisy = Dilution(data, 0)
    at = halfway("perceptron", noisy, 51, seed=1)
    each = []
    for image, label in zip(data.images, data.labels, strict=True):
        at.module.zero_grad()
        torch.nn.functional.cross_entropy(at.module(at.prepare(image[None])), label[None]).backward()
        each.append(torch.cat([weight.grad.flatten() for weight in at.module.parameters()]))
    gradients = torch.stack(each).double()
    trace = float(gradients.var(dim=0).sum())
    signal = float((gradients.mean(dim=0) ** 2).sum()) - trace / len(gradients)
    found = noise_scale(at, noisy, seed=0)
    assert found.image == pytest.approx(trace / signal, rel=0.05)


def test_the_mixed_slope_is_the_gradient_of_the_mixed_loss():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    mixing = torch.rand(3, 3, generator=draw, dtype=torch.float64)
    mixing /= mixing.sum(dim=1, keepdim=True)
    weights = torch.rand(7, 3, generator=draw, dtype=torch.float64)
    loss = -(weights * (logits.softmax(dim=1) @ mixing).log()).sum() / 7
    loss.backward()
    torch.testing.assert_close(mixed_slope(logits.detach(), weights, mixing), logits.grad)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    as_weights = torch.nn.functional.one_hot(labels, 3).double()
    torch.testing.assert_close(
        mixed_slope(logits.detach(), as_weights, mixing), mixed_slope(logits.detach(), labels, mixing)
    )


def test_too_few_examples_for_a_noise_scale_are_refused():
    data = blobs(n=100).train
    with pytest.raises(InputError, match="at least 128"):
        noise_scale(halfway("mlp1", Dilution(data, 0), 10, seed=0), Dilution(data, 1), seed=0)


BASE = Run.of(dataset="digits", n=200, model="mlp1", alpha=4, steps=80, batch_size=32, lr=0.01)


def made_up(loss):
    """Return a trainer whose losses are a function of a run, and what it was asked."""
    asked = []

    def train(what, runs):
        asked.append((what, list(runs)))
        rows = [{"key": run.key, "lr": run.lr, "loss": loss(run)} for run in runs]
        return pd.DataFrame(rows).drop_duplicates("key")

    return train, asked


def test_the_best_rate_is_found_and_worse_ones_are_dropped_early():
    train, asked = made_up(lambda run: abs(math.log(run.lr / 0.03)) + 0.01 * run.seed)
    rate, trials = best_lr(BASE, train)
    assert rate == 0.03
    assert [len({run.lr for run in runs}) for _, runs in asked] == [5, 3, 2]
    assert [runs[0].steps for _, runs in asked] == [60, 60, 60]  # fewer would favour large rates
    assert set(trials.columns) == {"share", "lr", "loss"}


def test_a_rate_that_diverges_is_not_chosen():
    train, _ = made_up(lambda run: math.inf if run.lr > 0.005 else 1.0)
    assert best_lr(BASE, train)[0] <= 0.005


def test_rates_beyond_an_edge_that_won_are_tried_too():
    train, asked = made_up(lambda run: abs(math.log(run.lr / 0.3)))
    rate, trials = best_lr(BASE, train)
    assert rate == 0.3
    assert trials["lr"].max() > 0.3
    assert [len(runs) for _, runs in asked[1:3]] == [2, 2]  # two further rates, one after the other


def test_trainings_that_diverge_at_every_rate_end_the_search():
    train, _ = made_up(lambda _: math.inf)
    with pytest.raises(InputError, match="diverged at every rate"):
        best_lr(BASE, train)


LINEAR = BASE.model_copy(update={"ema_decay": 0.9, "schedule": "linear"})


def test_a_proposal_that_diverges_gives_way_to_what_does_not():
    train, _ = made_up(lambda run: math.inf if (run.schedule, run.seed) == ("linear", 1) else 1.0)
    chosen, verdicts, _ = confirm(LINEAR, {"schedule": "cosine"}, train)
    assert chosen.schedule == "cosine"
    assert (verdicts[0].kept, verdicts[0].other) == ("cosine", "linear")
    worse, _ = made_up(lambda run: math.inf if run.schedule == "cosine" else 1.0)
    assert confirm(LINEAR, {"schedule": "cosine"}, worse)[0].schedule == "linear"
    none, _ = made_up(lambda _: math.inf)
    with pytest.raises(InputError, match="diverged at rate"):
        confirm(LINEAR, {"schedule": "cosine"}, none)


def test_two_changes_that_do_not_go_together_are_not_both_advised():
    def loss(run):
        changed = (run.schedule == "cosine", run.ema_decay == 0)
        return {(False, False): 1.0, (True, False): 0.5, (False, True): 0.6, (True, True): 5.0}[changed]

    train, _ = made_up(loss)
    chosen, verdicts, table = confirm(LINEAR, {"schedule": "cosine", "ema_decay": 0.0}, train)
    assert (chosen.schedule, chosen.ema_decay) == ("cosine", 0.9)
    assert [each.setting for each in verdicts] == ["schedule"]
    assert set(table["loss"]) == {0.5}


def test_what_is_proposed_is_kept_unless_the_other_is_surely_better():
    def loss(run):
        better = {"cosine": -0.1}.get(run.schedule, 0.0)
        return 1.0 + better + 0.01 * run.seed + (0.001 if run.ema_decay == 0 else 0.0)

    train, asked = made_up(loss)
    run = BASE.model_copy(update={"ema_decay": 0.9, "schedule": "linear"})
    chosen, verdicts, table = confirm(run, {"schedule": "cosine", "ema_decay": 0.0}, train)
    assert (chosen.schedule, chosen.ema_decay) == ("cosine", 0.9)
    assert [(each.setting, each.kept) for each in verdicts] == [("schedule", "cosine"), ("ema_decay", 0.9)]
    assert len(asked) == 1  # all that is advised has been trained already
    assert len(table) == 3


def test_two_changes_are_trained_together_before_they_are_advised():
    train, asked = made_up(lambda run: 1.0 - (run.schedule == "cosine") - (run.ema_decay == 0))
    run = BASE.model_copy(update={"ema_decay": 0.9, "schedule": "linear"})
    chosen, _, table = confirm(run, {"schedule": "cosine", "ema_decay": 0.0}, train)
    assert (chosen.schedule, chosen.ema_decay) == ("cosine", 0.0)
    assert {each.key for each in asked[1][1]} == set(table["key"])


def n_evals(agreements):
    """Return three evaluations of each of as many trainings; the second has the least noisy loss."""
    rows = [
        {"key": str(number), "step": step, "val_loss_noisy": loss, "val_acc_noisy": named}
        for number, three in enumerate(agreements)
        for step, loss, named in zip((10, 20, 30), (2.0, 1.0, 1.5), three, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_last_weights_are_kept_unless_others_surely_name_more_labels():
    better = kept_step(n_evals([(0.1, 0.5, 0.4), (0.1, 0.5, 0.41), (0.1, 0.5, 0.39)]))
    assert better.step == "noisy"
    assert better.gain == pytest.approx(-0.1)
    assert better.error == pytest.approx(0.01 / math.sqrt(3))
    worse = kept_step(n_evals([(0.9, 0.4, 0.5)] * 3))  # an earlier step of larger loss is no candidate
    assert (worse.step, worse.error) == ("last", 0.0)
    unclear = kept_step(n_evals([(0.1, 0.5, 0.4), (0.1, 0.5, 0.6), (0.1, 0.5, 0.47)]))
    assert unclear.step == "last"


@pytest.fixture(scope="module")
def advice(tmp_path_factory):
    return advise(
        "digits", alpha=4, model="mlp1", n=600, epochs=4, workers=0, progress=QUIET,
        store=tmp_path_factory.mktemp("advice") / "advice.sqlite",
    )  # fmt: skip


def test_advice_is_a_recipe_with_a_reason_for_each_choice(advice):
    assert isinstance(advice, Advice)
    assert set(advice.recipe) <= set(RECIPE)
    chosen = {"targets", "optimizer", "lr", "schedule", "batch_size", "ema_decay"}
    assert {*chosen, "weights"} <= set(reasons(advice))
    assert advice.recipe["targets"] == "pooled"
    assert list(advice.scale_table.columns) == ["alpha", "gradient of", "mean", "low", "high"]
    assert advice.scale_table["alpha"].nunique() == 4
    assert len(advice.runs) == 3
    mean, low, high = advice.accuracy
    assert low < mean < high


def test_labels_as_they_are_have_nothing_to_pool(tmp_path):
    found = advise(
        "digits", model="perceptron", n=300, epochs=2, workers=0, progress=QUIET,
        store=tmp_path / "advice.sqlite",
    )  # fmt: skip
    assert found.recipe["targets"] == "sampled"
    assert math.isnan(found.growth)
    assert "nothing to pool" in reasons(found)["targets"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": 1, "eta": 0.5}, "give one of them"),
        ({"alpha": -1}, "alpha must be 0 or more"),
        ({"eta": 0.95}, "eta in"),
        ({"epochs": 0}, "above 0"),
        ({"model": "sklearn:knn"}, "takes no steps"),
        ({"model": "conv9"}, "conv"),
        ({"precision": "half"}, "bfloat16"),
    ],
)
def test_bad_questions_are_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        advise("digits", **changes, store=tmp_path / "advice.sqlite", workers=0)
    assert not (tmp_path / "advice.sqlite").exists()


def test_the_labels_of_the_test_half_change_nothing_that_is_advised(tmp_path):
    data = dilution.load("digits")
    found = []
    for name, shift in (("right", 0), ("wrong", 3)):
        arrays = {"images": data.train.images.numpy(), "labels": data.train.labels.numpy()}
        wrong = (data.test.labels.numpy() + shift) % 10
        np.savez(tmp_path / f"{name}.npz", **arrays, test_images=data.test.images.numpy(), test_labels=wrong)
        advice = advise(
            tmp_path / f"{name}.npz", alpha=2, model="perceptron", n=400, epochs=2, workers=0,
            store=tmp_path / f"{name}.sqlite", progress=QUIET,
        )  # fmt: skip
        found.append((advice.recipe, advice.trials["loss"].tolist(), advice.accuracy))
    assert found[0][:2] == found[1][:2]
    assert found[0][2] != found[1][2]


def test_a_network_whose_loss_is_not_finite_is_refused(tmp_path, monkeypatch):
    (tmp_path / "own_broken.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def make(shape, classes):\n"
        "    layer = nn.Linear(64, classes)\n"
        "    layer.bias.data.fill_(float('nan'))\n"
        "    return nn.Sequential(nn.Flatten(), layer)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="finite"):
        advise("digits", model="own_broken:make", n=300, epochs=1, store=tmp_path / "s.sqlite", workers=0)


def test_the_command_writes_a_recipe_that_the_others_take(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "advise digits --alpha 2 --model perceptron --n 300 --epochs 2 --workers 0"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    assert done.output.count("Train perceptron on digits with") == 1
    assert read_recipe("advice/recipe.toml")["targets"] == "pooled"
    page = (tmp_path / "advice" / "index.html").read_text("utf-8")
    assert "gradient noise scale" in page
    for name in ("advice.png", "scales.csv", "rates.csv", "runs.csv"):
        assert (tmp_path / "advice" / name).stat().st_size > 0
    study = (
        'name = "mine"\n[base]\ndataset = "digits"\nn = 100\nnetwork = "perceptron"\nsteps = 2\nalpha = 1.0\n'
    )
    (tmp_path / "mine.toml").write_text(study)
    for recipe in ("advised", "advice/recipe.toml"):
        done = CliRunner().invoke(app, ["run", "mine.toml", "--recipe", recipe, "--workers", "0"])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (Kept("noisy", -0.1, 0.01), "Keep those of the step with the least loss"),
        (Kept("last", 0.1, 0.01), "names 10.00% ± 1.00% of the noisy validation labels fewer"),
        (Kept("last", 0.0, 0.0), "names as many"),
        (Kept("last", -0.01, 0.02), "as far as -1.00% ± 2.00% can tell"),
    ],
)
def test_the_weights_kept_have_a_reason_and_give_the_accuracy(advice, kept, words):
    other = replace(advice, kept=kept)
    assert words in reasons(other)["weights"]
    assert other.accuracy[0] == pytest.approx(advice.runs[f"test_{kept.step}"].mean())
    assert ("at the step with the least loss" in answer(other)) == (kept.step == "noisy")


def test_trainings_without_evaluations_are_refused(tmp_path):
    how = {"alpha": 2, "model": "perceptron", "n": 400, "epochs": 2, "workers": 0, "progress": QUIET}
    path = tmp_path / "advice.sqlite"
    advise("digits", **how, store=path)
    with Store(path) as store:
        for row in list(store.rows()):  # as an import leaves them
            store.finish({row["key"]: {"state": row["state"], "result": row["result"]}}, at=row["finished"])
    with pytest.raises(StoreError, match=r"imported ones, or those of an older version. Name another"):
        advise("digits", **how, store=path)
