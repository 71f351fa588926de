"""The search of the learning rate."""

import math

import pytest
from simulated_runs import BASE, simulated_training

from dilution.errors import InputError
from dilution.study.halving import Edge, edge_of, search_lr


def test_the_best_lr_is_found_and_worse_ones_are_dropped_early():
    train, calls = simulated_training(lambda run: abs(math.log(run.lr / 0.03)) + 0.01 * run.seed)
    lr, trials = search_lr(BASE, train)
    assert lr == 0.03
    assert [len({run.lr for run in runs}) for _, runs in calls] == [5, 3, 2]
    assert [runs[0].steps for _, runs in calls] == [60, 60, 60]  # fewer would favour large learning rates
    assert list(trials.columns) == ["budget_fraction", "lr", "loss"]


def test_each_round_has_twice_the_steps_and_a_weight_average_over_the_same_share_of_them():
    train, calls = simulated_training(lambda run: abs(math.log(run.lr / 0.03)))
    _, trials = search_lr(BASE.model_copy(update={"steps": 4000, "ema_decay": 0.999}), train)
    trained = [sorted({(run.steps, run.ema_decay) for run in runs}) for _, runs in calls]
    assert trained == [[(500, 0.992)], [(1000, 0.996)], [(2000, 0.998)]]  # 1 / (1 − decay) is a quarter
    assert trials["budget_fraction"].unique().tolist() == [1 / 8, 1 / 4, 1 / 2]


def test_an_lr_that_diverges_is_not_chosen():
    train, _ = simulated_training(lambda run: math.inf if run.lr > 0.005 else 1.0)
    assert search_lr(BASE, train)[0] <= 0.005


def test_lrs_beyond_an_edge_that_won_are_tried_too():
    train, calls = simulated_training(lambda run: abs(math.log(run.lr / 0.3)))
    lr, trials = search_lr(BASE, train)
    assert lr == 0.3
    assert trials["lr"].max() > 0.3
    assert [len(runs) for _, runs in calls[1:3]] == [2, 2]  # two further learning rates, one after the other


def test_divergence_at_every_lr_ends_the_search():
    train, _ = simulated_training(lambda _: math.inf)
    with pytest.raises(InputError, match="diverged at every learning rate"):
        search_lr(BASE, train)


def test_a_chosen_lr_at_an_edge_of_those_tried_is_known_as_such():
    train, _ = simulated_training(lambda run: 1 / run.lr)
    lr, trials = search_lr(BASE, train)
    tried = trials["lr"].tolist()
    assert edge_of(lr, tried) == Edge(lr, min(tried), lr)
    train, _ = simulated_training(lambda run: run.lr)
    lr, trials = search_lr(BASE, train)
    assert edge_of(lr, trials["lr"].tolist()) == Edge(lr, lr, max(trials["lr"]))
    assert edge_of(0.1, [0.01, 0.1, 1.0]) is None
