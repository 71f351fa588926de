"""Networks and classifiers of a user's own: what a factory ``module:name`` makes, checked."""

import inspect
import math
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from dilution.errors import InputError
from dilution.utils import rng
from dilution.utils.references import raised, resolve
from dilution.utils.rng_state import RngState

_IMAGES = 2  # shown to a network to see what it returns


@runtime_checkable
class Classifier(Protocol):
    """What learns without steps, as the classifiers of scikit-learn do."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from features, float32 of shape (n, features), and class numbers, int64 of shape (n,)."""

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities of the classes that occurred, shape (n, classes that occurred)."""


def make(name: str, shape: tuple[int, int, int], classes: int, *, seed: int) -> nn.Module | Classifier:
    """Call a factory and check what it made.

    Its random numbers, if it takes them from PyTorch's global generator as layers do, come from the stream
    ``"weights"`` of the seed; the global generator is left as it was. A network is shown two images of
    zeros, in evaluation mode.

    Parameters
    ----------
    name
        ``"module:name"`` of a function of the image shape (channels, height, width) and the number of
        classes. It returns an ``nn.Module`` whose output is logits of shape (b, classes), or a classifier
        with ``fit`` and ``predict_proba``. A class with such a constructor is one too.
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes.
    seed
        Root seed.

    Raises
    ------
    InputError
        If the factory cannot be imported, takes other arguments, raises, or makes something else; if the
        network has nothing to train, raises, or returns no finite logits of that shape.
    """
    factory = resolve(name, "model")
    if isinstance(factory, nn.Module):
        raise InputError(
            f"model is {name!r}, which is a {type(factory).__name__}, a network itself; every run needs "
            "a new one. Give a function (shape, classes) that returns one."
        )
    _check_arguments(name, factory)
    with RngState(rng.stream(seed, "weights")):
        try:
            made = factory(shape, classes)
        except Exception as error:
            raise InputError(
                f"model is {name!r}; called with {shape}, {classes} it raised {raised(error)}. It gets the "
                "image shape (channels, height, width) and the number of classes."
            ) from None
        if isinstance(made, nn.Module):
            _check_model(name, made, shape, classes)
            return made
    if isinstance(made, type) or not isinstance(made, Classifier):
        raise InputError(
            f"model is {name!r}, which returned a {type(made).__name__}; it must return a torch.nn.Module, "
            "or an object with fit and predict_proba as the classifiers of scikit-learn have."
        )
    return made


def _check_arguments(name: str, factory: Any) -> None:
    """Refuse a function that does not take two arguments; calling it would blame something else."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # built-in ones may have none; the call will tell
        return
    try:
        signature.bind((1, 1, 1), 2)
    except TypeError as error:
        raise InputError(
            f"model is {name!r}, which takes {signature}: {error}. It must take two arguments, the image "
            "shape (channels, height, width) and the number of classes."
        ) from None


def _check_model(name: str, model: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    images = torch.zeros(_IMAGES, *shape)
    model.eval()
    try:
        logits = model(images)
    except Exception as error:
        raise InputError(
            f"model is {name!r}; shown images of shape {tuple(images.shape)}, float32, it raised "
            f"{raised(error)}. It must take images of this data set, which are {_shape(shape)}."
        ) from None
    model.train()
    if not any(weights.requires_grad for weights in model.parameters()):
        raise InputError(
            f"model is {name!r}, and it has no parameters to train. Its layers must be attributes of the "
            "module, or in an nn.ModuleList."
        )
    wanted = f"logits, a floating-point tensor of shape ({_IMAGES}, {classes}) for {_IMAGES} images"
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        kind = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"model is {name!r}, which returned {kind}; it must return {wanted}.")
    if tuple(logits.shape) != (_IMAGES, classes):
        raise InputError(
            f"model is {name!r}, which returned shape {tuple(logits.shape)}; it must return {wanted}. "
            "Its last layer must have as many outputs as `classes`, the second argument."
        )
    if not bool(logits.isfinite().all()):
        raise InputError(
            f"model is {name!r}, which returned {_first_wrong(logits)} for images of zeros; its logits "
            "must be finite. Look at its initial weights, and at divisions and logarithms."
        )
    if not logits.requires_grad:
        raise InputError(
            f"model is {name!r}, and no gradient leads from its logits to its weights. It must not detach "
            "them, nor compute under torch.no_grad()."
        )


def _first_wrong(logits: Tensor) -> float:
    return cast(float, next(each for each in logits.flatten().tolist() if not math.isfinite(each)))


def _shape(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{channels} channel{'s' if channels > 1 else ''} of {height}×{width}"
