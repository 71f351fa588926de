"""Models that a program passes as objects: classes, factories and classifiers, which get a name."""

import inspect
import math
import pickle
import re
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from dilution.errors import InputError, short_repr
from dilution.models.custom import Classifier
from dilution.models.own_names import canonical_name, names_factory
from dilution.utils.named_call import format_call, parse_call
from dilution.utils.references import is_reference, register_object, registered_object, resolve


def name_model(model: Any) -> str | None:
    """Return the name under which a model is trained: it can be imported, or this process then knows it.

    Parameters
    ----------
    model
        A name, which is returned in its canonical spelling, or None; a subclass of ``torch.nn.Module`` or a
        function that returns a module, which takes the image shape (channels, height, width) and the number
        of classes, or nothing; or a classifier of scikit-learn, an instance or a class, of which each
        training fits a copy.

    Raises
    ------
    InputError
        If it is nothing of this, a module instead of its class, or has no ``predict_proba``.
    """
    if model is None or isinstance(model, str):
        return canonical_name(model) if model is not None and names_factory(model) else model
    kind: type = model if isinstance(model, type) else type(model)
    if isinstance(model, nn.Module):
        raise InputError(
            f"model is a {kind.__name__}, a module itself; every training needs a new one. Pass the class, "
            "or a function (shape, classes) that makes one."
        )
    is_classifier = hasattr(kind, "fit")
    if is_classifier and not hasattr(model, "predict_proba"):
        raise InputError(
            f"model is {short_repr(model)}, which has no predict_proba; probabilities of held-out labels are "
            "needed. Pass sklearn.calibration.CalibratedClassifierCV(model), or another classifier."
        )
    if not is_classifier and not callable(model):
        raise InputError(
            f"model is a {type(model).__name__}; it must be a name, a class or function that makes a "
            "torch.nn.Module, or a classifier of scikit-learn."
        )
    if (name := _importable_name(model)) and _still_means(name, model):
        return name
    named = kind if is_classifier else model
    qualified = getattr(named, "__qualname__", type(named).__name__).replace(".<locals>", "")
    plain = re.sub(r"[^\w.]", "_", qualified)
    name = f"{getattr(named, '__module__', '__main__')}:{plain}"
    if not is_reference(name):
        name = f"__main__:{kind.__name__}"
    if _imported(name) not in (None, model):
        name = f"{name}.object"  # the name alone stands for what is imported by it
    register_object(name, CopyOf(model) if is_classifier and not isinstance(model, type) else model)
    return name


def importable_name(model: Any) -> str | None:
    """Return the name of a model that runs of a study train, in other processes and later.

    Parameters
    ----------
    model
        A name, which is returned in its canonical spelling, or None; a factory or class that can be imported
        under its own name; or an unfitted classifier of such a class whose parameters are numbers, texts or
        lists.

    Raises
    ------
    InputError
        If it is something else.
    """
    if model is None or isinstance(model, str):
        return canonical_name(model) if model is not None and names_factory(model) else model
    if name := _importable_name(model):
        return name
    kind = model if hasattr(model, "__qualname__") else type(model)
    other = _imported(f"{kind.__module__}:{kind.__qualname__}")
    if other not in (None, kind) and other.__module__ == kind.__module__ != "__main__":
        raise InputError(
            f"model is {short_repr(model)}, and {kind.__module__} has another object under the name "
            f"{kind.__qualname__}, as after a change of its file. Take that one: "
            f"importlib.import_module({kind.__module__!r}).{kind.__qualname__}"
        )
    raise InputError(
        f"model is {short_repr(model)}, an object; its runs are kept in a store and train in other "
        "processes, so it must have a name. Write a function (shape, classes) that returns it to a file of "
        "the current folder and pass 'my_module:my_function'. diagnose and fit take objects."
    )


def _importable_name(model: Any) -> str:
    """Return the name under which a model can be imported, with its parameters; empty if there is none."""
    is_classifier = hasattr(model, "predict_proba") and not isinstance(model, type)
    reference = _reference(type(model) if is_classifier else model)
    return _with_parameters(reference, model) if reference and is_classifier else reference


def _reference(model: Any) -> str:
    """Return ``module:name`` under which a function or class can be imported; empty if there is none."""
    module, qualified = getattr(model, "__module__", None), getattr(model, "__qualname__", "")
    name = f"{module}:{qualified}"
    if not callable(model) or module in (None, "__main__") or not is_reference(name):
        return ""
    return name if _imported(name) is model else ""


def _still_means(name: str, model: Any) -> bool:
    """Return whether a name means a model, or the class of a classifier, also once its module is reloaded."""
    reference, _ = parse_call(name, "model")
    return resolve(reference, "model") is (model if hasattr(model, "__qualname__") else type(model))


def _imported(name: str) -> Any:
    """Return what ``module:name`` means in the modules that are imported; None if it means nothing."""
    module, _, qualified = name.partition(":")
    target = sys.modules.get(module)
    for attribute in qualified.split("."):
        target = getattr(target, attribute, None)
    return target


def _with_parameters(reference: str, classifier: Any) -> str:
    """Return the name of a classifier with those of its parameters that are not the default.

    Empty if one of them cannot be written as text.
    """
    from sklearn.base import BaseEstimator

    if not isinstance(classifier, BaseEstimator):
        return ""
    fields = inspect.signature(type(classifier)).parameters
    defaults = {name: field.default for name, field in fields.items()}
    values = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in classifier.get_params(deep=False).items()
    }
    given = {name: value for name, value in values.items() if value is not defaults.get(name, fields)}
    if not all(map(_is_literal, given.values())):
        return ""
    changed = {k: v for k, v in given.items() if (type(v), v) != (type(defaults.get(k)), defaults.get(k))}
    return format_call(reference, changed)


def _is_literal(value: object) -> bool:
    """Return whether a name can hold a value."""
    if isinstance(value, list | tuple):
        return all(map(_is_literal, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


@dataclass(frozen=True)
class CopyOf:
    """Makes unfitted copies of a classifier.

    Parameters
    ----------
    classifier
        The classifier, which is not fitted.
    """

    classifier: Classifier

    def __call__(self) -> Classifier:
        """Return an unfitted copy."""
        from sklearn.base import clone

        copy: Classifier = clone(self.classifier, safe=False)
        return copy


def can_be_sent(name: str) -> bool:
    """Return whether worker processes can train a model: a name, or an object that can be pickled."""
    factory = registered_object(name)
    if factory is None:
        return True
    try:
        pickle.dumps(factory)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True
