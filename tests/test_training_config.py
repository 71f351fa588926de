"""The configuration of a training: its rules, its defaults, its budget."""

import pytest
from pydantic import ValidationError

from dilution.data import load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import TrainConfig, train
from dilution.training.config import default_n_val

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
    ({"targets": "poled"}, ["'poled' is not a value of targets", "Did you mean 'pooled'", "expected"]),
    ({"optimizer": "adelta"}, ["'adelta'", "Did you mean 'adadelta'"]),
    ({"schedule": "cosin"}, ["'cosin'", "Did you mean 'cosine'"]),
    ({"target": "pooled"}, ["'target' is not a setting", "Did you mean 'targets'"]),
    ({"batchsize": 8}, ["'batchsize' is not a setting", "Did you mean 'batch_size'"]),
    ({"batch_size": 0, "lr": 0}, ["batch_size is 0", "lr is 0"]),
]


@pytest.mark.parametrize(("settings", "fragments"), WRONG, ids=str)
def test_a_wrong_setting_is_an_input_error_with_value_and_rule(make_data, settings, fragments):
    data = make_data(30)
    with pytest.raises(InputError) as refused:
        train("perceptron", Dilution(data, 1), test=data, **settings)
    for fragment in fragments:
        assert fragment in str(refused.value)


@pytest.mark.parametrize("n_val", [0, -1, 30, 31, 2.5, "many"])
def test_validation_must_leave_examples_in_both_splits(make_data, n_val):
    data = make_data(30)
    with pytest.raises(InputError, match=r"n_val is .* it must be a whole number from 1 to n − 1 = 29"):
        train("perceptron", Dilution(data, 1), test=data, n_val=n_val)


def test_an_unknown_model_is_refused_before_training(make_data):
    data = make_data(30)
    with pytest.raises(InputError, match="Did you mean 'mlp2'"):
        train("mpl2", Dilution(data, 1), test=data)


@pytest.mark.trains
def test_a_config_is_frozen_and_single_settings_replace_its_values():
    config = TrainConfig(batch_size=8, lr=0.5)
    with pytest.raises(ValidationError):
        config.batch_size = 9
    data = load("digits")
    noisy = Dilution(data.train, 1, n=60)
    with_config = train("perceptron", noisy, test=data.test, config=config, steps=4, n_evals=1)
    with_settings = train(
        "perceptron", noisy, test=data.test, batch_size=8, lr=0.5, steps=4, n_evals=1, ema_decay=0
    )
    assert with_config.history.equals(with_settings.history)


def test_the_defaults_are_those_of_the_paper():
    config = TrainConfig()
    assert (config.optimizer, config.batch_size, config.targets) == ("adadelta", 128, "sampled")
    assert config.total_steps(1280) == 100


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
def test_the_default_n_val_is_a_tenth_and_at_most_5000(n, n_val):
    assert default_n_val(n) == n_val


def test_the_repr_has_the_settings_that_differ_from_the_defaults():
    assert repr(TrainConfig()) == "TrainConfig()"
    assert repr(TrainConfig(lr=0.5, steps=3)) == "TrainConfig(lr=0.5, steps=3)"
