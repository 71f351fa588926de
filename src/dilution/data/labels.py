"""One rule for labels, wherever they come from: which labels are missing, and which are of one class.

Text is text: ``007`` is not ``7``. Only an empty text and None, NaN or NA objects are missing; the texts
``NA`` and ``None`` are classes. Texts that differ in blanks around them or in forms of Unicode only are one
class. Whole numbers may be floats, or texts such as ``1.0`` if all texts are whole numbers. Only what an
example has is a class. Classes are in the order of numbers if all are numbers, otherwise of the alphabet.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dilution.data.class_names import (
    is_whole_number,
    normal_form,
    sort_names,
    without_fraction,
)
from dilution.data.label_notes import describe_markers, describe_similar_names, describe_spellings
from dilution.data.label_values import LabelValues, read_values
from dilution.data.missing_markers import MISSING_MARKERS
from dilution.errors import InputError, short_repr, unknown

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?|[+-]?inf(?:inity)?", re.IGNORECASE
)
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+")
_QUANTITY_SHARE = 0.95  # share of numbers among different texts from which on labels are a quantity
_MANY = 20  # different texts from which on numbers with commas are a quantity, not pairs

_KINDS = {str: "text", bool: "truth values", np.bool_: "truth values"}


@dataclass(frozen=True)
class LabelColumn:
    """Labels of one column or array.

    Parameters
    ----------
    codes
        Number of each label's name, int64 of shape (n,); −1 where a label is missing.
    names
        Different names in normal form, in the order of their first labels.
    kind
        ``"text"``, ``"numbers"`` or ``"truth values"``; empty if all labels are missing.
    spellings
        Names that are not spelled in normal form, each with its spellings.
    subject, label_name
        As of :class:`dilution.data.label_values.LabelValues`.
    """

    codes: NDArray[np.int64]
    names: tuple[str, ...]
    kind: str
    spellings: dict[str, tuple[str, ...]]
    subject: str
    label_name: Callable[[int], str]

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        """Which labels are missing, shape (n,)."""
        return self.codes < 0

    def take(self, kept: NDArray[np.bool_]) -> "LabelColumn":
        """Return some of the labels, with the names that they have; `kept` has shape (n,)."""
        if kept.all():
            return self
        rows, codes, label_name = np.flatnonzero(kept), self.codes[kept], self.label_name
        present = np.bincount(codes[codes >= 0], minlength=len(self.names)) > 0
        names = tuple(name for name, is_present in zip(self.names, present, strict=True) if is_present)
        number_of = np.append(np.where(present, np.cumsum(present) - 1, -1), -1)  # the last is that of −1
        spellings = {name: forms for name, forms in self.spellings.items() if name in set(names)}
        return replace(
            self,
            codes=number_of[codes],
            names=names,
            spellings=spellings,
            label_name=lambda row: label_name(int(rows[row])),
        )


@dataclass(frozen=True)
class Classes:
    """Classes of labels.

    Parameters
    ----------
    names
        Their names.
    numbers
        Class number of each label per column, int64 of shape (n,).
    notes
        What was merged, converted or may be confused, one sentence per kind.
    """

    names: tuple[str, ...]
    numbers: tuple[NDArray[np.int64], ...]
    notes: tuple[str, ...]


def read_labels(labels: ArrayLike, subject: str, label_name: Callable[[int], str]) -> LabelColumn:
    """Return labels under the rule of this module.

    Parameters
    ----------
    labels
        As for :func:`dilution.data.label_values.read_values`.
    subject, label_name
        As of :class:`dilution.data.label_values.LabelValues`.

    Raises
    ------
    InputError
        If the shape or a type breaks a rule, or a number is not whole.
    """
    values = read_values(labels, subject, label_name)
    examples = {_kind(value): value for value in reversed(values.values)}
    if len(examples) > 1:
        shown = " and ".join(f"{kind} ({short_repr(value)})" for kind, value in examples.items())
        raise InputError(
            f"{subject} are of type object and hold {shown}; all must be of one kind. Turn them into text"
            f"{_text_remedy(subject, has_missing=bool((values.codes < 0).any()))}."
        )
    kind = next(iter(examples), "")
    raw = [_text(value, values) for value in values.values]
    names: dict[str, int] = {}
    spellings: dict[str, list[str]] = {}
    number_of = np.full(len(raw) + 1, -1, dtype=np.int64)  # the last is that of −1
    for number, text in enumerate(raw):
        name = normal_form(text)
        if name:
            number_of[number] = names.setdefault(name, len(names))
            spellings.setdefault(name, []).append(text)
    odd = {name: tuple(dict.fromkeys(forms)) for name, forms in spellings.items() if set(forms) != {name}}
    return LabelColumn(number_of[values.codes], tuple(names), kind, odd, subject, label_name)


def number_classes(
    columns: Sequence[LabelColumn], classes: Sequence[str] | None = None, *, has_decimal_commas: bool = False
) -> Classes:
    """Return the classes of all columns, and the class number of each label.

    Parameters
    ----------
    columns
        Labels of which none is missing.
    classes
        Names of the classes in the order of their numbers; labels that are numbers are then numbers of
        classes. Default: the names in the labels in their order.
    has_decimal_commas
        Whether the fraction of a number in a text follows a comma.

    Raises
    ------
    InputError
        If labels are text in one column and numbers in another, are a quantity, or do not fit `classes`.
    """
    kinds = {column.kind: column for column in columns if column.kind}
    if len(kinds) > 1:
        (kind, first), (other_kind, other) = list(kinds.items())[:2]
        raise InputError(
            f"{first.subject} are {kind} and {other.subject} are {other_kind}; all must be of one kind. "
            "Convert one of them."
        )
    notes = describe_spellings([(column.names, column.spellings) for column in columns])
    names = dict.fromkeys(name for column in columns for name in column.names)
    if classes is not None:
        order = _named_classes(classes)
        number_of = _find_classes(columns, order, next(iter(kinds), ""))
    else:
        converted, more_notes = _convert(list(names), columns, has_decimal_commas)
        order = sort_names(converted.values())
        notes += (
            *more_notes,
            *describe_markers(order, _count_names(columns)),
            *describe_similar_names(order),
        )
        numbers_in_order = {name: number for number, name in enumerate(order)}
        number_of = {name: numbers_in_order[converted[name]] for name in names}
    tables = [np.array([number_of[name] for name in column.names], np.int64) for column in columns]
    numbers = tuple(table[column.codes] for table, column in zip(tables, columns, strict=True))
    return Classes(order, numbers, notes)


def _named_classes(classes: Sequence[Any]) -> tuple[str, ...]:
    """Return names of classes in normal form; raise InputError if one occurs twice or is empty."""
    names = tuple(normal_form(str(name)) for name in classes)
    if len(set(names)) < len(names) or "" in names:
        raise InputError(
            f"classes are {', '.join(map(repr, names))}; each name must occur once and not be empty. Rename."
        )
    return names


def find_class(label: Any, names: Sequence[str]) -> int | None:
    """Return the number of the class that a single label names; None if it names none.

    Parameters
    ----------
    label
        A name, or a number; whole numbers may have a fraction of 0, and truth values capital letters, as
        spreadsheets write them.
    names
        Names of the classes.
    """
    text = normal_form(str(label))
    truth_value = text.capitalize() if text.lower() in ("true", "false") else text
    for name in (text, without_fraction(text), truth_value):
        if name in names:
            return names.index(name)
    return None


def _count_names(columns: Sequence[LabelColumn]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for column in columns:
        of_names = np.bincount(column.codes, minlength=len(column.names)).tolist()
        counts.update(dict(zip(column.names, of_names, strict=True)))
    return counts


def _text_remedy(subject: str, *, has_missing: bool) -> str:
    """Return how labels become text, where `subject` is a name in the user's code; missing ones stay so."""
    if not subject.isidentifier():
        return " with str(), and leave missing ones None" if has_missing else " with str()"
    if has_missing:
        return f", with pandas.Series({subject}).astype('string'), which leaves missing labels missing"
    return f", with [str(label) for label in {subject}]"


def _kind(value: Any) -> str:
    return next((kind for known, kind in _KINDS.items() if isinstance(value, known)), "numbers")


def _text(value: Any, values: LabelValues) -> str:
    """Return the text of a label; raise InputError if it is a number that is not whole."""
    if isinstance(value, str | bool | np.bool_ | int | np.integer):
        return str(value)
    if not np.isfinite(float(value)) or value != int(value):
        number = next(number for number, other in enumerate(values.values) if other is value)
        raise _quantity(values.first(number), f"{float(value):g}")
    return str(int(value))


def _convert(
    names: list[str], columns: Sequence[LabelColumn], has_decimal_commas: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the names with whole numbers instead of such as 1.0 if all are whole numbers, and a note."""
    unchanged = {name: name for name in names}
    if not names or all(map(is_whole_number, names)):
        return unchanged, ()
    converted = {name: without_fraction(name) for name in names}
    if all(map(is_whole_number, converted.values())):
        odd = next(name for name in names if name != converted[name])
        return converted, (
            f"labels are whole numbers, some with a fraction of 0: {odd!r} is read as {converted[odd]!r}",
        )
    texts = [name for name in names if name not in MISSING_MARKERS]
    numbers = [name for name in texts if _NUMBER.fullmatch(name)]
    if has_decimal_commas or len(texts) >= _MANY:
        numbers += [name for name in texts if _COMMA_NUMBER.fullmatch(name)]
    if numbers and len(numbers) >= _QUANTITY_SHARE * len(texts):
        fraction = next((name for name in numbers if not _is_whole(name)), None)
        if fraction is not None:
            column = next(column for column in columns if fraction in column.names)
            row = int(np.argmax(column.codes == column.names.index(fraction)))
            raise _quantity(column.label_name(row), fraction)
    return unchanged, ()


def _is_whole(text: str) -> bool:
    return float(text.replace(",", ".")).is_integer()


def _quantity(label: str, value: str) -> InputError:
    return InputError(
        f"{label} is {value}; labels are classes: text, whole numbers or truth values. Dilution studies "
        "classification: to predict a quantity, cut it into bins first, with pandas.cut or numpy.digitize."
    )


def _find_classes(columns: Sequence[LabelColumn], order: tuple[str, ...], kind: str) -> dict[str, int]:
    """Return the number of each name in the labels among the classes that the user names."""
    names = {name for column in columns for name in column.names}
    is_named, positions = names <= set(order), dict[str, int]()
    if kind == "numbers":
        positions = {name: int(name) for name in names}
    elif kind == "truth values" and not is_named:
        positions = {"False": 0, "True": 1}
    fits = all(0 <= positions[name] < len(order) for name in names) if positions else False
    if fits and is_named and any(order[positions[name]] != name for name in names):
        raise InputError(
            f"labels are numbers, and names of classes are numbers too, the first is {order[0]!r}; a label "
            "may be the number of a class or its name. Pass labels as text to have them read as names."
        )
    if fits:
        return positions
    if not positions or is_named:
        return {name: _named_class(name, order) for name in names}
    for column in columns:
        numbers = [positions[name] for name in column.names]
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(order):
            break
    raise InputError(
        f"{column.subject} run from {min(numbers)} to {max(numbers)}; with {len(order)} classes they must "
        f"lie in 0 … {len(order) - 1}. Renumber them, or name every class in classes."
    )


def _named_class(name: str, order: tuple[str, ...]) -> int:
    number = find_class(name, order)
    if number is None:
        raise unknown("class", name, order)
    return number
