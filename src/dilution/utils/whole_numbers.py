"""A limit of whole numbers: larger ones cannot be printed or become floats, and computing never ends."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import TypeGuard

from dilution.errors import InputError, short_repr

MAX_DIGITS = 300
"""Most digits of a whole number: a float holds up to 308."""

_MAX_NAME = 200  # characters of a name in the message
_LIMIT = 10**MAX_DIGITS


def check_digits(name: str, value: object) -> None:
    """Refuse a whole number of too many digits, in lists and tables too.

    Parameters
    ----------
    name
        Name of the setting, for the message. That of a value in a table or list follows it.
    value
        Anything; what is no whole number, list or table is not looked at.

    Raises
    ------
    InputError
        If a whole number has more than :data:`MAX_DIGITS` digits.
    """
    if not isinstance(value, int | list | tuple | Mapping):
        return
    pending = [(name, value)]
    while pending:
        name, value = pending.pop()
        if isinstance(value, int) and not -_LIMIT < value < _LIMIT:
            raise InputError(
                f"{name} is a whole number of more than {MAX_DIGITS} digits; no setting is so "
                "large. Write a smaller one."
            )
        for part, inner in _parts(name, value):
            if isinstance(inner, int | list | tuple | Mapping):
                pending.append((part, inner))


def is_whole_number(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_count(name: str, value: object, least: int, most: int) -> None:
    """Refuse a count that is no whole number in a range, before anything is computed that often.

    Parameters
    ----------
    name
        Name of the setting, for the message.
    value
        The count.
    least, most
        The range, both ends included.

    Raises
    ------
    InputError
        If it is none.
    """
    check_digits(name, value)
    number = int(value) if is_whole_number(value) else None
    if number is None or not least <= number <= most:
        text = short_repr(value) if number is None else f"{number:,}"
        raise InputError(f"{name} is {text}; it must be a whole number from {least:,} to {most:,}.")


def _parts(name: str, value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        prefix = (
            f"{name}." if name and len(name) <= _MAX_NAME else ""
        )  # tables may lie very deep in one another
        return ((f"{prefix}{str(key)[:_MAX_NAME]}", inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ((name, inner) for inner in value)
    return ()
