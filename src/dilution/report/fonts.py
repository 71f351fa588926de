"""Fonts of a plot: another font for characters that its own lacks; where none has them, numbers and a key."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import Formatter

_UNFIT = ("Last Resort", "STIXNonUnicode", "STIXSize", "cm")
"""Beginnings of the names of fonts whose characters are not those of Unicode, or only boxes."""
_PREFERRED = (
    "Noto Sans",
    "Source Han Sans",
    "WenQuanYi",
    "Droid Sans",
    "Arial Unicode",
    "Microsoft",
    "Hiragino",
)
"""Beginnings of the names of fonts that fit the plots and have many characters."""

_UNDRAWABLE = frozenset("\ufeff")  # fonts have it, and matplotlib cannot write it to a PDF file

_NAMES: WeakKeyDictionary[Figure, dict[str, str]] = WeakKeyDictionary()
"""Per figure the texts that were replaced by numbers, text to number."""


@contextmanager
def quiet_font_search() -> Iterator[None]:
    """Let matplotlib search fonts without a log line per weight that a font does not have."""
    logger = logging.getLogger("matplotlib.font_manager")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def fit_fonts(figure: Figure) -> None:
    """Have every text of a figure drawn: with an installed font that has its characters, else as a number.

    Parameters
    ----------
    figure
        The figure, before it is written. Texts without a font become ``#1``, ``#2`` …; see :func:`key`.
    """
    numbers = _NAMES.setdefault(figure, {})
    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        labels = axis.get_ticklabels()  # computed here, without drawing them
        families = _families(labels)
        if families is not None:
            axis.set_tick_params(labelfontfamily=families)
        if any(_missing(label, families) for label in labels):
            axis.set_major_formatter(_Numbering(axis, families, numbers))
    for text in figure.findobj(Text):
        families = _families([text])
        if families is not None:
            text.set_fontfamily(families)
        if _missing(text):
            text.set_text(_number(text.get_text(), numbers))


def key(figure: Figure) -> tuple[str, ...]:
    """Return a note on the numbers in a figure; none if every text has a font."""
    numbers = _NAMES.get(figure)
    if not numbers:
        return ()
    meanings = ", ".join(f"{number} = {text}" for text, number in numbers.items())
    return (f"The plot shows numbers for names whose characters no font of this machine has: {meanings}.",)


class _Numbering(Formatter):
    """The formatter of an axis, with numbers in place of labels that no font has."""

    def __init__(self, axis: Axis, families: list[str] | None, numbers: dict[str, str]) -> None:
        self._formatter = axis.get_major_formatter()
        self._sample = Text(fontproperties=axis.get_ticklabels()[0].get_fontproperties())
        if families is not None:
            self._sample.set_fontfamily(families)
        self._numbers = numbers

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self._numbered(self._formatter(x, pos))

    def format_ticks(self, values: Any) -> list[str]:
        return [self._numbered(label) for label in self._formatter.format_ticks(values)]

    def set_locs(self, locs: Any) -> None:
        self._formatter.set_locs(locs)

    def get_offset(self) -> str:
        return self._formatter.get_offset()

    def _numbered(self, label: str) -> str:
        self._sample.set_text(label)
        return _number(label, self._numbers) if _missing(self._sample) else label


def _number(text: str, numbers: dict[str, str]) -> str:
    return numbers.setdefault(text, f"#{len(numbers) + 1}")


def _families(texts: Iterable[Text]) -> list[str] | None:
    """Return the families of texts and others with the characters that those lack; None without others."""
    texts = list(texts)
    missing = set[str]().union(*(_missing(text) for text in texts))
    if not missing:
        return None
    properties = texts[0].get_fontproperties()
    added: list[str] = []
    for name in _candidates():
        covered = missing & _characters_of(name, properties)
        if covered:
            added.append(name)
            missing -= covered
        if not missing:
            break
    return [*properties.get_family(), *added] if added else None


def _missing(text: Text, families: list[str] | None = None) -> set[str]:
    """Return the characters of a text that none of its fonts has."""
    properties = text.get_fontproperties()
    missing = set(text.get_text()) - {"\n"}
    for name in families or properties.get_family():
        if missing:
            missing -= _characters_of(name, properties)
    return missing | (_UNDRAWABLE & set(text.get_text()))


def _candidates() -> list[str]:
    names = {font.name for font in fontManager.ttflist if not font.name.startswith(_UNFIT)}
    return sorted(names, key=lambda name: (not name.startswith(_PREFERRED), name))


def _characters_of(family: str, properties: FontProperties) -> frozenset[str]:
    """Return the characters of a family, in the weight and style of a text."""
    wanted = properties.copy()
    wanted.set_family(family)
    return _characters(str(findfont(wanted)))


@lru_cache(maxsize=1024)
def _characters(path: str) -> frozenset[str]:
    return frozenset(map(chr, get_font(path).get_charmap()))
