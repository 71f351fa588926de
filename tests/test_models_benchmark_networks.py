"""LeNet-5 and the fast network of CIFAR-10: their layers, their sizes, and how they train in groups."""

import pytest
import torch
from torch import nn

from dilution.data import load
from dilution.models import build_model, count_weights
from dilution.models.fastcifar import LOGIT_SCALE, fastcifar
from dilution.noise import Dilution
from dilution.training import TrainConfig, TrainTask, train_together


def feature_maps(model, kind, shape):
    """Return the shapes of the outputs of all layers of a kind."""
    shapes = []
    for layer in model.modules():
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    model.eval()(torch.rand(2, *shape))
    return shapes


def test_lenet_has_the_layers_and_weights_of_the_paper():
    assert count_weights("lenet", (1, 28, 28), 10) == 61_706  # LeCun et al. 1998, with all maps connected
    model = build_model("lenet", (1, 28, 28), 10, seed=0)
    assert feature_maps(model, nn.Conv2d, (1, 28, 28)) == [(6, 28, 28), (16, 10, 10)]
    assert feature_maps(model, nn.Linear, (1, 28, 28)) == [(120,), (84,), (10,)]


def test_the_fast_network_has_a_small_first_layer_and_ends_with_maps_of_3_by_3():
    model = build_model("fastcifar", (3, 32, 32), 10, seed=0)
    maps = feature_maps(model, nn.Conv2d, (3, 32, 32))
    assert maps == [
        (24, 31, 31),
        (64, 31, 31),
        (64, 15, 15),
        (256, 15, 15),
        (256, 7, 7),
        (256, 7, 7),
        (256, 3, 3),
    ]
    assert 1.9e6 < count_weights("fastcifar", (3, 32, 32), 10) < 2.1e6


def test_the_logits_of_the_fast_network_are_scaled():
    model = fastcifar((3, 8, 8), 4)
    images = torch.rand(2, 3, 8, 8)
    unscaled = model.eval()[:-1](images)
    torch.testing.assert_close(model(images), unscaled * LOGIT_SCALE)


@pytest.mark.trains
@pytest.mark.parametrize("model", ["lenet", "fastcifar"])
def test_a_replica_has_the_same_bits_alone_and_in_a_group(model):
    digits = load("digits")
    config = TrainConfig(optimizer="sgd", lr=0.05, batch_size=16, steps=3, n_evals=1, translate=1)
    tasks = [
        TrainTask(model, Dilution(digits.train, 1, n=60, seed=seed), digits.test, seed, 6, config)
        for seed in range(2)
    ]
    together = train_together(tasks)
    for task, result in zip(tasks, together, strict=True):
        (alone,) = train_together([task])
        for name, tensor in alone.model.state_dict().items():
            assert torch.equal(tensor, result.model.state_dict()[name]), name


@pytest.mark.trains
@pytest.mark.parametrize(("model", "lr"), [("lenet", 0.003), ("fastcifar", 0.003)])
def test_the_networks_learn_digits(model, lr):
    digits = load("digits")
    config = TrainConfig(optimizer="adam", lr=lr, batch_size=32, steps=60, n_evals=1, schedule="linear")
    (result,) = train_together(
        [TrainTask(model, Dilution(digits.train, 0, n=600), digits.test, 0, 60, config)]
    )
    assert result.summary()["test_acc_last"] > 0.8
