"""Optimizers and learning-rate schedules."""

from typing import get_args

import pytest
import torch

from dilution.training import TrainConfig
from dilution.training.config import ScheduleName
from dilution.training.optimizers import lr_factor, make_optimizer


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
def test_the_lr_factor_has_the_value_computed_by_hand(schedule, step, factor):
    assert lr_factor(schedule, step, 100) == pytest.approx(factor)


@pytest.mark.parametrize("schedule", get_args(ScheduleName))
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_lr_factors_start_at_one_never_rise_and_stay_positive(schedule, steps):
    factors = [lr_factor(schedule, step, steps) for step in range(steps)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] > 0


@pytest.mark.parametrize("name", ["adadelta", "sgd", "adam", "adamw"])
def test_optimizers_take_lr_and_weight_decay_from_the_config(name):
    module = torch.nn.Linear(3, 2)
    config = TrainConfig(optimizer=name, lr=0.25, weight_decay=0.125, momentum=0.5)
    optimizer = make_optimizer(module.parameters(), config)
    assert type(optimizer).__name__.lower() == name
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)
    assert group.get("momentum", 0.5) == 0.5


def test_sgd_with_momentum_takes_the_steps_computed_by_hand():
    # Loss w²/2, gradient w. Nesterov: v ← 0.5 v + g, w ← w − 0.1 (g + 0.5 v).
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(module.weight)
    config = TrainConfig(optimizer="sgd", lr=0.1, momentum=0.5)
    optimizer = make_optimizer(module.parameters(), config)
    w, v = 1.0, 0.0
    for _ in range(4):
        optimizer.zero_grad()
        (module.weight.square().sum() / 2).backward()
        optimizer.step()
        v = 0.5 * v + w
        w -= 0.1 * (w + 0.5 * v)
        assert float(module.weight.detach()) == pytest.approx(w)
