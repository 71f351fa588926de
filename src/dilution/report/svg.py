"""A plot within the page: its SVG as elements of the page, its points as text for the tooltip."""

import re
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from dilution.report.marks import Mark
from dilution.report.style import COLOURS, GRID, INK, QUIET
from dilution.report.tables import BOUNDS, column_text, number

QUOTED = "Quoted from memory of the paper: a mark to compare with, not a result, and no claim rests on it."

# Colours that must follow the page from light to dark; black is a series, all others stay as drawn.
_FOLLOWING = {
    "#ffffff": "var(--card)",
    INK: "var(--ink)",
    QUIET: "var(--axis)",
    GRID: "var(--grid)",
    COLOURS[-1]: "var(--ink)",
}
_XLINK = "{http://www.w3.org/1999/xlink}href"
_TICKS = {"xtick": "across", "ytick": "upward"}
_LEFT_OUT = {"metadata", "style"}  # a style would hold for the whole page


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """Return an SVG file as an element of an HTML page.

    Ids get a prefix, since those of several plots would collide; those that nothing refers to go.

    Parameters
    ----------
    svg
        The file, as matplotlib writes it.
    prefix
        What the ids of this plot begin with.
    label
        What it says to those who cannot see it.
    """
    root = ElementTree.fromstring(svg)
    _name_ticks(root)
    used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in _LEFT_OUT:
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.text = element.tail = None  # only white space: text is drawn as paths
        attributes = {"href" if name == _XLINK else name: value for name, value in element.items()}
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                if value in used:
                    element.set("id", f"{prefix}-{value}")
            elif name == "href":
                element.set("href", value.replace("#", f"#{prefix}-", 1))
            elif name == "style":
                element.set("style", re.sub(r"#[0-9a-f]{6}\b", lambda m: following(m[0]), value))
            else:
                element.set(name, " ".join(value.replace("url(#", f"url(#{prefix}-").split()))
    symbols = root.findall(".//defs/path[@style]")  # letters have no style
    for element in root.iter():
        if style := element.get("style"):
            element.set("style", _steady(style, element in symbols))
    width = root.get("width", "")
    root.attrib.pop("height", None)
    root.attrib.pop("width", None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", f"min-width: {_smallest_width(width)}px")
    return ElementTree.tostring(root, encoding="unicode")


def tips(marks: tuple[Mark, ...], shares: bool, note: str = "") -> list[dict[str, Any]]:
    """Return the points of a plot as the page's script takes them, all they say as text.

    Parameters
    ----------
    marks
        The points.
    shares
        Whether means are shares in [0, 1], to be shown as percent.
    note
        What all points have in common; those quoted from the paper say that they are.
    """
    return [_tip(mark, shares, note) for mark in marks]


def following(colour: str) -> str:
    """Return a colour as the page writes it: by name where it differs between light and dark."""
    return _FOLLOWING.get(colour.lower(), colour)


def _tip(mark: Mark, shares: bool, note: str) -> dict[str, Any]:
    row = dict(mark.row)
    mean, low, high = (row.pop(name, None) for name in BOUNDS)
    seeds = row.pop("seeds", None)
    unit = " %" if shares else ""
    value = interval = ""
    if mean is not None:
        value = f"{number(mean, shares)}{unit}"
        interval = "no interval"
        if not (pd.isna(low) or pd.isna(high)):
            interval = f"95 % interval {number(low, shares)} to {number(high, shares)}{unit}"
    if seeds is not None:
        interval += f"{', ' if interval else ''}{seeds} {'seed' if seeds == 1 else 'seeds'}"
    return {
        "x": mark.x,
        "y": mark.y,
        "line": mark.line,
        "colour": following(mark.colour),
        "series": mark.series,
        "value": value,
        "measure": mark.measure,
        "interval": interval,
        "rows": [column_text(str(name), value) for name, value in row.items()],
        "note": QUOTED if mark.quoted else note,
    }


def _name_ticks(root: ElementTree.Element) -> None:
    """Give panels and tick labels classes: an enlarged plot keeps the labels in view."""
    for group in root.iter():
        kind = group.get("id", "").partition("_")[0]
        if kind == "axes":
            group.set("class", "panel")
        elif kind in _TICKS:
            for child in group:
                if child.get("id", "").startswith("text_"):
                    child.set("class", _TICKS[kind])


def _steady(style: str, symbol: bool) -> str:
    """Return a style in which lines and symbols keep their size when the plot is enlarged."""
    if symbol:
        return f"{style}; transform: scale(var(--zoom))"
    return re.sub(r"stroke-width: ([\d.]+)", r"stroke-width: calc(\1px * var(--zoom))", style)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _smallest_width(width: str) -> int:
    """Return the width in pixels below which the plot's text would be too small to read.

    Matplotlib gives the width in points; at 0.8 pixels a point, 9-point labels are 7 pixels tall.
    """
    points = re.match(r"[\d.]+", width)
    return round(0.8 * float(points[0])) if points else 320
