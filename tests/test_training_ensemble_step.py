"""Which way a run group takes its steps, and what is said where the GPU kernels cannot be used."""

import importlib
import importlib.util
import logging
import subprocess

import pytest
import torch
from torch import nn

from dilution.errors import DataError
from dilution.models import build_model
from dilution.training.config import TrainConfig
from dilution.training.ensemble_step import (
    EnsembleStep,
    _is_convnet,
    _obstacle_to_kernels,
    _warn_once,
    make_group_step,
)
from dilution.training.fallback_step import FallbackStep, is_triton_failure
from dilution.training.kernels.layers import find_layers
from dilution.training.step_state import OtherStepError, check_kind, kind_of

CONFIG = TrainConfig(optimizer="sgd", precision="bfloat16")


@pytest.mark.parametrize("name", ["conv2", "conv4", "conv6"])
@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32), (1, 9, 7)])
def test_the_convnets_of_the_paper_are_for_the_kernels_where_triton_is(monkeypatch, name, image_shape):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    model = build_model(name, image_shape, 10, seed=0)
    assert _obstacle_to_kernels(model, image_shape, "bfloat16") is None
    assert "they compute in bfloat16, and precision is 'float32'" in str(
        _obstacle_to_kernels(model, image_shape, "float32")
    )


def test_a_missing_triton_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    obstacle = _obstacle_to_kernels(build_model("conv4", (1, 28, 28), 10, seed=0), (1, 28, 28), "bfloat16")
    assert obstacle == "Triton is not installed (pip install triton)"


def test_a_convnet_that_the_kernels_do_not_know_is_named():
    model = nn.Sequential(nn.Conv2d(1, 24, 5), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 16, 10))
    assert _is_convnet(model)
    assert "3×3" in str(_obstacle_to_kernels(model, (1, 8, 8), "bfloat16"))


def large_convnet(hidden=16):
    """Return a ConvNet for images of 224×224 that allocates nothing."""
    first, second = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
    dense = nn.Linear(112 * 112 * 32, hidden), nn.ReLU(), nn.Linear(hidden, 10)
    return nn.Sequential(first, nn.ReLU(), second, nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), *dense)


@pytest.mark.parametrize(("batch_size", "known"), [(1313, True), (1314, False), (2048, False)])
def test_batches_whose_maps_have_too_many_elements_are_left_to_torch(monkeypatch, batch_size, known):
    """With its border a map of 224×224 has 226² · 32 elements per image, and 1,314 of them are over 2³¹."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    with torch.device("meta"):
        model = large_convnet()
    assert (find_layers(model, (3, 224, 224), batch_size) is not None) == known
    obstacle = _obstacle_to_kernels(model, (3, 224, 224), "bfloat16", batch_size=batch_size)
    assert (obstacle is None) == known
    assert known or f"batch_size is {batch_size:,}" in str(obstacle)


@pytest.mark.parametrize(("hidden", "known"), [(5349, True), (5350, False)])
def test_dense_layers_with_too_many_parameters_are_left_to_torch(hidden, known):
    """They have 112² · 32 · 5,350 weights, which are over 2³¹."""
    with torch.device("meta"):
        model = large_convnet(hidden)
    assert (find_layers(model, (3, 224, 224)) is not None) == known


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


def test_a_learning_rate_that_is_a_tensor_stays_on_its_device_when_a_state_is_loaded():
    models = [build_model("mlp1", (1, 8, 8), 10, seed=0)]
    step = EnsembleStep(models, TrainConfig(optimizer="adam"), [0.1])
    step._optimizer.param_groups[0]["lr"] = lr = torch.tensor(0.1)
    state = step.state()
    state["optimizer"]["param_groups"][0]["lr"] = torch.tensor(0.1, device="meta")
    step.load(state)
    assert step._optimizer.param_groups[0]["lr"] is lr


@pytest.mark.parametrize(
    "error",
    [ImportError("libcuda.so.1: cannot open"), OSError("no driver"), RuntimeError("0 active drivers")],
    ids=type,
)
def test_torch_trains_where_triton_cannot_be_imported_and_says_so_once(monkeypatch, caplog, error):
    def fails(name):
        raise error

    _warn_once.cache_clear()
    monkeypatch.setattr("dilution.training.ensemble_step._is_on_gpu", lambda _: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(importlib, "import_module", fails)
    models = [build_model("conv2", (1, 8, 8), 10, seed=seed) for seed in range(2)]
    with caplog.at_level(logging.WARNING, logger="dilution"):
        steps = [make_group_step(models, (1, 8, 8), CONFIG, [0.1, 0.2]) for _ in range(2)]
    assert [type(step) for step in steps] == [EnsembleStep] * 2
    (record,) = caplog.records
    assert f"Triton cannot be imported ({error})" in record.getMessage()


def raised(error, *packages):
    """Return an error that was raised in a module of the last package, which the others called."""
    function = None
    for package in reversed(packages):
        scope = {"__name__": f"{package}.module", "inner": function, "error": error}
        exec("def outer():\n    if inner: inner()\n    raise error", scope)
        function = scope["outer"]
    try:
        function()
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "packages", "expected"),
    [
        (RuntimeError("Failed to find C compiler."), ("dilution", "triton"), True),
        (AssertionError("libcuda.so cannot found!"), ("dilution", "triton"), True),
        (OSError("Read-only file system"), ("dilution", "triton", "os"), True),
        (subprocess.CalledProcessError(1, "gcc"), ("dilution", "triton", "subprocess"), True),
        (torch.OutOfMemoryError("CUDA out of memory."), ("dilution", "triton", "torch"), False),
        (RuntimeError("Triton Error [CUDA]: out of memory"), ("dilution", "triton"), False),
        (RuntimeError("shapes differ"), ("dilution", "torch"), False),
        (RuntimeError("ours"), ("dilution",), False),
        (RuntimeError("ours, called by Triton"), ("dilution", "triton", "dilution"), False),
        (TypeError("a launch of ours is wrong"), ("dilution", "triton"), False),
        (DataError("ours"), ("dilution", "triton"), False),
    ],
)
def test_failures_of_triton_are_told_from_ours_and_from_too_little_memory(error, packages, expected):
    assert is_triton_failure(raised(error, *packages)) is expected


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 16, 1, 8, 8, generator=generator)
    return images, torch.randint(10, (2, 16), generator=generator)


class Kernels(EnsembleStep):
    """Stands for the kernels on a GPU: its first step fails in one of them."""

    def update_weights(self, images, targets):
        raise OSError("out of resource: shared memory, Required: 300000, Hardware limit: 232448.")

    def state(self):
        return {"kind": "kernels", "weights": torch.zeros(1)}

    def load(self, state):
        check_kind(state, "kernels")


def with_fallback(warnings, kernels=Kernels):
    def models():
        return [build_model("conv2", (1, 8, 8), 10, seed=seed) for seed in range(2)]

    config, lrs = TrainConfig(optimizer="sgd"), [0.1, 0.2]
    return FallbackStep(
        kernels(models(), config, lrs),
        lambda: EnsembleStep(models(), config, lrs),
        lambda error: isinstance(error, OSError),
        warnings.append,
    )


def test_torch_takes_over_where_the_gpu_cannot_run_the_kernels():
    warnings = []
    step, torch_step = with_fallback(warnings), with_fallback([], EnsembleStep)
    for seed in range(3):
        assert torch.equal(step.step(*batch(seed), 0.5), torch_step.step(*batch(seed), 0.5))
    for one, other in zip(step.model(1).parameters(), torch_step.model(1).parameters(), strict=True):
        assert torch.equal(one, other)
    (reason,) = warnings
    assert reason == (
        "they cannot run on this machine "
        "(out of resource: shared memory, Required: 300000, Hardware limit: 232448)"
    )
    assert step.state()["kind"] == "torch"


def test_other_errors_of_a_step_are_raised():
    class Wrong(Kernels):
        def update_weights(self, images, targets):
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        with_fallback([], Wrong).step(*batch(0), 1.0)


def test_a_state_of_torch_is_resumed_by_torch():
    warnings, first = [], with_fallback([])
    first.step(*batch(0), 1.0)
    second = with_fallback(warnings)
    second.load(first.state())
    assert torch.equal(first.step(*batch(1), 1.0), second.step(*batch(1), 1.0))
    assert warnings == ["the checkpoint is of a training by torch, which goes on"]


def test_a_state_of_the_kernels_is_not_resumed_by_torch():
    step = with_fallback([])
    step.load({"kind": "kernels", "weights": torch.zeros(1)})
    with pytest.raises(
        DataError, match="saved by the GPU kernels of run groups, and they cannot run on this machine"
    ):
        step.step(*batch(0), 1.0)


def test_the_kind_of_a_state_is_named_or_follows_from_its_parts():
    assert [kind_of(state) for state in ({"weights": 1}, {"ensemble": {}}, {"kind": "kernels"})] == [
        "kernels", "torch", "kernels",
    ]  # fmt: skip
    with pytest.raises(OtherStepError, match="computed by torch, and now by the GPU kernels"):
        check_kind({"ensemble": {}}, "kernels")
