"""The noise models by name."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dilution.errors import DilutionError, InputError, short_repr, unknown
from dilution.noise.class_flips import asymmetric, flip_pairs
from dilution.noise.fixed_transition import matrix_with_names, pair_flip, symmetric, transition
from dilution.noise.locally_concentrated import locally_concentrated, locally_concentrated_features
from dilution.noise.model_dependent import idn, pmd
from dilution.noise.part_dependent import part_dependent
from dilution.noise.per_example import observed
from dilution.noise.transition import LabelNoise, matrix, structured, uniform
from dilution.noise.transition_files import NamedMatrix
from dilution.utils.docstrings import returned
from dilution.utils.named_call import format_call, parse_call
from dilution.utils.references import describe_exception, is_reference, resolve

NOISES: dict[str, Callable[..., LabelNoise]] = {
    "uniform": uniform,
    "structured": structured,
    "matrix": matrix,
    "observed": observed,
    "transition": transition,
    "symmetric": symmetric,
    "pair_flip": pair_flip,
    "asymmetric": asymmetric,
    "part_dependent": part_dependent,
    "locally_concentrated": locally_concentrated,
    "locally_concentrated_features": locally_concentrated_features,
    "idn": idn,
    "pmd": pmd,
}
"""Functions that return a noise model, by the name that runs, studies and figures use.

A new noise model is one entry here, or ``module:factory`` without any change."""

LEVEL_NOISES = ("uniform", "structured", "matrix")
"""Noise models of added labels, whose level alpha or eta sets; their parameters are settings of a run."""

MODEL_NOISES = ("idn", "pmd", "locally_concentrated_features")
"""Noise models that need the predicted probabilities of a model."""

_SETTINGS = {
    "uniform": "alpha or eta",
    "structured": "alpha or eta, delta, noise_order='random'",
    "matrix": "alpha or eta, matrix",
}
"""Settings of a run that stand for the parameters of the noise models of added labels."""

_LONGEST_CALL = 1000  # characters of a call in a message


def list_noises() -> dict[str, str]:
    """Return the names of the noise models, each with a one-line description."""
    return {name: returned(function) for name, function in NOISES.items()}


def noise_parameters(name: str) -> str:
    """Return the parameters of a built-in noise model with their defaults: ``"rate, include_true=False"``.

    Parameters
    ----------
    name
        One of `NOISES`. Those in `LEVEL_NOISES` have settings of a run in place of parameters.
    """
    if name in LEVEL_NOISES:
        return _SETTINGS[name]
    return ", ".join(
        key if parameter.default is parameter.empty else f"{key}={parameter.default!r}"
        for key, parameter in inspect.signature(NOISES[name]).parameters.items()
        if key != "probabilities"
    )


def python_call(text: str) -> str | None:
    """Return the call in Python that makes the noise model of a text; None if the text makes none.

    Parameters
    ----------
    text
        As for :func:`canonical_noise`.
    """
    try:
        name, parameters = parse_call(text, "noise")
        if is_reference(name):
            return f"dilution.noise.noise_named({text!r})"
        if name in MODEL_NOISES:
            canonical_noise(text)  # raises where a parameter is missing or breaks its rule
        else:
            NOISES[name](**parameters)
    except (InputError, KeyError, TypeError):
        return None
    _, _, rest = format_call(name, parameters).partition("(")
    arguments = [rest.removesuffix(")")] if rest else []
    if name in MODEL_NOISES:
        arguments.append("probabilities=dilution.predicted_probabilities(data)")
    call = f"dilution.{name}({', '.join(arguments)})"
    return call if len(call) <= _LONGEST_CALL else None


def canonical_noise(text: str) -> str:
    """Return the canonical text of a noise model: parameters and flips sorted, default values left out.

    The numbers of a file of T stand in it, so that a run is the same whatever becomes of the file.

    Parameters
    ----------
    text
        ``"uniform"``, ``"symmetric(rate=0.4)"``, or ``"module:factory(rate=0.4)"``, which is not imported.

    Raises
    ------
    InputError
        If there is no such noise model, or a parameter breaks its rule.
    DataError
        If a file of T cannot be read.
    """
    name, parameters = parse_call(text, "noise")
    if is_reference(name):
        return format_call(name, parameters)
    _check_parameters(name, parameters)
    if name == "transition":
        matrix = matrix_with_names(parameters["T"], parameters.get("classes"))
        if isinstance(matrix, NamedMatrix):
            parameters = parameters | {"T": matrix.table, "classes": matrix.classes}
        else:
            parameters = parameters | {"T": matrix}
    if name in MODEL_NOISES:
        NOISES[name](probabilities=((0.5, 0.5),), **parameters)
    elif name not in (*LEVEL_NOISES, "observed"):
        NOISES[name](**parameters)
    accepted = inspect.signature(NOISES[name]).parameters
    values = {key: _of_one_type(value, accepted[key].annotation) for key, value in parameters.items()}
    if isinstance(values.get("flips"), tuple):
        values["flips"] = flip_pairs(values["flips"])
    return format_call(name, {key: value for key, value in values.items() if value != accepted[key].default})


def _of_one_type(value: Any, annotation: Any) -> Any:
    """Return a value with whole numbers as floats where a parameter is a float or a matrix of them."""
    if annotation is float:
        return float(value)
    return tuple(map(tuple, np.asarray(value, float).tolist())) if annotation is ArrayLike else value


def takes_level(text: str) -> bool | None:
    """Return whether alpha or eta belongs to a noise model; None for one of the user, which knows."""
    name, _ = parse_call(text, "noise")
    return None if is_reference(name) else name in LEVEL_NOISES


def noise_named(text: str) -> LabelNoise:
    """Return the noise model of a text whose parameters are all in it.

    Parameters
    ----------
    text
        As for :func:`canonical_noise`. The module of ``"module:factory"`` is imported.

    Raises
    ------
    InputError
        If there is no such noise model, a parameter breaks its rule, or it needs predicted probabilities.
    """
    name, parameters = parse_call(text, "noise")
    if is_reference(name):
        return _custom(name, parameters)
    _check_parameters(name, parameters)
    if name in MODEL_NOISES:
        raise InputError(
            f"noise is {text!r}, which follows the predictions of a model. Draw its labels once, and use the "
            f'file: dilution data noisy DATA labels.npy --noise "{text}", then labels="labels.npy".'
        )
    return NOISES[name](**parameters)


def _check_parameters(name: str, parameters: dict[str, Any]) -> None:
    """Refuse an unknown name, and parameters that are unknown or missing."""
    if name not in NOISES:
        raise unknown("noise", name, NOISES)
    if name in LEVEL_NOISES and parameters:
        raise InputError(
            f"noise is {name!r} with {', '.join(parameters)} in brackets; its parameters are settings of "
            f"their own: noise={name!r} beside alpha or eta, delta, noise_order, matrix."
        )
    accepted = inspect.signature(NOISES[name]).parameters
    for key in parameters:
        if not accepted:
            raise InputError(
                f"noise {name!r} has no parameters, and {short_repr(key)} is given. Give noise={name!r}."
            )
        if key not in accepted or key == "probabilities":
            raise unknown(f"parameter of noise {name!r}", key, [k for k in accepted if k != "probabilities"])
    required = [
        key
        for key, parameter in accepted.items()
        if parameter.default is parameter.empty and key != "probabilities" and name not in LEVEL_NOISES
    ]
    missing = [key for key in required if key not in parameters]
    if missing:
        example = {"rate": 0.4, "flips": "cifar10", "T": ((0.9, 0.1), (0.2, 0.8))}
        call = format_call(name, {key: parameters.get(key, example.get(key)) for key in required})
        raise InputError(f'noise {name!r} needs {", ".join(missing)}, such as noise="{call}".')


def _custom(name: str, parameters: dict[str, Any]) -> LabelNoise:
    """Return the noise model that a factory of the user makes."""
    factory = resolve(name, "noise")
    try:
        noise = factory(**parameters)
    except DilutionError:
        raise
    except Exception as error:
        called = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
        raise InputError(
            f"noise is {format_call(name, parameters)!r}; called as {name.partition(':')[2]}({called}) it "
            f"raised {describe_exception(error)}. Its parameters are those in brackets."
        ) from error
    if not isinstance(noise, LabelNoise):
        raise InputError(
            f"noise {name!r} returned {short_repr(noise)}; it must return a LabelNoise, such as "
            "dilution.symmetric(0.4) or an instance of a subclass of dilution.noise.PerExampleNoise."
        )
    return noise
