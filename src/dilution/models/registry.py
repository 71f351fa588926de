"""Networks by name, built without touching a global generator."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from dilution.errors import InputError, unknown
from dilution.models.convnet import channels_last, conv
from dilution.models.custom import make
from dilution.models.mlp import mlp
from dilution.models.resnet import resnet
from dilution.utils import rng
from dilution.utils.references import is_reference

Factory = Callable[[tuple[int, int, int], int], nn.Module]
"""Function (image shape (channels, height, width), classes) → module that returns logits."""

MODELS: dict[str, Factory] = {
    "perceptron": partial(mlp, hidden=0),
    "mlp1": partial(mlp, hidden=1),
    "mlp2": partial(mlp, hidden=2),
    "mlp4": partial(mlp, hidden=4),
    "conv2": partial(conv, layers=2),
    "conv4": partial(conv, layers=4),
    "conv6": partial(conv, layers=6),
    "resnet18": resnet,
    "resnet18_w16": partial(resnet, width=16),
    "resnet50": partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True),
}

LABELS = {
    "perceptron": "Perceptron",
    "mlp1": "MLP-1",
    "mlp2": "MLP-2",
    "mlp4": "MLP-4",
    "conv2": "Conv-2",
    "conv4": "Conv-4",
    "conv6": "Conv-6",
    "resnet18": "ResNet-18",
    "resnet18_w16": "ResNet-18, ¼ width",
    "resnet50": "ResNet-50",
}
"""How figures call the networks."""


_SIDE = 8  # images of fewer pixels to a side are rows of features to a network


def default_model(shape: tuple[int, int, int]) -> str:
    """Return the network for data of a shape: a small ConvNet for images, an MLP for features."""
    return "conv2" if min(shape[1:]) >= _SIDE else "mlp2"


def build(name: str, shape: tuple[int, int, int], classes: int, *, seed: int) -> nn.Module:
    """Build a network with initial weights from the stream ``"weights"`` of a root seed.

    Weights and biases are uniform on ±1/√fan-in, as PyTorch draws them by default. The small logits at
    the start matter under massive noise: He's larger initial weights take epochs to unlearn. A network of
    one's own keeps its own initialisation.

    Parameters
    ----------
    name
        One of `NETWORKS`, or ``"module:factory"``; see :func:`dilution.models.custom.make`.
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes.
    seed
        Root seed.

    Raises
    ------
    InputError
        If there is no network of this name, or a factory breaks a rule.
    """
    if is_reference(name):
        made = make(name, shape, classes, seed=seed)
        if isinstance(made, nn.Module):
            return made
        raise InputError(f"{name!r} makes a {type(made).__name__}; a network is a torch.nn.Module.")
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    # On the meta device a module draws no random numbers; its memory is filled below.
    with torch.device("meta"):
        module = MODELS[name](shape, classes)
    module.to_empty(device="cpu")
    draw = rng.generator(seed, "weights")
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            for weights in (layer.weight, layer.bias):
                if weights is not None:
                    nn.init.uniform_(weights, -bound, bound, generator=draw)
            if layer.weight.ndim == 4:
                layer.weight.data = channels_last(layer.weight.data)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()  # ones and zeros, nothing random
    return module
