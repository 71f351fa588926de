"""The encoding of a table as features, as plain data: it can be stored and applied to new rows.

Medians, offsets and values of text are those of the rows that determined the encoding.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dilution.data.formats.table_cells import NumberCells, TextCells
from dilution.data.formats.table_precision import Rounding, as_type_of
from dilution.errors import DataError

DecimalMark = Literal["", "point", "comma"]


@dataclass(frozen=True)
class NumberEncoding:
    """How a column of numbers becomes features.

    Parameters
    ----------
    name
        Name of the column.
    fill
        What missing numbers are filled with: the median.
    offset
        What is subtracted; 0: nothing.
    n_rests
        How many features hold the digits that float32 takes from the number.
    has_indicator
        Whether a feature is 1 where the number is missing and 0 elsewhere.
    decimal
        The decimal mark, ``"point"`` or ``"comma"``, under which text was read; ``""`` if it had no mark.
    currency
        The sign of a currency beside the numbers; empty without one.
    """

    name: str
    fill: float
    offset: int | float = 0
    n_rests: int = 0
    has_indicator: bool = False
    decimal: DecimalMark = ""
    currency: str = ""
    kind: Literal["number"] = "number"

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    @property
    def n_features(self) -> int:
        """How many features the column becomes."""
        return 1 + self.n_rests + self.has_indicator

    def features(self, cells: NumberCells) -> list[NDArray[np.float32]]:
        """Return the features of some cells, each float32 of shape (n,)."""
        rest = Rounding(self.fill, self.offset).numbers(cells)
        features = [rest.astype(np.float32)]
        for _ in range(self.n_rests):
            rest = rest - as_type_of(rest, features[-1])
            features.append(rest.astype(np.float32))
        if self.has_indicator:
            features.append(cells.is_missing.astype(np.float32))
        return features


@dataclass(frozen=True)
class TextEncoding:
    """How a column of text or truth values becomes features: one of 0 and 1 per value.

    Parameters
    ----------
    name
        Name of the column.
    levels
        The values, in the normal form of names of classes, in the order of the features.
    has_missing_level
        Whether a further feature is 1 where the cell is missing.
    """

    name: str
    levels: tuple[str, ...]
    has_missing_level: bool = False
    kind: Literal["text"] = "text"

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    @property
    def n_features(self) -> int:
        """How many features the column becomes."""
        return len(self.levels) + self.has_missing_level

    def features(self, cells: TextCells) -> list[NDArray[np.float32]]:
        """Return the features of some cells, each float32 of shape (n,)."""
        number_of = {text: number for number, text in enumerate(cells.texts)}
        codes = [number_of.get(level, -2) for level in self.levels]  # −1 is a missing cell
        features = [(cells.codes == code).astype(np.float32) for code in codes]
        if self.has_missing_level:
            features.append(cells.is_missing.astype(np.float32))
        return features

    def is_unseen(self, cells: TextCells) -> NDArray[np.bool_]:
        """Return which cells are 0 in all features: bool, shape (n,)."""
        is_level = np.array([text in set(self.levels) for text in cells.texts] + [self.has_missing_level])
        return ~is_level[cells.codes]  # code −1 is the last one


ColumnEncoding = NumberEncoding | TextEncoding


@dataclass(frozen=True)
class TableEncoding:
    """How the rows of a table become features.

    Parameters
    ----------
    columns
        The columns of features, in the order of the features.
    label
        The column of the label.
    ignored
        Columns that the table had and that are no features, such as an index.
    ids
        The column of the ids of the rows. None: rows had no ids.
    """

    columns: tuple[ColumnEncoding, ...]
    label: str = "label"
    ignored: tuple[str, ...] = ()
    ids: str | None = None
    kind: Literal["table"] = "table"

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not self.columns or not self.n_features:
            raise ValueError("an encoding has at least one feature")

    @property
    def n_features(self) -> int:
        """How many features a row has."""
        return sum(column.n_features for column in self.columns)

    def features(self, cells: Mapping[str, NumberCells | TextCells]) -> NDArray[np.float32]:
        """Return the features of rows, float32 of shape (n, features).

        Parameters
        ----------
        cells
            The cells of each column by name, :class:`NumberCells` of a column of numbers and
            :class:`TextCells` of one of text.
        """
        parts: list[NDArray[np.float32]] = []
        for column in self.columns:
            parts += column.features(cells[column.name])  # type: ignore[arg-type]
        return np.stack(parts, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding in types that JSON has."""
        return asdict(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> "TableEncoding":
        """Return the encoding that :meth:`to_dict` returned, of which lists may stand for tuples.

        Raises
        ------
        DataError
            If it is no such content.
        """
        from pydantic import TypeAdapter, ValidationError  # lazily: it takes a while to import

        try:
            return TypeAdapter(TableEncoding).validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "its beginning"
            raise DataError(
                f"the encoding of a table has a fault at {place}: {first['msg']}. "
                "Take what to_dict() returned."
            ) from error
