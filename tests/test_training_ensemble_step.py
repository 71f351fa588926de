"""Which way a run group takes its steps, and what is said where the GPU kernels cannot be used."""

import importlib.util
import logging

import pytest
import torch
from torch import nn

from dilution.models import build_model
from dilution.training.config import TrainConfig
from dilution.training.ensemble_step import (
    EnsembleStep,
    _is_convnet,
    _obstacle_to_kernels,
    _warn_once,
    make_group_step,
)

CONFIG = TrainConfig(optimizer="sgd", precision="bfloat16")


@pytest.mark.parametrize("name", ["conv2", "conv4", "conv6"])
@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32), (1, 9, 7)])
def test_the_convnets_of_the_paper_are_for_the_kernels_where_triton_is(monkeypatch, name, image_shape):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    assert _obstacle_to_kernels(build_model(name, image_shape, 10, seed=0), image_shape) is None


def test_a_missing_triton_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    obstacle = _obstacle_to_kernels(build_model("conv4", (1, 28, 28), 10, seed=0), (1, 28, 28))
    assert obstacle == "Triton is not installed (pip install triton)"


def test_a_convnet_that_the_kernels_do_not_know_is_named():
    model = nn.Sequential(nn.Conv2d(1, 24, 5), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 16, 10))
    assert _is_convnet(model)
    assert "3×3" in str(_obstacle_to_kernels(model, (1, 8, 8)))


@pytest.mark.parametrize("name", ["perceptron", "mlp2", "resnet18"])
def test_models_that_are_no_convnets_are_no_reason_for_a_warning(name):
    assert not _is_convnet(build_model(name, (3, 32, 32), 10, seed=0))


def test_an_obstacle_is_said_once(caplog):
    _warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger="dilution"):
        for _ in range(3):
            _warn_once("Triton is not installed (pip install triton)")
    assert [record.getMessage() for record in caplog.records] == [
        "ConvNets train by torch, slower than by the GPU kernels of run groups: "
        "Triton is not installed (pip install triton)."
    ]


def test_on_a_cpu_groups_step_by_torch(caplog):
    models = [build_model("conv2", (1, 8, 8), 10, seed=seed) for seed in range(2)]
    with caplog.at_level(logging.WARNING, logger="dilution"):
        step = make_group_step(models, (1, 8, 8), CONFIG, [0.1, 0.2])
    assert isinstance(step, EnsembleStep)
    assert not caplog.records


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize(("precision", "kernels"), [("bfloat16", True), ("float32", False)])
def test_on_a_gpu_convnets_step_by_the_kernels(precision, kernels):
    models = [build_model("conv4", (1, 28, 28), 10, seed=seed).cuda() for seed in range(2)]
    step = make_group_step(models, (1, 28, 28), TrainConfig(precision=precision), [0.1, 0.2])
    assert isinstance(step, EnsembleStep) != kernels
