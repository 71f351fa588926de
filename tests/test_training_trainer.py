"""Training: it learns, repeats bit for bit, and chooses nothing by the test split."""

import itertools
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from dilution.data import Arrays, load
from dilution.models import build_model
from dilution.noise import Dilution, uniform
from dilution.training import BatchSampler, TrainConfig, TrainTask, train, train_together
from dilution.training.evaluation import Normalise, accuracy
from dilution.training.losses import cross_entropy
from dilution.training.optimizers import make_optimizer
from dilution.training.schedules import resolve_schedule

LRS = {"adadelta": 1.0, "sgd": 0.02, "adam": 0.003, "adamw": 0.003}
SCHEDULES = ["constant", "linear", "cosine", "step"]
TARGETS = ["sampled", "pooled", "expected"]
VALIDATION = ["val_acc_clean", "val_loss_noisy", "val_acc_noisy"]
MEMORISATION = ["memorised", "recovered"]  # where labels are drawn
HISTORY = ["step", "train_loss", *VALIDATION, "test_acc", "test_acc_top5"]


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.trains]


def weights(result):
    return torch.cat([part.flatten() for part in result.model.state_dict().values()])


def trained(model="mlp1", *, n=300, alpha=1.0, seed=0, test=None, image_source="same", **changes):
    digits = load("digits")
    noisy = Dilution(digits.train, alpha, n=n, image_source=image_source, seed=seed)
    changes = {"steps": 24, "n_evals": 3, "batch_size": 32} | changes
    return train(model, noisy, test=test or digits.test, seed=seed, **changes)


@cache
def trained_by(name, schedule, targets, seed=0):
    settings = {"optimizer": name, "lr": LRS[name], "schedule": schedule, "targets": targets}
    return trained(**settings, weight_decay=0.01, seed=seed)


def all_settings(test):
    """Run a test for each optimizer, schedule and kind of targets."""
    for name, values in [("targets", TARGETS), ("schedule", SCHEDULES), ("name", LRS)]:
        test = pytest.mark.parametrize(name, values)(test)
    return test


@all_settings
def test_all_settings_learn_within_a_few_steps(name, schedule, targets):
    result = trained_by(name, schedule, targets)
    history = result.history
    assert result.state == "done"
    assert result.diverged_at is None
    assert list(history.columns) == HISTORY + (MEMORISATION if targets != "expected" else [])
    assert history["step"].tolist() == [8, 16, 24]
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] - 0.02
    assert result.summary()["test_acc_last"] > 0.25  # chance is 0.1


@all_settings
def test_all_settings_repeat_bit_for_bit_and_differ_by_seed(name, schedule, targets):
    result, other = trained_by(name, schedule, targets), trained_by(name, schedule, targets, seed=1)
    again = trained_by.__wrapped__(name, schedule, targets)
    assert torch.equal(weights(result), weights(again))
    pd.testing.assert_frame_equal(result.history, again.history, check_exact=True)
    assert not torch.equal(weights(result), weights(other))
    assert not result.history.equals(other.history)


def test_each_setting_leads_to_other_weights():
    ends = [weights(trained_by(*settings)) for settings in itertools.product(LRS, SCHEDULES, TARGETS)]
    assert not any(torch.equal(x, y) for i, x in enumerate(ends) for y in ends[:i])


@pytest.mark.parametrize("model", ["perceptron", "conv2"])
def test_clean_digits_are_learned(model):
    result = trained(model, n=1000, alpha=0, optimizer="adam", lr=0.01, steps=60)
    assert result.summary()["test_acc_last"] > 0.85
    assert (result.n_train, result.n_val, result.n_test) == (900, 100, 360)


def test_training_leaves_the_global_generators_alone():
    def global_states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = global_states()
    trained("conv2", steps=2)
    assert global_states() == before


@pytest.mark.parametrize("targets", TARGETS)
def test_permuting_the_test_labels_changes_no_weight_and_no_choice(targets):
    test = load("digits").test
    permuted = Arrays(test.images, test.labels.roll(7), test.classes)
    settings = {"targets": targets, "optimizer": "adam", "lr": 0.02, "steps": 60, "n_evals": 10}
    original, other = trained(**settings), trained(**settings, test=permuted)
    assert torch.equal(weights(original), weights(other))
    columns = [name for name in HISTORY if name not in ("test_acc", "test_acc_top5")]
    pd.testing.assert_frame_equal(original.history[columns], other.history[columns], check_exact=True)
    assert not original.history["test_acc"].equals(other.history["test_acc"])
    for name in ("step_at_best_clean_val", "step_at_best_noisy_val", "val_acc_clean", "steps_done"):
        assert original.summary()[name] == other.summary()[name]


def test_validation_examples_are_not_trained_on():
    digits = load("digits")
    noisy = Dilution(digits.train, 2, n=300, seed=4)
    held_out = noisy.hold_out(30)[1].clean_rows
    images, labels = digits.train.images.clone(), digits.train.labels.clone()
    images[held_out], labels[held_out] = 255 - images[held_out], (labels[held_out] + 1) % 10
    changed = Dilution(Arrays(images, labels, digits.train.classes), 2, n=300, seed=4)
    first, second = (
        train("mlp1", data, test=digits.test, n_val=30, steps=10, batch_size=32, keep="last")
        for data in (noisy, changed)
    )
    assert torch.equal(weights(first), weights(second))
    assert not first.history["val_acc_clean"].equals(second.history["val_acc_clean"])


def test_noisy_validation_labels_are_as_noisy_as_the_training_labels():
    digits = load("digits")
    noisy = Dilution(digits.train, 3, n=300)
    result = train("mlp1", noisy, test=digits.test, n_val=60, steps=10, n_evals=1)
    held_out = noisy.hold_out(60)[1]
    index = torch.arange(len(held_out))
    probabilities = result.predict(held_out.images(index)).double()
    expected = -probabilities.log()[index, held_out.labels(index)].mean()
    assert result.history["val_loss_noisy"].iloc[-1] == pytest.approx(float(expected), rel=1e-5)
    correct = probabilities.argmax(dim=1) == held_out.labels(index)
    val_acc_noisy = result.history["val_acc_noisy"].iloc[-1]
    assert val_acc_noisy == pytest.approx(float(correct.double().mean()), rel=1e-6)
    clean = probabilities[:60].argmax(dim=1) == held_out.labels(torch.arange(60))
    assert result.history["val_acc_clean"].iloc[-1] == pytest.approx(float(clean.double().mean()))


@pytest.mark.parametrize("ema_decay", [0, 0.5])
@pytest.mark.parametrize("n_evals", [1, 4])
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_a_diverged_training_has_its_state_and_step(steps, n_evals, ema_decay):
    result = trained("mlp2", optimizer="sgd", lr=1e30, steps=steps, n_evals=n_evals, ema_decay=ema_decay)
    assert result.state == "diverged"
    # The first step's loss is still finite; the weights after it are not.
    assert result.diverged_at == (1 if n_evals >= steps else 2)
    assert result.summary() == {}
    assert result.history.empty


def test_the_evaluations_before_a_divergence_are_kept():
    result = trained("mlp2", optimizer="sgd", lr=1e3, steps=20, n_evals=20)
    assert result.state == "diverged"
    assert 1 < result.diverged_at < 20
    # The loss of the step or the evaluation after it is not finite.
    assert result.history["step"].tolist() == list(range(1, result.diverged_at))
    assert np.isfinite(result.history.to_numpy()).all()


@pytest.mark.parametrize(
    ("steps", "n_evals", "expected"),
    [(10, 1, [10]), (10, 3, [3, 7, 10]), (3, 10, [1, 2, 3]), (1, 10, [1]), (24, 4, [6, 12, 18, 24])],
)
def test_evaluations_are_evenly_spaced_and_the_last_step_is_one(steps, n_evals, expected):
    assert trained("perceptron", steps=steps, n_evals=n_evals).history["step"].tolist() == expected


def test_the_number_of_evaluations_changes_no_weight():
    assert torch.equal(weights(trained(n_evals=1)), weights(trained(n_evals=12)))


def test_a_training_equals_a_plain_loop_with_its_exponential_average():
    digits = load("digits")
    noisy = Dilution(digits.train, 1.5, n=200)
    config = TrainConfig(
        optimizer="adam", lr=0.01, schedule="cosine", batch_size=16, steps=12, ema_decay=0.8, n_evals=1
    )
    result = train("mlp1", noisy, test=digits.test, n_val=20, seed=3, config=config)

    training, _ = noisy.hold_out(20)
    model = build_model("mlp1", (1, 8, 8), 10, seed=3)
    normalise = Normalise(digits.train, training.clean_rows)
    optimizer = make_optimizer(model.parameters(), config)
    lr_factor = resolve_schedule("cosine").of_training(12)
    losses, average = [], None
    for step, batch in enumerate(BatchSampler(training, "sampled", 16, seed=3).batches(12)):
        optimizer.param_groups[0]["lr"] = 0.01 * lr_factor(step)
        loss = cross_entropy(model(normalise(batch.images)), batch.targets)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        current = torch.cat([part.detach().flatten() for part in model.parameters()])
        average = current if average is None else 0.8 * average + 0.2 * current
    assert torch.allclose(weights(result), average, atol=1e-6)
    assert not torch.allclose(current, average, atol=1e-3)
    assert result.history["train_loss"].iloc[0] == pytest.approx(np.mean(losses), rel=1e-5)


def test_averaged_weights_are_evaluated():
    settings = {"optimizer": "sgd", "lr": 0.1, "steps": 30}
    plain, averaged = trained(**settings), trained(**settings, ema_decay=0.9)
    assert not torch.equal(weights(plain), weights(averaged))
    assert plain.history["train_loss"].equals(averaged.history["train_loss"])
    test = load("digits").test
    for result in (plain, averaged):
        assert accuracy(result.predict(test.images), test.labels) == result.summary()["test_acc_last"]


@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_image_sources_train_with_sampled_targets(images):
    digits = load("digits")
    source = Arrays(255 - digits.test.images, digits.test.labels) if images == "external" else images
    result = trained(image_source=source, alpha=2, optimizer="adam", lr=0.01)
    assert result.state == "done"
    assert result.summary()["test_acc_last"] > 0.25


@pytest.mark.parametrize("targets", TARGETS)
def test_the_result_has_the_noise_of_its_targets(targets):
    noise_summary = trained(alpha=2, targets=targets, steps=1).noise_summary
    assert noise_summary.alpha_expected == 2
    assert noise_summary.noise_rate_expected == pytest.approx(0.6)
    sampled = not np.array_equal(noise_summary.transition_expected, noise_summary.transition_empirical)
    assert sampled == (targets != "expected")
    assert np.array_equal(noise_summary.transition_expected, uniform().overall(10, 2, 0))


def test_predictions_are_probabilities():
    probabilities = trained("conv2", steps=2).predict(load("digits").test.images[:9])
    assert probabilities.shape == (9, 10)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(9))


def weighted_task(label_weights, transition=None, **options):
    """Return a task whose targets are label weights; nothing is held out."""
    data = load("digits").train.subset(torch.arange(200))
    config = TrainConfig(targets="pooled", optimizer="adam", lr=0.003, steps=60, batch_size=32, n_evals=1)
    return TrainTask(
        "mlp1",
        Dilution(data, alpha=0),
        data,
        0,
        0,
        config,
        label_weights=label_weights,
        transition=transition,
        **options,
    )


def trained_on_weights(*tasks):
    return train_together(tasks)


def test_label_weights_are_learned_in_place_of_the_labels_and_nothing_is_held_out():
    labels = load("digits").train.labels[:200]
    shifted = torch.nn.functional.one_hot((labels + 1) % 10, 10).float()
    (result,) = trained_on_weights(weighted_task(shifted))
    predicted = result.predict(load("digits").train.images[:200]).argmax(dim=1)
    assert (predicted == (labels + 1) % 10).double().mean() > 0.9
    assert (result.n_train, result.n_val) == (200, 0)
    assert list(result.history.columns) == ["step", "train_loss"]
    assert result.summary() == {}


def test_an_example_without_weight_is_not_learned():
    labels = load("digits").train.labels[:200]
    weights = torch.nn.functional.one_hot(labels, 10).float()
    weights[labels == 3] = 0
    (result,) = trained_on_weights(weighted_task(weights))
    probabilities = result.predict(load("digits").train.images[:200])
    assert probabilities[:, 3].max() < 0.1


def test_forward_correction_learns_the_true_classes_of_shifted_labels():
    """All labels name the next class, and T says so: the network learns the classes themselves."""
    labels = load("digits").train.labels[:200]
    shifted = torch.nn.functional.one_hot((labels + 1) % 10, 10).float()
    transition = torch.eye(10).roll(1, dims=1) * 0.98 + 0.002
    corrected, plain = trained_on_weights(weighted_task(shifted, transition), weighted_task(shifted))
    images = load("digits").train.images[:200]
    assert (corrected.predict(images).argmax(dim=1) == labels).double().mean() > 0.9
    assert (plain.predict(images).argmax(dim=1) == labels).double().mean() < 0.1


@pytest.mark.parametrize("model", ["mlp1", "conv2"])  # computed together, and one after the other
def test_replicas_with_different_transition_matrices_train_as_each_alone(model):
    weights = torch.nn.functional.one_hot(load("digits").train.labels[:200], 10).float()
    transitions = [torch.eye(10), torch.full((10, 10), 0.05) + 0.5 * torch.eye(10)]
    tasks = [replace(weighted_task(weights, T), model=model) for T in transitions]
    tasks = [replace(task, config=task.config.model_copy(update={"steps": 3})) for task in tasks]
    together = trained_on_weights(*tasks)
    alone = [trained_on_weights(task)[0] for task in tasks]
    assert together[0].history["train_loss"].item() != together[1].history["train_loss"].item()
    for result, expected in zip(together, alone, strict=True):
        pd.testing.assert_frame_equal(result.history, expected.history)


def test_a_trained_model_is_in_evaluation_mode():
    assert not trained(steps=2).model.training
    assert not trained("conv2", steps=1, n=64).model.training


def test_the_model_of_the_result_has_the_weights_of_the_step_to_keep():
    settings = {"alpha": 4.0, "n": 100, "steps": 120, "n_evals": 12, "optimizer": "adam", "lr": 0.01}
    last, best = trained(**settings, keep="last"), trained(**settings, keep="best_noisy_val")
    pd.testing.assert_frame_equal(last.history, best.history)
    chosen = best.history.loc[best.history["val_loss_noisy"].idxmin()]
    assert chosen["step"] < 120
    test = load("digits").test
    for result, expected in ((last, last.history.iloc[-1]), (best, chosen)):
        probabilities = result.predict(test)
        assert accuracy(probabilities, test.labels) == pytest.approx(expected["test_acc"])
