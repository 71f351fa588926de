"""Notes on labels: what is missing, merged or renamed, and names that may be confused; one line per kind."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dilution.data.class_names import show_similar, similar_names
from dilution.data.missing_markers import MISSING_MARKERS
from dilution.errors import short_repr


def describe_missing(missing: NDArray[np.bool_], noun: str, name: Callable[[int], str]) -> tuple[str, ...]:
    """Return the note on examples without a label, which are dropped; none if there are none.

    Parameters
    ----------
    missing
        Which examples lack a label, shape (n,).
    noun
        What an example is called: ``"row"``.
    name
        Function of an example that returns its name.
    """
    count = int(missing.sum())
    if not count:
        return ()
    verbs = (f"{noun}s have", "are") if count > 1 else (f"{noun} has", "is")
    first = name(int(np.argmax(missing)))
    return (f"{count:,} {verbs[0]} no label and {verbs[1]} dropped, the first is {first}",)


def describe_spellings(
    columns: Iterable[tuple[Sequence[str], Mapping[str, Sequence[str]]]],
    nouns: tuple[str, str, str] = ("labels", "class", "classes"),
) -> tuple[str, ...]:
    """Return notes on labels that are not in normal form, and on those that thereby are of one class.

    Parameters
    ----------
    columns
        Per column its names in normal form, and those that are not spelled so with their spellings.
    nouns
        What is spelled, and what one name and several names stand for.
    """
    things, one, many = nouns
    columns = list(columns)
    forms: dict[str, dict[str, None]] = {}
    for _, spellings in columns:
        for name, texts in spellings.items():
            forms.setdefault(name, {}).update(dict.fromkeys(texts))
    for names, spellings in columns:
        for name in forms.keys() & set(names) - spellings.keys():
            forms[name][name] = None
    merged = [list(texts) for texts in forms.values() if len(texts) > 1]
    renamed = [next(iter(texts)) for texts in forms.values() if len(texts) == 1]
    notes: tuple[str, ...] = ()
    if merged:
        classes = f"1 {one}" if len(merged) == 1 else f"{len(merged):,} {many}"
        notes += (
            f"{sum(map(len, merged)):,} spellings of {things} are {classes}, since they differ in outer "
            f"blanks or forms of Unicode only, such as {' and '.join(map(show_spelling, merged[0][:2]))}",
        )
    if renamed:
        verb = f"{one} name is" if len(renamed) == 1 else f"{one} names are"
        notes += (
            f"{len(renamed):,} {verb} written in Unicode NFC, without outer blanks and with escapes, the "
            f"first is {show_spelling(renamed[0])}",
        )
    return notes


def show_spelling(text: str) -> str:
    """Return a text for a message, with escapes unless it is in Unicode NFC."""
    return short_repr(text) if unicodedata.is_normalized("NFC", text) else ascii(text)


def describe_markers(names: Iterable[str], counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return a note on classes whose names often mark missing values.

    Parameters
    ----------
    names
        Names of the classes.
    counts
        Number of labels per name.
    """
    markers = [name for name in names if name in MISSING_MARKERS]
    if not markers:
        return ()
    count = sum(counts[name] for name in markers)
    subject = "label reads" if count == 1 else "labels read"
    role = "which is a class" if len(markers) == 1 else "which are classes"
    texts = " or ".join(map(repr, markers))
    return (f"{count:,} {subject} {texts}, {role}; only an empty cell is a missing label",)


def describe_single_examples(
    numbers: NDArray[np.int64], classes: Sequence[str], name: Callable[[int], str]
) -> tuple[str, ...]:
    """Return a note on classes with one example, which may be a summary line or a second header; else none.

    Parameters
    ----------
    numbers
        Class number of each example, shape (n,).
    classes
        Names of the classes.
    name
        Function of an example that returns its name.
    """
    is_single = np.bincount(numbers, minlength=len(classes)) == 1
    examples = np.flatnonzero(is_single[numbers])
    if not len(examples):
        return ()
    first = int(examples[0])
    class_name = short_repr(classes[numbers[first]])
    if len(examples) == 1:
        return (f"class {class_name} has 1 example, in {name(first)}",)
    return (f"{len(examples):,} classes have 1 example each, the first is {class_name} in {name(first)}",)


def describe_similar_names(names: Iterable[str], noun: str = "classes") -> tuple[str, ...]:
    """Return a note on classes, or what else `noun` says, whose names look alike."""
    groups = similar_names(names)
    if not groups:
        return ()
    return (
        f"{sum(map(len, groups)):,} {noun} have names that look alike or are one number, and are kept "
        f"apart, such as {show_similar(groups[0])}",
    )
