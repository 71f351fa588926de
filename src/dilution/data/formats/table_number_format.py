"""What is known of the numbers in a table, and the columns of text that are numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from dilution.data.formats.table_cells import NumberCells, TextCells
from dilution.data.formats.table_notes import Note


@dataclass(frozen=True)
class NumberFormat:
    """How a table writes numbers, as far as it is known.

    Parameters
    ----------
    decimal
        The decimal mark, ``"point"`` or ``"comma"``, that the user names; None: it is detected.
    usual_decimal
        That of most such files; None if neither is usual.
    has_types
        Whether the file says which columns are text.
    has_leading_zeros
        Whether the file may have numbers with zeros that they do not need, as 007.
    text_of
        Function of columns, and of a number of rows or None, that returns the columns as they are in the
        file: the first rows or all n.
    name_with_decimal
        Function of a decimal mark that returns the name of the data set with it, for messages.
    """

    decimal: str | None
    usual_decimal: str | None
    has_types: bool
    has_leading_zeros: bool
    text_of: Callable[[Sequence[str], int | None], pd.DataFrame]
    name_with_decimal: Callable[[str], str]


@dataclass(frozen=True)
class WrittenForm:
    """How the numbers of a column of text are written.

    Parameters
    ----------
    decimal
        The decimal mark, ``"point"`` or ``"comma"``; ``""`` if no number has one, or one of thousands.
    currency
        The sign of a currency; empty without one.
    """

    decimal: str = ""
    currency: str = ""


@dataclass
class NumberColumns:
    """Columns of numbers among those of text, and columns whose cells only look like numbers.

    Parameters
    ----------
    cells
        By column: its numbers, if 95 % of its cells are numbers; its text, if pandas took it for numbers that
        it is not under the decimal mark of the user.
    refusals
        By column that stays text though most of its cells look like numbers: the reason and the remedy, for
        the error if it has too many values.
    forms
        By column of numbers: how they are written.
    notes
        What was converted or guessed.
    """

    cells: dict[str, NumberCells | TextCells] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    forms: dict[str, WrittenForm] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
