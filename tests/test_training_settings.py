"""Settings of a training, learning-rate schedules, optimizers."""

from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from dilution.data import load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import TrainConfig, train
from dilution.training.config import ScheduleName, default_validation
from dilution.training.optimizers import Average, lr_factor, optimizer

WRONG = [
    ({"lr": -1}, ["lr is -1", "greater than 0"]),
    ({"lr": float("nan")}, ["lr is nan"]),
    ({"lr": float("inf")}, ["lr is inf", "finite"]),
    ({"lr": "fast"}, ["lr is 'fast'", "number"]),
    ({"momentum": 1.0}, ["momentum is 1.0", "less than 1"]),
    ({"weight_decay": -0.1}, ["weight_decay is -0.1", "greater than or equal to 0"]),
    ({"batch_size": 0}, ["batch_size is 0", "greater than or equal to 1"]),
    ({"batch_size": 2.5}, ["batch_size is 2.5", "integer"]),
    ({"epochs": 0}, ["epochs is 0", "greater than 0"]),
    ({"steps": 0}, ["steps is 0", "greater than or equal to 1"]),
    ({"ema_decay": 1.0}, ["ema_decay is 1.0", "less than 1"]),
    ({"n_evals": 0}, ["n_evals is 0", "greater than or equal to 1"]),
    ({"epochs": 2, "steps": 3}, ["epochs is 2.0 and steps is 3", "give one of them"]),
    ({"targets": "poled"}, ["'poled' is not a value of order", "Did you mean 'pooled'", "expected"]),
    ({"optimizer": "adelta"}, ["'adelta'", "Did you mean 'adadelta'"]),
    ({"schedule": "cosin"}, ["'cosin'", "Did you mean 'cosine'"]),
    ({"ordr": "pooled"}, ["'ordr' is not a setting", "Did you mean 'targets'"]),
    ({"batchsize": 8}, ["'batchsize' is not a setting", "Did you mean 'batch_size'"]),
    ({"batch_size": 0, "lr": 0}, ["batch_size is 0", "lr is 0"]),
]


@pytest.mark.parametrize(("changes", "fragments"), WRONG, ids=str)
def test_a_bad_setting_is_an_input_error_with_value_and_rule(make_data, changes, fragments):
    data = make_data(30)
    with pytest.raises(InputError) as caught:
        train("perceptron", Dilution(data, 1), test=data, **changes)
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize("n_val", [0, -1, 30, 31, 2.5, "many"])
def test_validation_must_leave_examples_on_both_sides(make_data, validation):
    data = make_data(30)
    with pytest.raises(InputError, match=r"validation is .* it must be a whole number from 1 to n − 1 = 29"):
        train("perceptron", Dilution(data, 1), test=data, n_val=validation)


def test_an_unknown_network_is_named_before_training(make_data):
    data = make_data(30)
    with pytest.raises(InputError, match="Did you mean 'mlp2'"):
        train("mpl2", Dilution(data, 1), test=data)


def test_settings_are_frozen_and_single_changes_leave_the_rest():
    settings = TrainConfig(batch_size=8, lr=0.5)
    with pytest.raises(ValidationError):
        settings.batch_size = 9
    data = load("digits")
    noisy = Dilution(data.train, 1, n=60)
    changed = train("perceptron", noisy, test=data.test, settings=settings, steps=4, n_evals=1)
    spelt_out = train(
        "perceptron", noisy, test=data.test, batch_size=8, lr=0.5, steps=4, n_evals=1, ema_decay=0
    )
    assert changed.history.equals(spelt_out.history)


def test_defaults_are_the_papers():
    settings = TrainConfig()
    assert (settings.optimizer, settings.batch_size, settings.targets) == ("adadelta", 128, "sampled")
    assert settings.total_steps(1280) == 100


@pytest.mark.parametrize(
    ("budget", "length", "steps"),
    [
        ({"steps": 7}, 1000, 7),
        ({"epochs": 1}, 1000, 8),
        ({"epochs": 2.5}, 1280, 25),
        ({"epochs": 0.001}, 100, 1),
        ({}, 128, 10),
    ],
)
def test_a_budget_in_epochs_becomes_steps(budget, length, steps):
    assert TrainConfig(**budget).total_steps(length) == steps


@pytest.mark.parametrize(
    ("n", "n_val"), [(2, 1), (19, 1), (20, 2), (1437, 143), (60_000, 5000), (50_000, 5000)]
)
def test_a_tenth_and_at_most_5000_is_set_aside(n, validation):
    assert default_validation(n) == validation


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        ("constant", 0, 1),
        ("constant", 99, 1),
        ("linear", 0, 1),
        ("linear", 30, 1),
        ("linear", 65, 0.5),
        ("linear", 99, 1 / 70),
        ("cosine", 0, 1),
        ("cosine", 25, 0.5 * (1 + 0.5**0.5)),
        ("cosine", 50, 0.5),
        ("step", 33, 1),
        ("step", 34, 0.1),
        ("step", 67, 0.01),
        ("step", 89, 0.001),
    ],
)
def test_rate_factor_has_the_value_computed_by_hand(schedule, step, factor):
    assert lr_factor(schedule, step, 100) == pytest.approx(factor)


@pytest.mark.parametrize("schedule", get_args(ScheduleName))
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_rate_factors_start_at_one_never_rise_and_stay_positive(schedule, steps):
    factors = [lr_factor(schedule, step, steps) for step in range(steps)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] > 0


@pytest.mark.parametrize("name", ["adadelta", "sgd", "adam", "adamw"])
def test_optimizers_take_rate_and_decay_from_the_settings(name):
    module = torch.nn.Linear(3, 2)
    using = optimizer(
        module.parameters(), TrainConfig(optimizer=name, lr=0.25, weight_decay=0.125, momentum=0.5)
    )
    assert type(using).__name__.lower() == name
    group = using.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)
    assert group.get("momentum", 0.5) == 0.5


def test_sgd_with_momentum_takes_the_steps_computed_by_hand():
    # Loss w²/2, gradient w. Nesterov: v ← 0.5 v + g, w ← w − 0.1 (g + 0.5 v).
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(module.weight)
    using = optimizer(module.parameters(), TrainConfig(optimizer="sgd", lr=0.1, momentum=0.5))
    w, v = 1.0, 0.0
    for _ in range(4):
        using.zero_grad()
        (module.weight.square().sum() / 2).backward()
        using.step()
        v = 0.5 * v + w
        w -= 0.1 * (w + 0.5 * v)
        assert float(module.weight.detach()) == pytest.approx(w)


def test_the_average_starts_at_the_first_weights_and_follows_exponentially():
    module = torch.nn.Linear(1, 1, bias=False)
    average = Average(module, 0.75)
    expected = None
    for value in (2.0, 4.0, -8.0):
        torch.nn.init.constant_(module.weight, value)
        average.update()
        expected = value if expected is None else 0.75 * expected + 0.25 * value
        assert float(average.module.weight.detach()) == pytest.approx(expected)
