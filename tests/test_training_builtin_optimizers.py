"""The built-in optimizers beside those of torch: steps, states, and what they import."""

import copy
import pickle

import pytest
import torch
from torch import nn

from dilution.training import TrainConfig
from dilution.training.optimizers import OPTIMIZERS, make_optimizer

TORCH = {
    "adadelta": (torch.optim.Adadelta, {"rho": 0.9, "foreach": True}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_built_in_optimizers_take_the_steps_of_torch_and_go_on_from_its_state(name):
    def weights():
        return [nn.Parameter(torch.linspace(-1, 1, 6).view(3, 2)), nn.Parameter(torch.linspace(0.5, 1, 3))]

    def step(optimizer, weights):
        optimizer.zero_grad()
        sum(weight.pow(3).sum() for weight in weights).backward()
        optimizer.step()

    kind, defaults = TORCH[name]
    own_weights, torch_weights = weights(), weights()
    own = make_optimizer(own_weights, TrainConfig(optimizer=name, lr=0.1, weight_decay=0.01, momentum=0.9))
    published = kind(torch_weights, lr=0.1, weight_decay=0.01, **defaults)
    for _ in range(3):
        step(own, own_weights)
        step(published, torch_weights)
    resumed = weights()
    with torch.no_grad():
        for new, old in zip(resumed, torch_weights, strict=True):
            new.copy_(old)
    other = make_optimizer(resumed, TrainConfig(optimizer=name, lr=0.1, weight_decay=0.01, momentum=0.9))
    other.load_state_dict(copy.deepcopy(published.state_dict()))
    for optimizer, trained in ((own, own_weights), (published, torch_weights), (other, resumed)):
        step(optimizer, trained)
    assert type(pickle.loads(pickle.dumps(own))) is type(own)
    for first, second, third in zip(own_weights, torch_weights, resumed, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)
