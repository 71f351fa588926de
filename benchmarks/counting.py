"""What the pages share: where the tables are, operations per training example, medians with their range."""

from pathlib import Path

import pandas as pd

from dilution.models import build_model

RESULTS = Path(__file__).resolve().parent / "results"
LOOP, DILUTION, SINGLE = "DataLoader loop", "dilution", "dilution, one model"
BATCH_SIZE = 128
MNIST_SHAPE, CIFAR_SHAPE = (1, 28, 28), (3, 32, 32)
IMAGE_SHAPES = {"conv6": CIFAR_SHAPE, "resnet18": CIFAR_SHAPE}
"""Image shape of the models that are not measured on images of the shape of MNIST."""
COMPILED = "compiled network of the total batch"
CEILING = "ceiling, torch.bfloat16"


def flops(model: str) -> float:
    """Return the floating-point operations of one training example: two per multiply-add.

    Three products per layer (forward, gradient of the weights, gradient of the input), two for the
    first layer. Operations other than matrix products are not counted.
    """
    import torch
    from torch import nn

    multiply_adds: list[float] = []

    def count(layer: nn.Module, _: tuple[torch.Tensor], output: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        multiply_adds.append(weight[0].numel() * output[0].numel())

    image_shape = IMAGE_SHAPES.get(model, MNIST_SHAPE)
    module = build_model(model, image_shape, 10, seed=0)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    module(torch.zeros(1, *image_shape))
    return 2 * (3 * sum(multiply_adds) - multiply_adds[0])


def median_and_range(values: "pd.Series[float]", spec: str = ".0%") -> str:
    """Return the median and the range as text, each number with this format."""
    return f"{values.median():{spec}} ({values.min():{spec}} to {values.max():{spec}})"


def provenance(measured: pd.DataFrame) -> str:
    """Return a sentence that states the code and the machine of a measurement."""
    if "code" not in measured:
        return "Measured with an earlier version that did not record itself; see the log."
    pairs = sorted(set(zip(measured["code"], measured["machine"], strict=True)))
    return "Measured with " + "; ".join(f"dilution {code} on {machine}" for code, machine in pairs) + "."
