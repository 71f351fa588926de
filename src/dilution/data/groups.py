"""Groups that a user names, such as patients: examples of one group share a side of every split.

Names of groups are under the rule of labels: texts that differ in outer blanks or forms of Unicode only are
one name, whole numbers may have a fraction of 0, and only an empty text or None, NaN and NA are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dilution.data.class_names import is_whole_number, normal_form, without_fraction
from dilution.data.group_numbers import Ints, count_groups, number_groups
from dilution.data.label_notes import describe_similar_names, describe_spellings
from dilution.data.label_values import is_missing
from dilution.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_LARGEST_EXACT = 2.0**53  # from here on floats cannot tell all whole numbers apart


def read_groups(
    values: ArrayLike | Sequence[str | None], source: str, name: Callable[[int], str] = str
) -> tuple[Ints, tuple[str, ...]]:
    """Return numbers of the groups that values name, int64, shape (n,), with notes on them.

    Parameters
    ----------
    values
        Name of the group of each example: text, numbers or truth values, shape (n,). An example whose value
        is missing or blank is a group of its own.
    source
        Where they come from, for the notes.
    name
        Function that names an example by its number.

    Raises
    ------
    InputError
        If a float is so large that it may stand for several numbers.
    """
    codes, different = _different(values)
    texts = [_text(value, source) for value in different]
    names = _without_fractions(normal_forms := list(map(normal_form, texts)))
    number_of_name: dict[str, int] = {}
    # The last one is that of the code −1.
    numbers = np.array([number_of_name.setdefault(text, len(number_of_name)) for text in names] + [-1])
    is_present = np.array([*map(bool, names), False])
    keys = numbers[codes].astype(np.int64)
    missing = np.flatnonzero(~is_present[codes])
    keys[missing] = len(names) + np.arange(len(missing))
    groups = number_groups(keys)
    n_groups = count_groups(groups)
    notes: tuple[str, ...] = (
        f"{len(groups):,} examples are of {n_groups:,} {'group' if n_groups == 1 else 'groups'} of {source}; "
        "examples of one group share a side of every split",
    )
    if len(missing):
        start = "1 example has" if len(missing) == 1 else f"{len(missing):,} examples have"
        end = "is a group of its own" if len(missing) == 1 else "are groups of their own"
        notes += (f"{start} no group in {source} and {end}, the first is {name(int(missing[0]))}",)
    if all(isinstance(value, int | np.integer) for value in different):
        return groups, notes
    return groups, (*notes, *_describe_names(texts, normal_forms, names))


def _different(values: Any) -> tuple[Ints, list[Any]]:
    """Return the number of each value among the different ones, −1 where it is missing, and these."""
    import pandas as pd

    if isinstance(values, np.ma.MaskedArray):
        objects = values.data.astype(object)
        objects[np.ma.getmaskarray(values)] = None
        values = objects
    if not isinstance(values, list | tuple | pd.Series):
        values = np.asarray(values).tolist()
    column = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
    if column.dtype != object:
        codes, present = pd.factorize(column)
        return codes.astype(np.int64), list(present)
    numbers: dict[tuple[type, Any], int] = {}  # by type, since True == 1
    unhashable = next((value for value in column if isinstance(value, list | dict | set | np.ndarray)), None)
    if unhashable is not None:
        raise InputError(
            f"the group of an example is a {type(unhashable).__name__}; names of groups are text, numbers, "
            "truth values or dates. Turn them into text."
        )
    codes = np.fromiter(
        (
            -1 if is_missing(value) else numbers.setdefault((type(value), value), len(numbers))
            for value in column
        ),
        dtype=np.int64,
        count=len(column),
    )
    return codes, [value for _, value in numbers]


def _text(value: object, source: str) -> str:
    """Return the text of a name: whole numbers are equal with and without a fraction of 0."""
    if isinstance(value, complex | np.complexfloating | bytes):
        raise InputError(
            f"{source} has the value {value!r}; names of groups are text, numbers, truth values or dates. "
            "Turn them into text."
        )
    if not isinstance(value, float | np.floating) or not float(value).is_integer():
        return str(value)
    if abs(float(value)) >= _LARGEST_EXACT:
        raise InputError(
            f"{source} has the value {value!r}, a float; from {_LARGEST_EXACT:,.0f} on, floats cannot tell "
            "all whole numbers apart, so that different groups may have become one. Pass integers or text."
        )
    return str(int(value))


def _without_fractions(names: list[str]) -> list[str]:
    """Return names without a fraction of 0 if all are whole numbers."""
    whole = list(map(without_fraction, names))
    return whole if all(is_whole_number(name) for name in whole if name) else names


def _describe_names(
    texts: Sequence[str], normal_forms: Sequence[str], names: Sequence[str]
) -> tuple[str, ...]:
    """Return notes on names that are merged or written in another way, and on those that look alike."""
    spellings: dict[str, list[str]] = {}
    for text, form in zip(texts, normal_forms, strict=True):
        if form:
            spellings.setdefault(form, []).append(text)
    odd = {form: tuple(forms) for form, forms in spellings.items() if set(forms) != {form}}
    notes = describe_spellings([(list(spellings), odd)], ("groups", "group", "groups"))
    converted = [pair for pair in zip(normal_forms, names, strict=True) if pair[0] != pair[1]]
    if converted:
        written, read = converted[0]
        notes += (
            f"groups are whole numbers, {len(converted):,} of them with a fraction of 0: {written!r} is read "
            f"as {read!r}",
        )
    return (*notes, *describe_similar_names(dict.fromkeys(filter(None, names)), "groups"))


def check_groups(groups: Any, n: int, argument: str) -> NDArray[Any]:
    """Return the names of the groups of n examples, shape (n,); raise InputError for another shape."""
    # NumPy would turn numbers beside text into texts such as 1.0.
    is_list = isinstance(groups, list | tuple)
    values = (
        groups if isinstance(groups, np.ma.MaskedArray) else np.asarray(groups, object if is_list else None)
    )
    if values.shape not in ((n,), (n, 1)):
        raise InputError(
            f"{argument} has shape {values.shape} for {n:,} examples; it must hold one value per example. "
            "Check that both come from the same rows, and leave out the values of examples that were dropped."
        )
    return values.reshape(-1)
