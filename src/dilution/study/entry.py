"""Checks at the entry of the public functions that take an `execution`."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from inspect import signature
from typing import ParamSpec, TypeVar

from dilution.errors import InputError, short_repr
from dilution.study.execution import Execution
from dilution.utils.whole_numbers import check_digits
from dilution.utils.worker_process import leave_if_importing_script

P = ParamSpec("P")
R = TypeVar("R")


def takes_execution(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function with the parameter `execution`.

    A worker process that gets here while it imports its script ends, and its parent reports the missing
    guard. A setting of :class:`Execution` that is passed as an argument of its own is an :class:`InputError`,
    and so is a whole number of hundreds of digits.
    """
    settings = [field.name for field in fields(Execution) if field.name not in signature(function).parameters]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        leave_if_importing_script()
        misplaced = [name for name in settings if name in kwargs]
        if misplaced:
            raise InputError(_explain(function.__name__, {name: kwargs[name] for name in misplaced}))
        for name, value in kwargs.items():
            if isinstance(value, int):
                check_digits(name, value)
        return function(*args, **kwargs)

    return call


def _explain(function: str, settings: dict[str, object]) -> str:
    text = ", ".join(f"{name}={short_repr(value)}" for name, value in settings.items())
    guard = (
        ' A script that uses worker processes calls it under `if __name__ == "__main__":`.'
        if settings.get("workers", 0) != 0
        else ""
    )
    return (
        f"{function} does not take {text}; where and how runs execute is one argument: "
        f"execution=dilution.Execution({text}).{guard}"
    )
