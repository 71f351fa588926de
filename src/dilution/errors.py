"""Errors that a user can correct: each message gives the value received, the rule and the remedy.

The command line prints a :class:`DilutionError` as one message and exits with code 2. Any other exception
is a defect of this package and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


_TEST_WORDS = ("test", "val", "eval", "dev", "holdout")
_MAX_LENGTH = 200  # characters of a value that a message shows


class DilutionError(Exception):
    """Base class of errors that a user can correct."""


class InputError(DilutionError, ValueError):
    """A setting, name or array breaks a rule.

    Attributes
    ----------
    mended
        Name of the data that the message proposes in place of the one received; empty if it proposes none.
    """

    mended: str = ""


class DataError(DilutionError):
    """A data file is missing, truncated or altered, or a folder cannot be used."""


class StoreError(DilutionError):
    """A result store cannot be opened, read or written."""


class WorkerError(DilutionError):
    """Worker processes cannot be started."""


class TimeLimitReached(DilutionError):  # noqa: N818
    """A call stopped at its time limit with runs left; the same call resumes. Nothing is wrong.

    The command line exits with code 75, which scripts know as "try again" (``EX_TEMPFAIL``).
    """


_SYNONYMS = {
    **{"learning_rate": "lr", "batch": "batch_size", "wd": "weight_decay", "max_epochs": "epochs"},
    **{"ce": "cross_entropy", "nll": "cross_entropy", "ls": "label_smoothing", "l1": "mae"},
    **{"generalized_cross_entropy": "gce", "symmetric_cross_entropy": "sce", "reed_soft": "bootstrap_soft"},
    **{"early_learning_regularization": "elr", "reed_hard": "bootstrap_hard", "f_correction": "forward"},
    **{"sym": "symmetric", "asym": "asymmetric", "pair": "pair_flip", "pairflip": "pair_flip"},
}
"""Names of other libraries and of papers, and ours."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist, with the most similar valid name.

    Parameters
    ----------
    kind
        What was named, in the singular: ``"model"``, ``"figure"``.
    name
        The name received.
    valid
        All valid names.
    """
    names = sorted(valid)
    same = [other for other in names if other.lower() == name.lower()]
    synonym = _SYNONYMS.get(name.lower())
    close = [synonym] if synonym in names else same or _closest(name, names)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    article = "an" if kind[0] in "aeio" else "a"  # "user" begins with a consonant's sound
    return InputError(f"{short_repr(name)} is not {article} {kind}.{hint} There are: {', '.join(names)}.")


def _closest(name: str, names: list[str]) -> list[str]:
    """Return the valid name that is most similar, if any; never that of the test split for training data.

    Names of splits come in pairs such as ``labels`` and ``test_labels``.
    """
    of_test = {other for other in names if other.startswith("test_") and other[5:] in names}
    if not of_test:
        long = [other for other in names if len(other) > 1]  # a single letter is like any word that has it
        return get_close_matches(name, long, 1, 0.4)
    words = re.findall("[a-z]+", name.lower())
    is_test = any(word.startswith(_TEST_WORDS) or get_close_matches(word, ["test"], 1, 0.7) for word in words)
    same_split = [other for other in names if (other in of_test) == is_test]
    return get_close_matches(re.sub("^train(ing)?_", "", name), same_split, 1, 0.6)


def invalid(error: ValidationError, fields: Iterable[str]) -> InputError:
    """Return the findings of pydantic as one error, worded as the other messages are.

    Parameters
    ----------
    error
        The validation error.
    fields
        Names of all settings, for the hint at a misspelt one.
    """
    return InputError(" ".join(_explain(dict(details), fields) for details in error.errors()))


def short_repr(value: object) -> str:
    """Return the repr of a value, cut to 200 characters; a value whose repr fails is named by its type."""
    try:
        text = repr(value)
    except Exception:  # a whole number of too many digits, or whatever the code of a user raises
        return f"a value of the type {type(value).__name__} that cannot be printed"
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def _explain(details: dict[str, Any], fields: Iterable[str]) -> str:
    """Return the message for one finding of pydantic."""
    name = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        return str(unknown("setting", name, fields))
    if details["type"] == "missing":
        return f"{name} is missing; it has no default."
    if details["type"] == "literal_error" and isinstance(details["input"], str):
        choices = details["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return str(unknown(f"value of {name}", details["input"], choices))
    if details["type"] == "value_error":
        return f"{str(details['ctx']['error']).rstrip('.')}."
    rule = details["msg"].removeprefix("Input should be ").partition(", unable")[0]
    return f"{name} is {short_repr(details['input'])}; it must be {rule}."
