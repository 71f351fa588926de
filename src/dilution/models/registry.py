"""Models by name, built with initial weights that depend on the seed alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from dilution.errors import InputError, unknown
from dilution.models.convnet import channels_last, convnet
from dilution.models.custom import call_factory
from dilution.models.fastcifar import fastcifar
from dilution.models.lenet import lenet
from dilution.models.mlp import mlp
from dilution.models.own_names import names_factory
from dilution.models.resnet import resnet
from dilution.utils import rng
from dilution.utils.rng_state import RngState

ModelFactory = Callable[[tuple[int, int, int], int], nn.Module]
"""Function (image shape (channels, height, width), classes) → module that returns logits."""


@dataclass(frozen=True)
class ModelEntry:
    """A built-in model.

    Parameters
    ----------
    factory
        Function that makes the model.
    display_name
        Name in figures.
    description
        One line for :func:`list_models`.
    """

    factory: ModelFactory
    display_name: str
    description: str


MODELS = {
    "perceptron": ModelEntry(partial(mlp, hidden=0), "Perceptron", "softmax regression: one linear layer"),
    "mlp1": ModelEntry(
        partial(mlp, hidden=1), "MLP-1", "multilayer perceptron, 1 hidden layer of 256 ReLU units"
    ),
    "mlp2": ModelEntry(
        partial(mlp, hidden=2), "MLP-2", "multilayer perceptron, 2 hidden layers of 256 ReLU units"
    ),
    "mlp4": ModelEntry(
        partial(mlp, hidden=4), "MLP-4", "multilayer perceptron, 4 hidden layers of 256 ReLU units"
    ),
    "conv2": ModelEntry(
        partial(convnet, layers=2), "Conv-2", "ConvNet, 2 convolutions of 3×3 and a dense layer of 256"
    ),
    "conv4": ModelEntry(
        partial(convnet, layers=4), "Conv-4", "ConvNet, 4 convolutions of 3×3 and a dense layer of 256"
    ),
    "conv6": ModelEntry(
        partial(convnet, layers=6), "Conv-6", "ConvNet, 6 convolutions of 3×3 and a dense layer of 256"
    ),
    "lenet": ModelEntry(lenet, "LeNet-5", "LeNet-5 with ReLUs and max-pooling (LeCun et al. 1998)"),
    "fastcifar": ModelEntry(
        fastcifar, "FastCIFAR", "ConvNet of 7 convolutions that learns CIFAR-10 in few epochs, normalised"
    ),
    "resnet18": ModelEntry(resnet, "ResNet-18", "residual network of 18 layers (He et al. 2016)"),
    "resnet18_w16": ModelEntry(
        partial(resnet, width=16),
        "ResNet-18, ¼ width",
        "ResNet-18 with 16 instead of 64 channels in the first stage",
    ),
    "resnet50": ModelEntry(
        partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True),
        "ResNet-50",
        "residual network of 50 layers with bottleneck blocks (He et al. 2016)",
    ),
}
"""Built-in models by name. A new model is one entry here, or ``module:factory`` without any change."""

DISPLAY_NAMES = {name: entry.display_name for name, entry in MODELS.items()}
"""Names of the models in figures."""

_SMALLEST_IMAGE = 8  # pixels per side; smaller images are treated as rows of features


def list_models() -> dict[str, str]:
    """Return the names of the built-in models, each with a one-line description."""
    return {name: entry.description for name, entry in MODELS.items()}


def count_weights(name: str, shape: tuple[int, int, int], classes: int) -> int:
    """Return the number of weights of a built-in model, for images of `shape`."""
    with torch.device("meta"):  # shapes without memory
        model = MODELS[name].factory(shape, classes)
    return sum(weights.numel() for weights in model.parameters())


def default_model(shape: tuple[int, int, int]) -> str:
    """Return the default model for data of a shape: a small ConvNet for images, an MLP for features."""
    return "conv2" if min(shape[1:]) >= _SMALLEST_IMAGE else "mlp2"


def build_model(name: str, shape: tuple[int, int, int], classes: int, *, seed: int) -> nn.Module:
    """Build a model with initial weights from the streams ``"weights…"`` of a root seed.

    Weights and biases of linear layers and convolutions are uniform on ±1/√fan-in, the default
    distribution of PyTorch. The small logits at the start matter under massive noise: He's larger
    initial weights take epochs to unlearn. Every other layer keeps the values that its constructor
    draws, and so does a custom model.

    Parameters
    ----------
    name
        One of `MODELS`, or ``"module:factory"``, also with parameters in brackets; see
        :func:`dilution.models.custom.call_factory`.
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes.
    seed
        Root seed.

    Raises
    ------
    InputError
        If there is no model of this name, a factory breaks a rule, or a parameter or buffer is left
        uninitialised.
    """
    if names_factory(name):
        model = call_factory(name, shape, classes, seed=seed)
        if isinstance(model, nn.Module):
            return model
        raise InputError(f"{name!r} returns a {type(model).__name__}; a model is a torch.nn.Module.")
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    with RngState(rng.stream(seed, "weights of other layers")), _marked_uninitialised_memory():
        model = MODELS[name].factory(shape, classes)
    _check_initialised(name, model)
    generator = rng.generator(seed, "weights")
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            _initialise(layer, generator)
    return model


def _initialise(layer: nn.Linear | nn.Conv2d, generator: torch.Generator) -> None:
    """Draw weights and biases uniformly on ±1/√fan-in."""
    bound = layer.weight[0].numel() ** -0.5
    for weights in (layer.weight, layer.bias):
        if weights is not None:
            nn.init.uniform_(weights, -bound, bound, generator=generator)
    if layer.weight.ndim == 4:
        layer.weight.data = channels_last(layer.weight.data)


@contextmanager
def _marked_uninitialised_memory() -> Iterator[None]:
    """Fill memory that ``torch.empty`` allocates with NaN, integers with the largest value."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _check_initialised(name: str, model: nn.Module) -> None:
    """Refuse a model with a parameter or buffer that its constructor leaves as it was allocated."""
    for path, layer in model.named_modules():
        tensors = (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
        for tensor_name, tensor in tensors:
            if nn.parameter.is_lazy(tensor) or _is_marked(tensor):
                where = f"layer {path!r} ({type(layer).__name__})" if path else type(layer).__name__
                raise InputError(
                    f"model is {name!r}, and {tensor_name!r} of its {where} is not initialised. Give it "
                    "values in the constructor, with torch.zeros or torch.nn.init for example."
                )


def _is_marked(tensor: Tensor) -> bool:
    if tensor.is_floating_point() or tensor.is_complex():
        return bool(tensor.isnan().any())
    return tensor.dtype != torch.bool and bool((tensor == torch.iinfo(tensor.dtype).max).any())
