"""Ids of examples that a user brings: one per example, all different, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dilution.data.class_names import normal_form, without_fraction
from dilution.data.label_values import is_missing
from dilution.errors import InputError, short_repr

if TYPE_CHECKING:
    from dilution.data.arrays import UnsplitData


def read_ids(values: Any, source: str, row_name: Callable[[int], str]) -> tuple[str, ...]:
    """Return ids as text; whole numbers are written without a fraction.

    Parameters
    ----------
    values
        One value per example: text, numbers or anything else with a text.
    source
        The ids in messages: ``"column 'patient'"``.
    row_name
        Function that names an example by its number.

    Raises
    ------
    InputError
        If an id is missing or occurs twice.
    """
    cells = list(values.tolist() if hasattr(values, "tolist") else values)
    missing = [row for row, cell in enumerate(cells) if is_missing(cell) or not str(cell).strip()]
    if missing:
        others = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise InputError(
            f"{source} has no id of {row_name(missing[0])}{others}; each example needs an id. Fill them, or "
            "name no ids: examples are then named by their rows."
        )
    ids = tuple(_text(cell) for cell in cells)
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        first, second = [row for row, name in enumerate(ids) if name == repeated[0]][:2]
        others = f", one of {len(repeated):,} ids that occur again" if len(repeated) > 1 else ""
        raise InputError(
            f"{source} has the id {short_repr(repeated[0])} in {row_name(first)} and in {row_name(second)}"
            f"{others}; ids must differ. Correct them, or name no ids: examples are then named by their "
            "rows. Examples that belong together, such as those of a patient, are a group."
        )
    return ids


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return without_fraction(str(value))
    return normal_form(str(value))


def with_ids(examples: UnsplitData, ids: Any, n_given: int) -> UnsplitData:
    """Return examples with ids of the user; what named them before are their places.

    Parameters
    ----------
    examples
        The examples.
    ids
        One value per example of the `n_given` that the user gave, shape (n_given,).
    n_given
        Number of examples that the user gave, those that were left out included.

    Raises
    ------
    InputError
        If there is another number of ids, or they break the rule of :func:`read_ids`.
    """
    values = np.asarray(ids, dtype=object) if isinstance(ids, list | tuple) else np.asarray(ids)
    if values.shape not in ((n_given,), (n_given, 1)):
        raise InputError(
            f"ids have shape {values.shape} for {n_given:,} examples; there must be one per example. Check "
            "that both come from the same rows."
        )
    kept = values.reshape(-1)[examples.positions]
    names = read_ids(kept, "ids", lambda row: f"example {examples.positions[row]}")
    # Numbers of examples are no places beside their positions.
    is_place = examples.names is not None and examples.names != tuple(map(str, examples.positions.tolist()))
    return replace(examples, names=names, places=examples.names if is_place else None)
