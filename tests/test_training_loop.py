"""One training: it learns, repeats bit for bit, and never looks at the test set to choose."""

import itertools
import random
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.models import build
from dilution.noise import Dilution, uniform
from dilution.training import BatchSampler, TrainConfig, TrainResult, train
from dilution.training.evaluation import Normalise, accuracy
from dilution.training.losses import cross_entropy
from dilution.training.optimizers import lr_factor, optimizer

RATES = {"adadelta": 1.0, "sgd": 0.02, "adam": 0.003, "adamw": 0.003}
SCHEDULES = ["constant", "linear", "cosine", "step"]
ORDERS = ["sampled", "pooled", "expected"]
VALIDATION = ["val_acc_clean", "val_loss_noisy", "val_acc_noisy"]
HISTORY = ["step", "train_loss", *VALIDATION, "test_acc", "test_acc_top5"]


pytestmark = pytest.mark.usefixtures("one_thread")


def weights(result):
    return torch.cat([part.flatten() for part in result.module.state_dict().values()])


def trained(model="mlp1", *, n=300, alpha=1.0, seed=0, test=None, image_source="same", **changes):
    digits = load("digits")
    noisy = Dilution(digits.train, alpha, n=n, image_source=image_source, seed=seed)
    changes = {"steps": 24, "n_evals": 3, "batch_size": 32} | changes
    return train(model, noisy, test=test or digits.test, seed=seed, **changes)


@cache
def contract(name, schedule, order, seed=0):
    settings = {"optimizer": name, "lr": RATES[name], "schedule": schedule, "targets": order}
    return trained(**settings, weight_decay=0.01, seed=seed)


def every_way(test):
    """Run a test for each optimizer, schedule and order."""
    for name, values in [("targets", ORDERS), ("schedule", SCHEDULES), ("name", RATES)]:
        test = pytest.mark.parametrize(name, values)(test)
    return test


@every_way
def test_every_way_to_train_learns_within_a_few_steps(name, schedule, order):
    result = contract(name, schedule, order)
    history = result.history
    assert result.state == "done"
    assert result.diverged_at is None
    assert list(history.columns) == HISTORY
    assert history["step"].tolist() == [8, 16, 24]
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] - 0.02
    assert result.summary()["test_acc_last"] > 0.25  # chance is 0.1


@every_way
def test_every_way_to_train_repeats_bit_for_bit_and_differs_by_seed(name, schedule, order):
    result, other = contract(name, schedule, order), contract(name, schedule, order, seed=1)
    again = contract.__wrapped__(name, schedule, order)
    assert torch.equal(weights(result), weights(again))
    pd.testing.assert_frame_equal(result.history, again.history, check_exact=True)
    assert not torch.equal(weights(result), weights(other))
    assert not result.history.equals(other.history)


def test_every_setting_leads_to_other_weights():
    ends = [weights(contract(*way)) for way in itertools.product(RATES, SCHEDULES, ORDERS)]
    assert not any(torch.equal(x, y) for i, x in enumerate(ends) for y in ends[:i])


@pytest.mark.parametrize("model", ["perceptron", "conv2"])
def test_clean_digits_are_learnt(model):
    result = trained(model, n=1000, alpha=0, optimizer="adam", lr=0.01, steps=60)
    assert result.summary()["test_acc_last"] > 0.85
    assert (result.n_training, result.n_validation, result.n_test) == (900, 100, 360)


def test_training_leaves_the_global_generators_alone():
    def global_states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = global_states()
    trained("conv2", steps=2)
    assert global_states() == before


@pytest.mark.parametrize("targets", ORDERS)
def test_permuting_the_test_labels_changes_no_weight_and_no_choice(order):
    test = load("digits").test
    permuted = Arrays(test.images, test.labels.roll(7), test.classes)
    settings = {"targets": order, "optimizer": "adam", "lr": 0.02, "steps": 60, "n_evals": 10}
    honest, blind = trained(**settings), trained(**settings, test=permuted)
    assert torch.equal(weights(honest), weights(blind))
    unseen = [name for name in HISTORY if name not in ("test_acc", "test_acc_top5")]
    pd.testing.assert_frame_equal(honest.history[unseen], blind.history[unseen], check_exact=True)
    assert not honest.history["test_acc"].equals(blind.history["test_acc"])
    for name in ("step_at_best_clean_val", "step_at_best_noisy_val", "val_acc_clean", "steps_done"):
        assert honest.summary()[name] == blind.summary()[name]


def test_validation_examples_do_not_take_part_in_training():
    digits = load("digits")
    noisy = Dilution(digits.train, 2, n=300, seed=4)
    aside = noisy.hold_out(30)[1].clean_rows
    images, labels = digits.train.images.clone(), digits.train.labels.clone()
    images[aside], labels[aside] = 255 - images[aside], (labels[aside] + 1) % 10
    changed = Dilution(Arrays(images, labels, digits.train.classes), 2, n=300, seed=4)
    first, second = (
        train("mlp1", each, test=digits.test, n_val=30, steps=10, batch_size=32) for each in (noisy, changed)
    )
    assert torch.equal(weights(first), weights(second))
    assert not first.history["val_acc_clean"].equals(second.history["val_acc_clean"])


def test_noisy_validation_is_the_cross_entropy_on_labels_as_noisy_as_the_training():
    digits = load("digits")
    noisy = Dilution(digits.train, 3, n=300)
    result = train("mlp1", noisy, test=digits.test, n_val=60, steps=10, n_evals=1)
    held_out = noisy.hold_out(60)[1]
    everything = torch.arange(len(held_out))
    chances = result.predict(held_out.images(everything)).double()
    by_hand = -chances.log()[everything, held_out.labels(everything)].mean()
    assert result.history["val_loss_noisy"].iloc[-1] == pytest.approx(float(by_hand), rel=1e-5)
    named = chances.argmax(dim=1) == held_out.labels(everything)
    agreement = result.history["val_acc_noisy"].iloc[-1]
    assert agreement == pytest.approx(float(named.double().mean()), rel=1e-6)
    clean = chances[:60].argmax(dim=1) == held_out.labels(torch.arange(60))
    assert result.history["val_acc_clean"].iloc[-1] == pytest.approx(float(clean.double().mean()))


def summary_of(clean, noisy, test, state="done"):
    steps = range(10, 10 * len(test) + 1, 10)
    history = pd.DataFrame(
        {"step": steps, "val_acc_clean": clean, "val_loss_noisy": noisy, "test": test, "train_loss": 1.0}
    )
    history["test_acc_top5"] = history["test_acc"] + 0.05
    rest = {"delivered": None, "n_training": 1, "n_validation": 1, "n_test": 1, "seconds": 0.0}
    rest |= {"diverged_at": None, "module": None, "prepare": None}
    return TrainResult(state=state, history=history, **rest).summary()


def test_the_step_is_chosen_on_validation_data_the_first_in_a_tie():
    found = summary_of([0.1, 0.8, 0.8, 0.7], [2.0, 1.9, 1.5, 1.5], [0.2, 0.3, 0.4, 0.9])
    assert found == {
        "test_acc_last": 0.9,
        "test_acc_at_best_clean_val": 0.3,
        "test_acc_top5": 0.35,
        "test_acc_at_best_noisy_val": 0.4,
        "test_acc_max": 0.9,
        "val_acc_clean": 0.8,
        "step_at_best_clean_val": 20,
        "step_at_best_noisy_val": 30,
        "steps_done": 40,
    }


def test_a_diverged_training_reports_no_accuracy():
    assert summary_of([0.5], [1.0], [0.5], state="diverged") == {}


@pytest.mark.parametrize("ema_decay", [0, 0.5])
@pytest.mark.parametrize("n_evals", [1, 4])
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_divergence_ends_a_run_with_its_state_and_step(steps, n_evals, ema_decay):
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
    # The divergence shows in the step's own loss or in the evaluation after it.
    assert result.history["step"].tolist() == list(range(1, result.diverged_at))
    assert np.isfinite(result.history.to_numpy()).all()


@pytest.mark.parametrize(
    ("steps", "n_evals", "expected"),
    [(10, 1, [10]), (10, 3, [3, 7, 10]), (3, 10, [1, 2, 3]), (1, 10, [1]), (24, 4, [6, 12, 18, 24])],
)
def test_evaluations_are_evenly_spaced_and_the_last_step_is_one(steps, n_evals, expected):
    assert trained("perceptron", steps=steps, n_evals=n_evals).history["step"].tolist() == expected


def test_how_often_it_is_evaluated_changes_no_weight():
    assert torch.equal(weights(trained(n_evals=1)), weights(trained(n_evals=12)))


def test_the_loop_equals_one_written_by_hand_with_its_exponential_average():
    digits = load("digits")
    noisy = Dilution(digits.train, 1.5, n=200)
    settings = TrainConfig(
        optimizer="adam", lr=0.01, schedule="cosine", batch_size=16, steps=12, ema_decay=0.8, n_evals=1
    )
    result = train("mlp1", noisy, test=digits.test, n_val=20, seed=3, settings=settings)

    training, _ = noisy.hold_out(20)
    module = build("mlp1", (1, 8, 8), 10, seed=3)
    prepare = Normalise(digits.train, training.clean_rows)
    using = optimizer(module.parameters(), settings)
    losses, average = [], None
    for step, batch in enumerate(BatchSampler(training, "sampled", 16, seed=3).batches(12)):
        using.param_groups[0]["lr"] = 0.01 * lr_factor("cosine", step, 12)
        loss = cross_entropy(module(prepare(batch.images)), batch.targets)
        module.zero_grad()
        loss.backward()
        using.step()
        losses.append(float(loss.detach()))
        now = torch.cat([part.detach().flatten() for part in module.parameters()])
        average = now if average is None else 0.8 * average + 0.2 * now
    assert torch.allclose(weights(result), average, atol=1e-6)
    assert not torch.allclose(now, average, atol=1e-3)
    assert result.history["train_loss"].iloc[0] == pytest.approx(np.mean(losses), rel=1e-5)


def test_accuracy_among_five_is_the_share_of_labels_in_the_five_largest_logits():
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(400, 20, generator=draw), torch.randint(20, (400,), generator=draw)
    ranks = (logits > logits.gather(1, labels[:, None])).sum(dim=1)
    assert accuracy(logits, labels) == pytest.approx(float((ranks == 0).double().mean()))
    assert accuracy(logits, labels, among=5) == pytest.approx(float((ranks < 5).double().mean()))
    assert accuracy(logits, labels, among=50) == 1.0


def test_averaged_weights_differ_and_are_what_is_evaluated():
    settings = {"optimizer": "sgd", "lr": 0.1, "steps": 30}
    plain, averaged = trained(**settings), trained(**settings, ema_decay=0.9)
    assert not torch.equal(weights(plain), weights(averaged))
    assert plain.history["train_loss"].equals(averaged.history["train_loss"])  # the same path
    test = load("digits").test
    for result in (plain, averaged):
        assert accuracy(result.predict(test.images), test.labels) == result.summary()["test_acc_last"]


@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_image_sources_train_one_example_at_a_time(images):
    digits = load("digits")
    source = Arrays(255 - digits.test.images, digits.test.labels) if images == "external" else images
    result = trained(images=source, alpha=2, optimizer="adam", lr=0.01)
    assert result.state == "done"
    assert result.summary()["test_acc_last"] > 0.25


@pytest.mark.parametrize("targets", ORDERS)
def test_the_result_carries_the_noise_of_its_order(order):
    noise_summary = trained(alpha=2, order=order, steps=1).noise_summary
    assert noise_summary.alpha_expected == 2
    assert noise_summary.noise_rate_expected == pytest.approx(0.6)
    drawn = not np.array_equal(noise_summary.transition_expected, noise_summary.transition_empirical)
    assert drawn == (order != "expected")
    assert np.array_equal(noise_summary.transition_expected, uniform().overall(10, 2, 0))


def test_normalised_training_images_have_mean_zero_and_deviation_one():
    digits = load("digits").train
    images = digits.images.repeat(1, 2, 1, 1)
    images[:, 1] = 9  # a channel of one value stays finite
    prepare = Normalise(Arrays(images, digits.labels), torch.arange(len(images)))
    normalised = prepare(images)
    assert float(normalised[:, 0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(normalised[:, 0].std()) == pytest.approx(1, abs=1e-4)
    assert float(normalised[:, 1].abs().max()) == pytest.approx(0, abs=1e-5)


def test_predictions_are_probabilities():
    chances = trained("conv2", steps=2).predict(load("digits").test.images[:9])
    assert chances.shape == (9, 10)
    assert torch.allclose(chances.sum(dim=1), torch.ones(9))


def test_what_is_easily_mixed_up_is_told_apart():
    digits = load("digits")
    noisy = Dilution(digits.train, 1, n=50)
    with pytest.raises(InputError, match="train takes a Dilution"):
        train("mlp1", digits.train, test=digits.test)
    with pytest.raises(InputError, match=r"test is a DataSet.*test half"):
        train("mlp1", noisy, test=digits)
    other = Arrays(torch.zeros(9, 1, 5, 5, dtype=torch.uint8), torch.arange(9), digits.train.classes)
    with pytest.raises(InputError, match=r"test images are \(1, 5, 5\).*training images \(1, 8, 8\)"):
        train("mlp1", noisy, test=other)
    with pytest.raises(InputError, match="seed is -1"):
        train("mlp1", noisy, test=digits.test, seed=-1)
