"""Features that are the label in other words, such as its text or its number: found, and said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.group_numbers import Ints

_MIN_ROWS = 50  # among fewer, a good feature tells all labels without being made from them
_ROWS_PER_VALUE = (
    10  # on average: a column of many values, such as a number of the row, always tells the label
)
_MOST_VALUES = 30  # of a column that is the label in other words
_COLLECTIONS = (list, dict, np.ndarray)
_MIXED = -1  # in place of a class: there are several
_N_SAMPLED = 100  # rows in which most columns turn out to be no copy
_DROPPED = 20  # columns that a remedy leaves out
_NAMES = 3  # columns that a note names
_LABEL_WORDS = ("label", "class", "target")  # a column so named, with the names of classes, is a label too


@dataclass(frozen=True)
class LabelCopies:
    """Names of features that tell the label.

    Parameters
    ----------
    alone
        Features each of which determines the label: every value of it occurs with one class only.
    indicators
        Features of two values that together are the label in one-hot form, one per class.
    named_alike
        Features that are named like a label and hold names of classes, not always that of the label.
    """

    alone: tuple[str, ...] = ()
    indicators: tuple[str, ...] = ()
    named_alike: tuple[str, ...] = ()

    def notes(self, remedy: Callable[[tuple[str, ...]], str]) -> tuple[str, ...]:
        """Return one sentence per kind; `remedy` says how to leave out features, given their names."""
        notes = []
        for names, one, many in (
            (
                self.alone,
                "alone determines the label, since each of its values has one class",
                "alone determines the label, since each value has one class",
            ),
            (self.indicators, "equals one class", "equals one class, and together they are the label"),
            (self.named_alike, "has names of classes as its values", "has names of classes as its values"),
        ):
            if not names:
                continue
            shown = ", ".join(repr(name) for name in names[:_NAMES])
            more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
            start, pronoun = (
                (f"column {shown} {one}", "it")
                if len(names) == 1
                else (f"each of the columns {shown}{more} {many}", "they")
            )
            verb, object_ = ("was", "it") if pronoun == "it" else ("were", "them")
            notes.append(
                f"{start}: if {pronoun} {verb} made from the label, models copy the label, so that wrong "
                f"labels stay hidden and accuracies are too high; leave {object_} out with "
                f"{remedy(names[:_DROPPED])}"
            )
        return tuple(notes)


def find_label_copies(features: pd.DataFrame, labels: Ints, classes: tuple[str, ...] = ()) -> LabelCopies:
    """Return the features that are the label in other words.

    Parameters
    ----------
    features
        One column per feature, numbers or text, n rows. Missing values count as one value.
    labels
        Class numbers, int64, shape (n,).
    classes
        Names of the classes. Default: no feature is compared with them.
    """
    n, n_present = len(labels), len(np.unique(labels))
    if n < _MIN_ROWS or n_present < 2:
        return LabelCopies()
    most_values = min(_MOST_VALUES, n // _ROWS_PER_VALUE)
    rows = np.unique(np.linspace(0, n - 1, _N_SAMPLED).astype(np.int64))
    sampled_labels = labels[rows].tolist()
    alone, named_alike = [], []
    indicators: dict[int, str] = {}
    for position, (label, sample) in enumerate(features.take(rows).items()):
        name = str(label)
        is_named = bool(classes) and any(word in name.lower() for word in _LABEL_WORDS)
        if not is_named and not _may_tell(sample.tolist(), sampled_labels, most_values):
            continue
        values, counts = _count_classes(features.iloc[:, position], labels)
        if not 2 <= len(values) <= most_values:
            continue
        if ((counts > 0).sum(axis=1) == 1).all():
            alone.append(name)
        elif (number := _indicated_class(counts)) is not None:
            indicators.setdefault(number, name)
        elif is_named and set(values) <= set(classes) and not all(map(_is_number, values)):
            named_alike.append(name)
    is_complete = len(indicators) >= n_present - 1
    return LabelCopies(tuple(alone), tuple(indicators.values()) if is_complete else (), tuple(named_alike))


def _may_tell(values: list[Any], labels: list[int], most_values: int) -> bool:
    """Return whether rows leave it open that a feature determines the label, or equals one class.

    A feature with more values does neither, nor one of which two values, or one of three, have several
    classes. A list or an array is no value: the reader of a table refuses it.
    """
    class_of: dict[Any, int] = {}
    n_mixed = 0
    for value, label in zip(values, labels, strict=True):
        if type(value) in _COLLECTIONS:
            return False
        key = None if value is pd.NA or value != value else value
        known = class_of.setdefault(key, label)
        if known not in (label, _MIXED):
            class_of[key] = _MIXED
            n_mixed += 1
        if len(class_of) > most_values or n_mixed > 1 or (n_mixed and len(class_of) > 2):
            return False
    return True


def _count_classes(column: "pd.Series[Any]", labels: Ints) -> tuple[list[str], NDArray[np.int64]]:
    """Return the values of a column as text, and how often each occurs with each class."""
    numbers, values = pd.factorize(column, use_na_sentinel=False)
    n_classes = int(labels.max()) + 1
    counts = np.bincount(numbers * n_classes + labels, minlength=len(values) * n_classes)
    return [str(value) for value in values], counts.reshape(-1, n_classes)


def _indicated_class(counts: NDArray[np.int64]) -> int | None:
    """Return the class that a feature of two values equals, given its counts of classes, if there is one."""
    if len(counts) != 2:
        return None
    for own, other in (counts, counts[::-1]):
        (present,) = np.nonzero(own)
        if len(present) == 1 and other[present[0]] == 0:
            return int(present[0])
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
