"""Errors that a user can make: the value received, the rule, the remedy.

Anything raised as a :class:`DilutionError` reaches a user of the command line as one message and
exit code 2. Every other exception is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


_LONGEST = 200  # characters of a value that a message shows


class DilutionError(Exception):
    """What a user can mend: the message gives the value received, the rule and the remedy."""


class InputError(DilutionError, ValueError):
    """A setting, name or array that breaks a rule."""


class DataError(DilutionError):
    """A data file that is missing, truncated or altered, or a folder that cannot be used."""


class StoreError(DilutionError):
    """A result store that cannot be opened, read or written."""


class WorkerError(DilutionError):
    """Worker processes that cannot be started."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist, with the nearest valid one.

    Parameters
    ----------
    kind
        What was named, in the singular: ``"model"``, ``"figure"``.
    name
        What the user wrote.
    valid
        Every name that exists.
    """
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"{shown(name)} is not a {kind}.{hint} There are: {', '.join(names)}.")


def invalid(error: ValidationError, fields: Iterable[str]) -> InputError:
    """Return what pydantic found wrong as one error in our words.

    Parameters
    ----------
    error
        The validation error.
    fields
        Names of every setting that exists, for the hint at a misspelt one.
    """
    return InputError(" ".join(_explain(dict(found), fields) for found in error.errors()))


def shown(value: object) -> str:
    """Return a value as text for a message; a long one is cut."""
    said = repr(value)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _explain(found: dict[str, Any], fields: Iterable[str]) -> str:
    name = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        return str(unknown("setting", name, fields))
    if found["type"] == "missing":
        return f"{name} is missing; it has no default."
    if found["type"] == "literal_error" and isinstance(found["input"], str):
        choices = found["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return str(unknown(f"value of {name}", found["input"], choices))
    if found["type"] == "value_error":
        return f"{str(found['ctx']['error']).rstrip('.')}."
    rule = found["msg"].removeprefix("Input should be ").partition(", unable")[0]
    return f"{name} is {shown(found['input'])}; it must be {rule}."
