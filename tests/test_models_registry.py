"""Built-in models: any image size and number of classes, weights from the seed, no global generator."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from dilution.data import load
from dilution.errors import InputError
from dilution.models import DISPLAY_NAMES, MODELS, build_model, count_weights
from dilution.models.registry import ModelEntry
from dilution.noise import Dilution
from dilution.training import train

SHAPES = [(1, 1, 1), (1, 3, 5), (2, 1, 7), (1, 8, 8), (1, 28, 28), (3, 32, 32)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_accepts_any_image_size_and_number_of_classes(name, shape):
    for classes in (2, 101) if shape == (1, 8, 8) else (10,):
        model = build_model(name, shape, classes, seed=0)
        logits = model(torch.rand(3, *shape))
        assert logits.shape == (3, classes)
        assert logits.isfinite().all()
        logits.sum().backward()
        assert all(weights.grad is not None for weights in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_other_weights(name):
    first, again, other = (build_model(name, (1, 8, 8), 10, seed=seed).state_dict() for seed in (4, 4, 5))
    random = 0
    for key, weights in first.items():
        assert torch.equal(weights, again[key])
        if bool(((weights == 0) | (weights == 1)).all()):  # initial values of batch normalisation
            continue
        assert not torch.equal(weights, other[key])
        assert float(weights.std()) > 0
        random += 1
    assert random


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_uniform_within_one_over_root_fan_in(name):
    for layer in build_model(name, (3, 8, 8), 10, seed=1).modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            weight = layer.weight.detach()
            assert float(weight.abs().max()) <= bound * (1 + 1e-6)  # float32
            assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
            assert layer.bias is None or float(layer.bias.detach().abs().max()) <= bound * (1 + 1e-6)


@pytest.mark.parametrize("name", ["perceptron", "mlp4", "conv6"])
def test_building_a_model_neither_reads_nor_changes_global_generators(name):
    def global_states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    torch.manual_seed(1)
    before = global_states()
    first = build_model(name, (1, 8, 8), 10, seed=0).state_dict()
    assert global_states() == before
    torch.manual_seed(2)
    again = build_model(name, (1, 8, 8), 10, seed=0).state_dict()
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
def test_models_have_the_layers_of_the_paper(name, kind, layers):
    modules = list(build_model(name, (1, 28, 28), 10, seed=0).modules())
    assert sum(isinstance(module, kind) for module in modules) == layers


def test_channels_double_after_every_second_convolution():
    modules = build_model("conv6", (1, 28, 28), 10, seed=0).modules()
    channels = [module.out_channels for module in modules if isinstance(module, torch.nn.Conv2d)]
    assert channels == [32, 32, 64, 64, 128, 128]


def test_every_model_has_a_name_of_its_own_in_figures():
    assert len(set(DISPLAY_NAMES.values())) == len(MODELS)


@pytest.mark.parametrize(("wrong", "near"), [("conv5", "conv"), ("perceptrn", "perceptron"), ("mlp", "mlp")])
def test_an_unknown_model_is_refused_with_the_nearest_name(wrong, near):
    with pytest.raises(InputError, match=f"'{wrong}' is not a model. Did you mean '{near}"):
        build_model(wrong, (1, 8, 8), 10, seed=0)


@pytest.mark.parametrize(("name", "weights"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_residual_networks_for_imagenet_have_the_weights_of_the_paper(name, weights):
    assert count_weights(name, (3, 224, 224), 1000) == weights


@pytest.mark.parametrize(("side", "kernel", "map_side"), [(32, 3, 4), (63, 3, 8), (64, 7, 2), (224, 7, 7)])
def test_large_images_have_the_stem_of_imagenet(side, kernel, map_side):
    model = build_model("resnet18_w16", (3, side, side), 10, seed=0)
    first = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d))
    assert first.kernel_size == (kernel, kernel)
    shapes = []
    pool = next(layer for layer in model.modules() if isinstance(layer, torch.nn.AdaptiveAvgPool2d))
    pool.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape))
    model(torch.rand(2, 3, side, side))
    assert shapes == [(2, 128, map_side, map_side)]


class OtherLayers(nn.Module):
    """Layers and tensors that are neither Linear, Conv2d nor BatchNorm2d."""

    def __init__(self, shape, classes):
        super().__init__()
        self.convolution = nn.Conv2d(shape[0], 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.activation = nn.PReLU()
        self.positions = nn.Embedding(shape[1], shape[2])
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.5))
        self.register_buffer("rows", torch.arange(shape[1]))
        self.last = nn.Sequential(nn.Flatten(), nn.LayerNorm(4 * shape[1] * shape[2]), nn.LazyLinear(classes))
        with torch.no_grad():
            self(torch.zeros(1, *shape))

    def forward(self, x):
        return self.last(
            self.activation(self.norm(self.convolution(x + self.positions(self.rows)))) * self.scale
        )


class Uninitialised(nn.Module):
    def __init__(self, tensor):
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.inner[1].extra = tensor()


@pytest.fixture
def register(monkeypatch):
    """Return a function that adds a built-in model."""

    def add(factory):
        monkeypatch.setitem(MODELS, "new", ModelEntry(factory, "New", "a model of this test"))
        return "new"

    return add


def test_layers_of_any_type_start_from_the_values_of_their_constructors(register):
    name = register(OtherLayers)
    first, again, other = (build_model(name, (1, 8, 8), 10, seed=seed) for seed in (4, 4, 5))
    for (key, weights), same in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(weights, same), key
    assert first.norm.weight.tolist() == [1.0] * 4
    assert first.last[1].bias.tolist() == [0.0] * 256
    assert first.activation.weight.tolist() == [0.25]
    assert first.scale.flatten().tolist() == [0.5] * 4
    assert first.rows.tolist() == list(range(8))
    assert float(first.positions.weight.detach().std()) == pytest.approx(1, abs=0.3)
    assert not torch.equal(first.positions.weight, other.positions.weight)
    bound = 1 / 256**0.5
    assert bound * 0.9 < float(first.last[2].weight.detach().abs().max()) <= bound * (1 + 1e-6)
    assert not torch.equal(first.last[2].weight, other.last[2].weight)


@pytest.mark.parametrize(
    "tensor",
    [
        lambda: nn.Parameter(torch.empty(3)),
        lambda: nn.Buffer(torch.empty(2, 2, dtype=torch.int64)),
        nn.UninitializedParameter,
    ],
)
def test_a_parameter_or_buffer_that_is_not_initialised_is_refused_by_name(register, tensor):
    name = register(lambda *_: Uninitialised(tensor))
    before = torch.get_deterministic_debug_mode()
    with pytest.raises(
        InputError, match=r"'new', and 'extra' of its layer 'inner\.1' \(Linear\) is not init"
    ):
        build_model(name, (1, 8, 8), 10, seed=0)
    assert torch.get_deterministic_debug_mode() == before


@pytest.mark.trains
def test_a_new_built_in_model_trains_like_the_others(register):
    digits = load("digits")
    name = register(OtherLayers)
    settings = {"optimizer": "adam", "lr": 0.01, "steps": 60, "batch_size": 32, "n_evals": 1}
    result = train(name, Dilution(digits.train, 0, n=400), test=digits.test, **settings)
    assert result.summary()["test_acc_last"] > 0.5
