"""Signs beside numbers in cells of text: percent, currency, typographic minus, brackets for negative ones."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_SIGNED = re.compile(
    r"(?P<bracket>\()?\s*(?P<sign>[+\-−–])?\s*(?P<before>[^\w\s.,'’()+\-−–])?\s*(?P<inner>[\-−–])?"
    r"(?P<number>[.,]?[0-9][0-9.,'’ \u00a0\u202f]*(?:[eE][+-]?[0-9]+)?)"
    r"\s*(?P<after>[^\w\s.,'’()+\-−–])?\s*(?(bracket)\)|(?P<trailing>[\-−–])?)"
)
_GRADE = re.compile(r"[0-9]\s*[\-−–]")  # 2- may be a grade between 2 and 3
_BOUND = re.compile(r"[<>≤≥]=?\s*[0-9][0-9.,]*")
_WITH_UNIT = re.compile(r"[+\-−–]?[0-9][0-9.,'’ \u00a0\u202f]*(?P<unit>[^\W\d_]{1,5}[²³]?|°[CF]?)")
_MINUS = "-−–"
_MINUSES = tuple(_MINUS)


@dataclass(frozen=True)
class UnsignedTexts:
    """Texts without the signs beside their numbers.

    Parameters
    ----------
    texts
        The texts; without signs, and with a leading ``-`` if the number is negative, where `has_signs`.
    has_signs
        Which texts had signs: bool, shape (texts,).
    divisors
        Divisor of each number, 100 for percent: float64, shape (texts,).
    currency
        The sign of a currency beside the numbers; empty without one.
    """

    texts: list[str]
    has_signs: NDArray[np.bool_]
    divisors: NDArray[np.float64]
    currency: str = ""


def remove_signs(texts: Sequence[str], is_odd: NDArray[np.bool_]) -> UnsignedTexts:
    """Return texts without the signs beside their numbers: ``"(5)"`` as ``"-5"``, ``"$3.50"`` as ``"3.50"``.

    Texts stay as they are if their signs are of several currencies.

    Parameters
    ----------
    texts
        Different cells, stripped.
    is_odd
        Texts that are no numbers as they are, bool of shape (texts,); the others stay as they are.
    """
    result = UnsignedTexts(list(texts), np.zeros(len(texts), dtype=bool), np.ones(len(texts)))
    currencies: set[str] = set()
    odd = list(map(int, np.flatnonzero(is_odd)))
    has_grades = all(_GRADE.fullmatch(texts[number]) for number in odd if texts[number].endswith(_MINUSES))
    for number in odd:
        if (signed := _parse(texts[number], has_grades=has_grades)) is None:
            continue
        currencies |= {signed.mark} - {"%", ""}
        result.texts[number] = signed.text
        result.has_signs[number] = True
        result.divisors[number] = 100 if signed.mark == "%" else 1
    if len(currencies) > 1:
        return UnsignedTexts(list(texts), np.zeros(len(texts), dtype=bool), np.ones(len(texts)))
    return replace(result, currency="".join(currencies))


def has_sign(text: str) -> bool:
    """Return whether a text is a number with signs beside it."""
    return _parse(text) is not None


@dataclass(frozen=True)
class _Signed:
    """A number without signs, with a leading ``-`` if it is negative, and its percent or currency sign."""

    text: str
    mark: str


def _parse(text: str, *, has_grades: bool = True) -> _Signed | None:
    """Return a text without signs; None if it has none, or is no number with signs.

    A minus may follow the number, but not a single digit if the column may have grades.
    """
    match = _SIGNED.fullmatch(text)
    if match is None or match["before"] == "%" or (match["bracket"] and match["sign"]):
        return None
    if match["trailing"] and (match["sign"] or (has_grades and _GRADE.fullmatch(text))):
        return None
    marks = {mark for mark in (match["before"], match["after"]) if mark}
    signs = ("sign", "inner", "trailing")
    minuses = [bool(match["bracket"]), *((match[name] or "+") in _MINUS for name in signs)]
    if len(marks) > 1 or sum(minuses) > 1:
        return None
    mark = "".join(marks)
    if mark not in ("", "%") and unicodedata.category(mark) != "Sc":
        return None
    unsigned = ("-" if any(minuses) else "") + match["number"].strip()
    return None if unsigned == text.removeprefix("+") else _Signed(unsigned, mark)


def find_units(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which texts are numbers with a unit, such as ``"5 kg"``, if all of these have the same unit."""
    units = [match and match["unit"] for match in map(_WITH_UNIT.fullmatch, texts)]
    is_one = len(set(units) - {None}) == 1
    return np.array([is_one and unit is not None for unit in units], dtype=bool)


def find_bounds(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which texts are censored numbers, such as ``"<0.5"`` below the limit of a measurement."""
    return np.array([_BOUND.fullmatch(text) is not None for text in texts], dtype=bool)
