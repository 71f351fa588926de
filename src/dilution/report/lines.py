"""The lines of a plot: one per combination of settings, their names, and their division among panels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dilution.utils.named_call import shorten_matrices

_MAX_LINES = 12  # more lines than this cannot be told apart
MAX_LABEL = 60
"""Letters of the longest name that leaves room for the plot."""
_MAX_PANELS = 6


@dataclass(frozen=True)
class Lines:
    """The lines of a plot.

    Parameters
    ----------
    labels
        The name of the line of each point, with the index of the points.
    settings
        Settings that the names give.
    panels
        Title of each panel with its points, as boolean masks; one panel without a title if all lines have
        room in it.
    """

    labels: "pd.Series[Any]"
    settings: tuple[str, ...]
    panels: tuple[tuple[str, "pd.Series[bool]"], ...]

    @property
    def count(self) -> int:
        """Number of lines in a panel."""
        return int(self.labels.nunique())

    @property
    def are_too_many(self) -> bool:
        """Whether the lines, or their names, cannot be told apart."""
        return self.count > _MAX_LINES or self.labels.str.len().max() > MAX_LABEL

    def of_panel(self, points: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
        """Yield each line that has some of these points: its number, its name and its points.

        A line has the same number in all panels.
        """
        labels = self.labels[points.index]
        for number, label in enumerate(dict.fromkeys(self.labels)):
            if (labels == label).any():
                yield number, label, points[labels == label]


def divide(points: pd.DataFrame, settings: Sequence[str]) -> Lines:
    """Return the lines of points, divided among panels by one setting where one panel has no room.

    Parameters
    ----------
    points
        One row per point.
    settings
        Columns of the settings that tell the lines apart.
    """
    names = without_n_val(points, settings)
    panel = _panel(points, names)
    in_label = [name for name in names if name != panel]
    labels = pd.Series(setting_names(points, in_label), points.index, dtype=object)
    if panel is None:
        return Lines(labels, tuple(in_label), (("", pd.Series(True, points.index)),))
    name = f"{panel} " if pd.api.types.is_numeric_dtype(points[panel]) else ""
    is_set = points[panel].map(_is_set).astype(bool)
    values = points[panel].astype(object)
    panels = [(name + _text(value), values == value) for value in dict.fromkeys(values[is_set])]
    panels += [(f"without {panel}", ~is_set)] * (not is_set.all())
    return Lines(labels.where(labels != "", "not set"), tuple(in_label), tuple(panels))


def _panel(points: pd.DataFrame, names: Sequence[str]) -> str | None:
    """Return the setting that divides the lines among panels; None if one panel has room."""
    if len(set(setting_names(points, names))) <= _MAX_LINES:
        return None
    for name, values in Counter({name: points[name].nunique() for name in names}).most_common()[::-1]:
        rest = [other for other in names if other != name]
        panels = values + int(points[name].isna().any())
        if 1 < panels <= _MAX_PANELS and len(set(setting_names(points, rest))) <= _MAX_LINES:
            return name
    return None


def setting_names(points: pd.DataFrame, settings: Sequence[str]) -> list[str]:
    """Return the settings of each point as text, without the number of validation examples if others give it.

    Only values are named where they tell the points apart, otherwise the settings too: ``"delta 0.5"``.

    Parameters
    ----------
    points
        One row per point.
    settings
        Columns of settings.
    """
    columns = without_n_val(points, settings)
    rows = list(points[columns].itertuples(index=False, name=None))
    values = [[(name, x) for name, x in zip(columns, row, strict=True) if _is_set(x)] for row in rows]
    short = [", ".join(_text(x) for _, x in row) for row in values]
    groups: dict[str, set[str]] = {}
    for label, row in zip(short, values, strict=True):
        groups.setdefault(label, set()).add(str(row))
    if all(len(different) == 1 for different in groups.values()):
        return short
    return [", ".join(f"{name} {_text(x)}" for name, x in row) for row in values]


def without_n_val(points: pd.DataFrame, settings: Sequence[str]) -> list[str]:
    """Return the settings without the number of validation examples, unless it tells points apart."""
    others = [name for name in settings if name != "n_val"]
    is_given = len(points[others].drop_duplicates()) == len(points[list(settings)].drop_duplicates())
    return others if is_given and others else list(settings)


def _is_set(value: object) -> bool:
    return bool(pd.notna(value)) and value != ""


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else shorten_matrices(str(value))
