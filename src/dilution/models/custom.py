"""Custom models and classifiers: made by a user's factory ``module:name``, and checked."""

import inspect
import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from dilution.errors import DilutionError, InputError
from dilution.models.own_names import names_factory
from dilution.utils import rng
from dilution.utils.named_call import parse_call
from dilution.utils.references import describe_exception, resolve
from dilution.utils.rng_state import RngState

_IMAGES = 2  # in the batch that checks the output of a model


@runtime_checkable
class Classifier(Protocol):
    """An estimator that is fitted at once, as the classifiers of scikit-learn are."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit to features, float32 of shape (n, features), and class numbers, int64 of shape (n,)."""

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities of the classes that occurred, shape (n, classes that occurred)."""


def call_factory(
    name: str, shape: tuple[int, int, int], classes: int, *, seed: int
) -> nn.Module | Classifier:
    """Return the model or classifier that a factory makes, checked.

    Random numbers that the factory takes from PyTorch's global generator, as layers do, come from
    the stream ``"weights"`` of the seed; the global generator keeps its state. A model is checked
    on two images of zeros, in evaluation mode.

    Parameters
    ----------
    name
        ``"module:name"`` of a function (or class) that takes the image shape (channels, height,
        width) and the number of classes, or no arguments. It returns an ``nn.Module`` whose output is
        logits of shape (b, classes), or a classifier with ``fit`` and ``predict_proba``. Parameters in
        brackets, ``"module:name(width=8)"``, are passed by name.
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes.
    seed
        Root seed.

    Raises
    ------
    InputError
        If the factory cannot be imported, takes other arguments, raises, or returns something else;
        if the model has no parameters to train, raises, or does not return finite logits of that
        shape.
    """
    reference, parameters = parse_call(name, "model")
    factory = resolve(reference, "model")
    if isinstance(factory, nn.Module):
        raise InputError(
            f"model is {name!r}, which is a {type(factory).__name__}, a model itself; every run needs "
            "a new one. Give a function (shape, classes) that returns a model."
        )
    arguments = (shape, classes) if _takes_arguments(name, factory, parameters) else ()
    with RngState(rng.stream(seed, "weights")):
        try:
            model = factory(*arguments, **parameters)
        except Exception as error:
            called = f"called with {shape}, {classes}" if arguments else "called without arguments"
            raise InputError(
                f"model is {name!r}; {called} it raised {describe_exception(error)}. It gets the image shape "
                "(channels, height, width) and the number of classes, or nothing."
            ) from None
        if isinstance(model, nn.Module):
            _check_model(name, model, shape, classes)
            return model
    if isinstance(model, type) or not isinstance(model, Classifier):
        raise InputError(
            f"model is {name!r}, which returned a {type(model).__name__}; it must return a torch.nn.Module, "
            "or an object with fit and predict_proba like the classifiers of scikit-learn."
        )
    return model


@contextmanager
def errors_of_model(name: str) -> Iterator[None]:
    """Turn an exception of a custom model that trains or predicts into an error that names the model.

    Parameters
    ----------
    name
        Name of the model, ``"module:name"``; exceptions of other models stay as they are.

    Raises
    ------
    InputError
        In place of an exception of the model.
    """
    try:
        yield
    except DilutionError:
        raise
    except Exception as error:
        if not names_factory(name):
            raise
        *_, last = traceback.extract_tb(error.__traceback__)
        raise InputError(
            f"model is {name!r}; as it trained or predicted, {describe_exception(error)} was raised in line "
            f"{last.lineno} of {last.filename}. It must accept batches of images of this data set, in "
            "training and in evaluation mode."
        ) from error


def _takes_arguments(name: str, factory: Any, parameters: dict[str, Any]) -> bool:
    """Return whether a factory takes image shape and classes, or nothing; refuse one that takes neither.

    Parameters in the name come in addition.

    A class whose parameters all have defaults takes nothing, since these are settings: of a classifier, or of
    a module, unless one is called ``shape`` or ``classes``.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some built-in functions have none
        return True
    is_named = bool({"shape", "classes"} & set(signature.parameters))
    if isinstance(factory, type) and _binds(signature, parameters) and signature.parameters and not is_named:
        return False
    try:
        signature.bind((1, 1, 1), 2, **parameters)
    except TypeError as error:
        if _binds(signature, parameters):
            return False
        raise InputError(
            f"model is {name!r}, which takes {signature}: {error}. It must take two arguments, the image "
            "shape (channels, height, width) and the number of classes, or none, and the parameters that its "
            "name has in brackets."
        ) from None
    return True


def _binds(signature: inspect.Signature, parameters: dict[str, Any]) -> bool:
    """Return whether a function can be called with the parameters alone."""
    try:
        signature.bind(**parameters)
    except TypeError:
        return False
    return True


def _check_model(name: str, model: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    images = torch.zeros(_IMAGES, *shape)
    is_row = shape[1:] == (1, 1)
    flatten = " Rows of features are images of one pixel: begin with a layer Flatten." if is_row else ""
    model.eval()
    try:
        logits = model(images)
    except Exception as error:
        raise InputError(
            f"model is {name!r}; called with images of shape {tuple(images.shape)}, float32, it raised "
            f"{describe_exception(error)}. It must accept images of this data set, which are "
            f"{_describe(shape)}.{flatten}"
        ) from None
    model.train()
    if not any(weights.requires_grad for weights in model.parameters()):
        raise InputError(
            f"model is {name!r}, and it has no parameters to train. Its layers must be attributes of the "
            "module, or in an nn.ModuleList."
        )
    expected = f"logits, a floating-point tensor of shape ({_IMAGES}, {classes}) for {_IMAGES} images"
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        kind = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"model is {name!r}, which returned {kind}; it must return {expected}.")
    if tuple(logits.shape) != (_IMAGES, classes):
        raise InputError(
            f"model is {name!r}, which returned shape {tuple(logits.shape)}; it must return {expected}. "
            "Its last layer must have as many outputs as `classes`, the second argument."
        )
    if not bool(logits.isfinite().all()):
        raise InputError(
            f"model is {name!r}, which returned {_first_not_finite(logits)} for images of zeros; its logits "
            "must be finite. Check its initial weights, divisions and logarithms."
        )
    if not logits.requires_grad:
        raise InputError(
            f"model is {name!r}, and its logits have no gradient by its weights. It must neither detach them "
            "nor compute under torch.no_grad()."
        )


def _first_not_finite(logits: Tensor) -> float:
    return cast(float, next(value for value in logits.flatten().tolist() if not math.isfinite(value)))


def _describe(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{channels} channel{'s' if channels > 1 else ''} of {height}×{width}"
