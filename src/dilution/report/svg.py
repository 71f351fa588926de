"""A plot as part of a page: its SVG as page elements, and the tooltips of its points."""

import re
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from dilution.report.marks import Mark
from dilution.report.style import COLOURS, GRID, INK, QUIET
from dilution.report.tables import BOUNDS, format_number, setting_text

QUOTED = "Quoted from memory of the paper, for comparison only: not a result, and no verdict uses it."

# Colours that change with the light or dark theme of the page; all other colours stay as drawn.
_THEMED = {
    "#ffffff": "var(--card)",
    INK: "var(--ink)",
    QUIET: "var(--axis)",
    GRID: "var(--grid)",
    COLOURS[-1]: "var(--ink)",
}
_XLINK = "{http://www.w3.org/1999/xlink}href"
_TICKS = {"xtick": "x-tick", "ytick": "y-tick"}
_REMOVED = {"metadata", "style"}  # a style element would apply to the whole page


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """Return an SVG file as an element of an HTML page.

    Ids get a prefix, because those of several plots would collide; ids without a reference are removed.

    Parameters
    ----------
    svg
        Content of the file, as matplotlib writes it.
    prefix
        Prefix of the ids of this plot.
    label
        Description of the plot for screen readers.
    """
    root = ElementTree.fromstring(svg)
    _name_ticks(root)
    used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in _REMOVED:
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
                element.set("style", re.sub(r"#[0-9a-f]{6}\b", lambda match: theme_colour(match[0]), value))
            else:
                element.set(name, " ".join(value.replace("url(#", f"url(#{prefix}-").split()))
    symbols = root.findall(".//defs/path[@style]")  # letters have no style
    for element in root.iter():
        if style := element.get("style"):
            element.set("style", _keep_size(style, element in symbols))
    width = root.get("width", "")
    root.attrib.pop("height", None)
    root.attrib.pop("width", None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", f"min-width: {_smallest_width(width)}px")
    return ElementTree.tostring(root, encoding="unicode")


def tooltips(
    marks: tuple[Mark, ...], as_percent: bool, note: str = "", confidence: int = 95
) -> list[dict[str, Any]]:
    """Return the tooltips of a plot for the script of the page, with all values as text.

    Parameters
    ----------
    marks
        The points.
    as_percent
        Whether means are fractions in [0, 1], shown in percent.
    note
        Text for all points; points quoted from the paper have their own note.
    confidence
        Confidence of the intervals, in percent.
    """
    return [_tooltip(mark, as_percent, note, confidence) for mark in marks]


def theme_colour(colour: str) -> str:
    """Return a colour for the page: a CSS variable if it differs between the light and the dark theme."""
    return _THEMED.get(colour.lower(), colour)


def _tooltip(mark: Mark, as_percent: bool, note: str, confidence: int) -> dict[str, Any]:
    row = dict(mark.row)
    mean, low, high = (row.pop(name, None) for name in BOUNDS)
    seeds = row.pop("seeds", None)
    unit = " %" if as_percent else ""
    value = interval = ""
    if mean is not None:
        value = f"{format_number(mean, as_percent)}{unit}"
        interval = "no interval"
        if not (pd.isna(low) or pd.isna(high)):
            bounds = f"{format_number(low, as_percent)} to {format_number(high, as_percent)}{unit}"
            interval = f"{confidence} % interval {bounds}"
    if seeds is not None:
        interval += f"{', ' if interval else ''}{seeds} {'seed' if seeds == 1 else 'seeds'}"
    return {
        "x": mark.x,
        "y": mark.y,
        "line": mark.line,
        "colour": theme_colour(mark.colour),
        "series": mark.series,
        "value": value,
        "measure": mark.measure,
        "interval": interval,
        "rows": [setting_text(str(name), value) for name, value in row.items()],
        "note": QUOTED if mark.quoted else note,
    }


def _name_ticks(root: ElementTree.Element) -> None:
    """Give panels and tick labels a class, by which the script keeps the labels of a zoomed plot in view."""
    for group in root.iter():
        kind = group.get("id", "").partition("_")[0]
        if kind == "axes":
            group.set("class", "panel")
        elif kind in _TICKS:
            for child in group:
                if child.get("id", "").startswith("text_"):
                    child.set("class", _TICKS[kind])


def _keep_size(style: str, is_symbol: bool) -> str:
    """Return a style in which lines and symbols keep their size when the plot is zoomed."""
    if is_symbol:
        return f"{style}; transform: scale(var(--zoom))"
    return re.sub(r"stroke-width: ([\d.]+)", r"stroke-width: calc(\1px * var(--zoom))", style)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _smallest_width(width: str) -> int:
    """Return the width in pixels below which the text of a plot would be too small to read.

    Matplotlib gives the width in points; at 0.8 pixels per point, 9-point labels are 7 pixels tall.
    """
    points = re.match(r"[\d.]+", width)
    return round(0.8 * float(points[0])) if points else 320
