"""Settings of figures for a paper: width, font, resolution, and other names for what is drawn."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from dilution.errors import InputError, short_repr
from dilution.utils.named_call import split_outside_brackets

_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}  # TeX's point
_WIDTHS = (1.0, 40.0)  # inches
_RESOLUTIONS = (50, 1200)
_GENERIC_FONTS = ("serif", "sans-serif", "monospace")
_LEAST_SCALE = 0.75  # of letters: smaller ones cannot be read in print
_LEAST_PANEL = 2.3  # inches of a panel beside others
_NO_ROOM = "\n"  # among the names in figures, which have no end of line
_LEAST_HEIGHT = 0.7  # of a narrow figure, as a share of its own
_MAX_LABEL = 200  # characters
_SIZES = {
    **{"font.size": 10, "axes.titlesize": 10.5, "axes.labelsize": 10, "xtick.labelsize": 9},
    **{"ytick.labelsize": 9, "legend.fontsize": 9, "legend.title_fontsize": 9, "lines.markersize": 5.5},
}
"""Sizes of a figure of its own width, in points."""


@dataclass(frozen=True)
class FigureStyle:
    """How figures are drawn; every default is that of the figure.

    Parameters
    ----------
    width
        Width of a figure: inches, or a text such as ``"3.3in"``, ``"84mm"``, ``"8.4cm"``, ``"240pt"``.
        Heights and letters shrink with it, letters to three quarters at most.
    font
        ``"serif"``, ``"sans-serif"``, ``"monospace"``, or the name of an installed font.
    dpi
        Resolution of PNG files, in dots per inch.
    labels
        Name in a figure → text in its place, for legends, axes and titles: ``{"gce": "GCE"}``.

    Raises
    ------
    InputError
        If a value breaks its rule.
    """

    width: float | str | None = None
    font: str | None = None
    dpi: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.width is not None:
            object.__setattr__(self, "width", _inches(self.width))
        low, high = _RESOLUTIONS
        if self.dpi is not None and (
            isinstance(self.dpi, bool) or not isinstance(self.dpi, int) or not low <= self.dpi <= high
        ):
            raise InputError(
                f"dpi is {short_repr(self.dpi)}; it must be a whole number from {low} to {high}, such as 300."
            )
        if self.font is not None:
            _check_font(self.font)
        if not isinstance(self.labels, Mapping):
            raise InputError(
                f"labels is {short_repr(self.labels)}; it must map names in figures to other texts, such as "
                "{'gce': 'GCE'}."
            )
        for name, text in self.labels.items():
            is_text = isinstance(name, str) and isinstance(text, str) and name.strip() and text.strip()
            if not is_text or not text.isprintable() or len(text) > _MAX_LABEL:
                raise InputError(
                    f"labels has {short_repr(name)} → {short_repr(text)}; both must be texts on one line "
                    f"of at most {_MAX_LABEL} characters."
                )

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Return the size of a figure in inches, given its own."""
        if not isinstance(self.width, float):
            return width, height
        return self.width, height * min(1.0, max(_LEAST_HEIGHT, self.width / width))

    def columns(self, columns: int) -> int:
        """Return the number of panels side by side that the width has room for, at most `columns`."""
        if not isinstance(self.width, float):
            return columns
        return max(1, min(columns, int(self.width / _LEAST_PANEL)))

    @contextmanager
    def noting_lack_of_room(self) -> Iterator[None]:
        """Keep a note in place of a warning that a figure of the width wanted has no room for its texts."""
        if self.width is None:
            yield
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            if "constrained_layout not applied" in str(warning.message):
                self._used.add(_NO_ROOM)
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def settings(self) -> dict[str, Any]:
        """Return settings of matplotlib that differ from those of the style of all figures."""
        settings: dict[str, Any] = {}
        if self.font is not None:
            settings["font.family"] = [self.font]
        if self.dpi is not None:
            settings["savefig.dpi"] = self.dpi
        if isinstance(self.width, float):
            scale = min(1.0, max(_LEAST_SCALE, self.width / _FULL_WIDTH))
            settings |= {name: scale * size for name, size in _SIZES.items()}
        return settings

    def renamed(self, text: str) -> str:
        """Return a text of a figure with other names: that of the whole text, or of parts between commas."""
        if text in self.labels:
            self._used.add(text)
            return self.labels[text]
        parts = split_outside_brackets(text, ", ")
        self._used.update(part for part in parts if part in self.labels)
        return ", ".join(self.labels.get(part, part) for part in parts)

    @property
    def notes(self) -> list[str]:
        """One line per name of `labels` that no figure has had, and one if a figure was too narrow."""
        no_room = [
            "a figure has no room for its names at this width; choose a larger width or shorter labels"
        ]
        return (no_room if _NO_ROOM in self._used else []) + [
            f"the label {name!r} is in no figure; names are those of its legend and axes"
            for name in self.labels
            if name not in self._used
        ]


_FULL_WIDTH = 5.6  # inches: the width of a figure of one panel

_PLAIN = FigureStyle()
_CURRENT: ContextVar[FigureStyle] = ContextVar("figure_style", default=_PLAIN)  # frozen


def current_style() -> FigureStyle:
    """Return how figures are drawn now."""
    return _CURRENT.get()


@contextmanager
def using_style(style: FigureStyle | None) -> Iterator[FigureStyle]:
    """Draw figures within a ``with`` block in a style. Default: as they are."""
    token = _CURRENT.set(style or _PLAIN)
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


def parse_labels(text: str) -> dict[str, str]:
    """Return names and their texts from ``"gce=GCE, symmetric(rate=0.4)=40 %"``.

    Commas and equals signs in brackets or quotes are part of a name.

    Raises
    ------
    InputError
        If a part has no equals sign, or a name occurs twice.
    """
    labels: dict[str, str] = {}
    for part in split_outside_brackets(text, ","):
        name, *rest = split_outside_brackets(part.strip(), "=")
        if not rest or not name.strip():
            raise InputError(
                f"labels has {short_repr(part)}; each part must be a name, an equals sign and a text: "
                "--labels 'gce=GCE,mae=MAE'."
            )
        if name.strip() in labels:
            raise InputError(f"labels names {short_repr(name.strip())} twice. Give it one text.")
        labels[name.strip()] = "=".join(rest).strip()
    return labels


def _inches(width: float | str) -> float:
    low, high = _WIDTHS
    value = width
    if isinstance(width, str):
        match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(in|cm|mm|pt)?\s*", width, re.ASCII)
        value = round(float(match[1]) * _INCHES[match[2] or "in"], 6) if match else width
    if isinstance(value, bool | str) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(
            f"width is {short_repr(width)}; it must be a length from {low:g} to {high:g} inches, such as "
            "--width 3.3in or --width 84mm."
        )
    return float(value)


def _check_font(font: object) -> None:
    """Refuse a font that is not installed: matplotlib would draw another one."""
    from matplotlib.font_manager import fontManager

    names = {entry.name for entry in fontManager.ttflist}
    if isinstance(font, str) and (font in _GENERIC_FONTS or font in names):
        return
    close = get_close_matches(str(font), [*_GENERIC_FONTS, *sorted(names)], 1, 0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(
        f"font is {short_repr(font)}; it must be serif, sans-serif, monospace or the name of an installed "
        f"font.{hint}"
    )
