"""The weights that are kept: those of the best evaluations, and of a training that stopped early."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dilution.training.kept_weights import KeptWeights


def model(value):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def kept(weights, step):
    return float(weights.load_into(model(-1.0), step).weight.detach())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_the_weights_are_those_of_the_first_best_evaluation(evaluations):
    weights = KeptWeights({"best_noisy_val", "best_noisy_acc", "best_clean_val"})
    for number, (loss, accuracy) in enumerate(evaluations):
        accuracies = {"val_acc_clean": accuracy / 3, "val_acc_noisy": 1 - accuracy / 3}
        weights.update(model(number), {"val_loss_noisy": loss, **accuracies})
    losses, accuracies = zip(*evaluations, strict=True)
    assert kept(weights, "best_noisy_val") == losses.index(min(losses))
    assert kept(weights, "best_clean_val") == accuracies.index(max(accuracies))
    assert kept(weights, "best_noisy_acc") == accuracies.index(min(accuracies))
    assert kept(weights, "last") == -1  # those of the model itself


def test_copies_do_not_change_with_the_model():
    weights, trained = KeptWeights({"best_noisy_val"}), model(1.0)
    weights.update(trained, {"val_loss_noisy": 1.0, "val_acc_clean": 0.5})
    weights.stop(trained)
    nn.init.constant_(trained.weight, 7.0)
    assert kept(weights, "best_noisy_val") == kept(weights, "last") == 1


def test_without_validation_examples_the_last_weights_stand_for_the_best():
    weights = KeptWeights({"best_noisy_val"})
    weights.update(model(1.0), {"train_loss": 1.0})
    assert kept(weights, "best_noisy_val") == -1
    weights.stop(model(3.0))
    assert kept(weights, "best_noisy_val") == kept(weights, "last") == 3


@pytest.mark.parametrize("has_stopped", [False, True])
def test_the_state_gives_everything_back(has_stopped):
    weights = KeptWeights({"best_noisy_val"})
    weights.update(model(2.0), {"val_loss_noisy": 1.0, "val_acc_clean": 0.5})
    if has_stopped:
        weights.stop(model(4.0))
    other = KeptWeights({"best_noisy_val"})
    other.load(weights.state())
    assert kept(other, "best_noisy_val") == 2
    assert kept(other, "last") == (4 if has_stopped else -1)
    other.update(model(9.0), {"val_loss_noisy": 1.5, "val_acc_clean": 0.5})
    assert kept(other, "best_noisy_val") == 2


def test_checkpoints_of_earlier_versions_are_read():
    weights = KeptWeights({"best_noisy_val"})
    weights.load(None)
    assert kept(weights, "best_noisy_val") == -1
    weights.load((1.0, {"weight": torch.full((1, 1), 5.0)}))
    assert kept(weights, "best_noisy_val") == 5
    weights.update(model(6.0), {"val_loss_noisy": 0.5, "val_acc_clean": 0.5})
    assert kept(weights, "best_noisy_val") == 6
