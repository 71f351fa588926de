"""Names of classes: one spelling per name, their order, and names that look alike."""

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable
from decimal import Decimal

from dilution.utils.printable import printable

_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,999}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,1000}\.?[0-9]{0,1000}|\.[0-9]{1,1000})(?:[eE][+-]?[0-9]{1,4})?")
# Three zeros behind a comma are those of a thousand.
_WITH_FRACTION = re.compile(r"(-?(?:0|[1-9][0-9]{0,999}))(?:\.0*|,(?:00?|0{4,}))")

_MINUS_SIGNS = "\u2010\u2011\u2012\u2013\u2014\u2212"  # hyphens, dashes and the minus sign beside "-"
_APOSTROPHES = "\u2018\u2019\u02bc\u00b4`"
_HOMOGLYPHS = str.maketrans(
    "АВЕЅІЈКМНОРСТУХԜаеѕіјкорсухһԁӏԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυχ" + _MINUS_SIGNS + _APOSTROPHES,
    "ABESIJKMHOPCTYXWaesijkopcyxhdlqwABEZHIKMNOPTYXaikvopux"
    + "-" * len(_MINUS_SIGNS)
    + "'" * len(_APOSTROPHES),
)
"""Cyrillic and Greek letters that look like Latin ones, and these; dashes and apostrophes of typography."""


def normal_form(text: str) -> str:
    """Return a text as the name of a class: Unicode form NFC, no blanks around it, escapes for controls."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return printable(unicodedata.normalize("NFC", text).strip())


def is_whole_number(name: str) -> bool:
    """Return whether a name is a whole number in its usual form: ``"7"``, not ``"007"`` or ``"7.0"``."""
    return _WHOLE_NUMBER.fullmatch(name) is not None


def without_fraction(name: str) -> str:
    """Return a whole number that is written with a fraction, as 7.0 or 7,0, without it; others unchanged.

    Spreadsheets and pandas write whole numbers in this way where a cell of the column is empty.
    """
    match = _WITH_FRACTION.fullmatch(name)
    if match is None:
        return name
    return "0" if match[1] == "-0" else match[1]


def sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return different names in their order: whole numbers as numbers if all are, otherwise as text."""
    different = set(names)
    if all(map(is_whole_number, different)):
        return tuple(sorted(different, key=int))
    return tuple(sorted(different))


def similar_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of names that a person may take for one.

    Such names differ in upper and lower case, blanks, invisible characters or forms of Unicode only, have
    Cyrillic or Greek letters that look like Latin ones, a dash in place of a minus sign, or are equal as
    numbers, as 7 and 007 are.
    """
    different = list(names)
    groups: dict[tuple[str, ...], None] = {}
    looks: tuple[Callable[[str], Hashable], ...] = (_plain_look, _latin_look, _number)
    for look in looks:
        same: dict[Hashable, list[str]] = {}
        for name in different:
            if (key := look(name)) is not None:
                same.setdefault(key, []).append(name)
        groups |= dict.fromkeys(tuple(sorted(group)) for group in same.values() if len(group) > 1)
    return [group for group in groups if not any(set(group) < set(other) for other in groups)]


def show_similar(names: Iterable[str]) -> str:
    """Return similar names for a message, with escapes where letters of two scripts look alike."""
    different = list(names)
    reveal = repr if len(set(map(_plain_look, different))) == 1 else ascii
    return " and ".join(map(reveal, different))


def _plain_look(name: str) -> str:
    if name.isascii():
        return " ".join(name.casefold().split())
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join("".join(mark for mark in text if unicodedata.category(mark) != "Cf").split())


def _latin_look(name: str) -> str:
    return _plain_look(name.translate(_HOMOGLYPHS))


def _number(name: str) -> Decimal | None:
    plain = name if name.isascii() else name.translate(_HOMOGLYPHS)
    return Decimal(plain) if _NUMBER.fullmatch(plain) else None
