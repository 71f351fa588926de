"""Networks: any image size and class count, weights from an explicit seed, no global generator."""

import random

import numpy as np
import pytest
import torch

from dilution.errors import InputError
from dilution.models import LABELS, MODELS, build

SHAPES = [(1, 1, 1), (1, 3, 5), (2, 1, 7), (1, 8, 8), (1, 28, 28), (3, 32, 32)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_every_network_takes_any_image_size_and_class_count(name, shape):
    for classes in (2, 10, 101):
        module = build(name, shape, classes, seed=0)
        logits = module(torch.rand(3, *shape))
        assert logits.shape == (3, classes)
        assert logits.isfinite().all()
        logits.sum().backward()
        assert all(weights.grad is not None for weights in module.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_other_weights(name):
    first, again, other = (build(name, (1, 8, 8), 10, seed=seed).state_dict() for seed in (4, 4, 5))
    drawn = 0
    for key, weights in first.items():
        assert torch.equal(weights, again[key])
        if set(weights.flatten().tolist()) <= {0.0, 1.0}:  # batch normalisation begins without chance
            continue
        assert not torch.equal(weights, other[key])
        assert float(weights.std()) > 0
        drawn += 1
    assert drawn


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_uniform_within_one_over_root_fan_in(name):
    for layer in build(name, (3, 8, 8), 10, seed=1).modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            weight = layer.weight.detach()
            assert float(weight.abs().max()) <= bound * (1 + 1e-6)  # float32
            assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
            assert layer.bias is None or float(layer.bias.detach().abs().max()) <= bound * (1 + 1e-6)


@pytest.mark.parametrize("name", ["perceptron", "mlp4", "conv6"])
def test_building_neither_reads_nor_changes_a_global_generator(name):
    def global_states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    torch.manual_seed(1)
    before = global_states()
    first = build(name, (1, 8, 8), 10, seed=0).state_dict()
    assert global_states() == before
    torch.manual_seed(2)
    again = build(name, (1, 8, 8), 10, seed=0).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "kind", "layers"),
    [
        ("perceptron", torch.nn.Linear, 1),
        ("mlp1", torch.nn.Linear, 2),
        ("mlp2", torch.nn.Linear, 3),
        ("mlp4", torch.nn.Linear, 5),
        ("conv2", torch.nn.Conv2d, 2),
        ("conv4", torch.nn.Conv2d, 4),
        ("conv6", torch.nn.Conv2d, 6),
        ("conv2", torch.nn.MaxPool2d, 1),
        ("conv6", torch.nn.MaxPool2d, 3),
    ],
)
def test_networks_have_the_layers_of_the_paper(name, kind, layers):
    modules = list(build(name, (1, 28, 28), 10, seed=0).modules())
    assert sum(isinstance(module, kind) for module in modules) == layers


def test_channels_double_after_every_second_convolution():
    modules = build("conv6", (1, 28, 28), 10, seed=0).modules()
    channels = [module.out_channels for module in modules if isinstance(module, torch.nn.Conv2d)]
    assert channels == [32, 32, 64, 64, 128, 128]


def test_every_network_has_a_label_for_figures():
    assert set(LABELS) == set(MODELS)


@pytest.mark.parametrize(("wrong", "near"), [("conv5", "conv"), ("perceptrn", "perceptron"), ("mlp", "mlp")])
def test_an_unknown_network_names_the_nearest_one(wrong, near):
    with pytest.raises(InputError, match=f"'{wrong}' is not a network. Did you mean '{near}"):
        build(wrong, (1, 8, 8), 10, seed=0)


@pytest.mark.parametrize(("name", "weights"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_residual_networks_for_imagenet_have_the_weights_of_the_paper(name, weights):
    module = build(name, (3, 224, 224), 1000, seed=0)
    assert sum(each.numel() for each in module.parameters()) == weights


@pytest.mark.parametrize(("side", "kernel", "seen"), [(32, 3, 4), (63, 3, 8), (64, 7, 2), (224, 7, 7)])
def test_large_images_enter_through_the_stem_of_imagenet(side, kernel, seen):
    module = build("resnet18_w16", (3, side, side), 10, seed=0)
    first = next(layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d))
    assert first.kernel_size == (kernel, kernel)
    shapes = []
    pool = next(layer for layer in module.modules() if isinstance(layer, torch.nn.AdaptiveAvgPool2d))
    pool.register_forward_hook(lambda _, given, __: shapes.append(given[0].shape))
    module(torch.rand(2, 3, side, side))
    assert shapes == [(2, 128, seen, seen)]
