"""Notes on what was left out, converted or guessed in a table: one line per kind, with an example."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from dilution.errors import short_repr


class Kind(Enum):
    """What happened to a column. The values are the sentences on one column and on several, in their order.

    Placeholders: ``n`` columns, the first ``column``, and the first ``detail``; ``total`` is the sum of the
    counts, ``cells`` the same with its noun, for which the verbs ``hold``, ``have`` and ``count`` are.
    """

    REQUESTED = (
        "column {column} is dropped, as requested",
        "{n} columns are dropped, as requested, the first is {column}",
    )
    NOISY_BY_NAME = (
        "column {column} has the observed labels, by its name",
        "{n} columns have the observed labels, by their names, the first is {column}",
    )
    WEIGHT_BY_NAME = (
        "column {column} has the training weights of the labels, by its name: fit uses it, and it is no "
        "feature",
        "{n} columns have training weights of the labels, by their names, the first is {column}",
    )
    UNNAMED = (
        "column {column} has no name, like an index, and is dropped",
        "{n} columns have no name, like an index, and are dropped, the first is {column}",
    )
    PANDAS_INDEX = (
        "index {column} is left out; DataFrame.reset_index makes it a column",
        "{n} levels of the index are left out, the first is {column}; DataFrame.reset_index makes them "
        "columns",
    )
    INDEX = (
        "column {column} has a name and numbers like an index, another one in each row, and is dropped; to "
        "use it, give it another name",
        "{n} columns have names and numbers like an index, another one in each row, and are dropped, the "
        "first is {column}; to use them, give them other names",
    )
    EMPTY = (
        "column {column} has no value in the training rows and is dropped",
        "{n} columns have no value in the training rows and are dropped, the first is {column}",
    )
    DECIMAL_COMMA = (
        "column {column} has decimal commas, which are read as decimal points",
        "{n} columns have decimal commas, which are read as decimal points, the first is {column}",
    )
    THOUSANDS = (
        "column {column} has separators of thousands in {cells}, which are left out: {detail}",
        "{n} columns have separators of thousands in {cells}, which are left out: {detail} of column "
        "{column}",
    )
    GUESSED_MARK = (
        "column {column} has marks in numbers that may be decimal or separate thousands: {detail}",
        "{n} columns have marks in numbers that may be decimal or separate thousands: {detail} of column "
        "{column}",
    )
    SIGNS = (
        "column {column} has signs beside the numbers in {cells}, which are read with them: {detail}",
        "{n} columns have signs beside the numbers in {cells}, which are read with them: {detail} of column "
        "{column}",
    )
    LEADING_ZEROS = (
        "column {column} has numbers with leading zeros in {cells}, which are left out: {detail}",
        "{n} columns have numbers with leading zeros in {cells}, which are left out: {detail} of column "
        "{column}",
    )
    NUMBERS_AS_TEXT = (
        "column {column} is text in the file, and its numbers are read as numbers",
        "{n} columns are text in the file, and their numbers are read as numbers, the first is {column}",
    )
    ODD_CELLS = (
        "column {column} of numbers: {cells} {hold} other text and {count} as missing, the first is {detail}",
        "{n} columns of numbers: {cells} {hold} other text and {count} as missing, the first is {detail} of "
        "column {column}",
    )
    MOSTLY_NUMBERS = (
        "column {column} counts as text, since {cells} {hold} no number, the first is {detail}",
        "{n} columns with numbers count as text, since {cells} {hold} no number, the first is {detail} of "
        "column {column}",
    )
    BOUNDS = (
        "column {column} counts as text, since {cells} {hold} a bound of a number, the first is {detail}",
        "{n} columns count as text, since {cells} {hold} a bound of a number, the first is {detail} of "
        "column {column}",
    )
    OTHER_MARK = (
        "column {column} counts as text, since {cells} {hold} a number with another decimal mark than the "
        "requested one, the first is {detail}",
        "{n} columns count as text, since {cells} {hold} a number with another decimal mark than the "
        "requested one, the first is {detail} of column {column}",
    )
    MIXED = (
        "column {column} counts as text, since {cells} {hold} numbers that are written in several ways, the "
        "first is {detail}",
        "{n} columns count as text, since {cells} {hold} numbers that are written in several ways, the first "
        "is {detail} of column {column}",
    )
    UNITS = (
        "column {column} counts as text, since {cells} {hold} a number with a unit, the first is {detail}",
        "{n} columns count as text, since {cells} {hold} a number with a unit, the first is {detail} of "
        "column {column}",
    )
    MISSING = (
        "column {column}: {total} missing {numbers} filled with the median {detail}{indicators}",
        "{n} columns: {total} missing {numbers} filled with the median of the column, {detail} in {column}"
        "{indicators}",
    )
    OFFSET = (
        "column {column}: {detail} is subtracted, since float32 cannot tell such large and close numbers "
        "apart",
        "{n} columns: a number is subtracted from each, since float32 cannot tell such large and close "
        "numbers apart, {detail} from column {column}",
    )
    LIKELY_ID = (
        "column {column} has another whole number in each row, as an id has, and counts as a feature; if it "
        "is an id, name it as such: {detail}",
        "{n} columns have another whole number in each row, as ids have, and count as features, the first is "
        "{column}; if it is an id, name it as such: {detail}",
    )
    MERGED_NUMBERS = (
        "column {column} has whole numbers with more digits than float32 holds: {total} of them {become} "
        "equal to another one, such as {detail}; an identifier is no feature: drop it",
        "{n} columns have whole numbers with more digits than float32 holds: {total} of them {become} equal "
        "to another one, such as {detail} of column {column}; an identifier is no feature: drop it",
    )
    RESTS = (
        "column {column} becomes {total} features, the rounded number and the rest, since rows differ only "
        "in digits that float32 does not hold",
        "{n} columns become {total} features, the rounded numbers and the rests, since rows differ only in "
        "digits that float32 does not hold, the first is {column}",
    )
    TEXT = (
        "column {column} becomes {features} of 0 and 1, one per value{detail}",
        "{n} columns of text become {total} columns of 0 and 1, one per value{detail}, the first is {column}",
    )
    MARKERS = (
        "column {column} of text: {cells} {count} as missing, the first is {detail}",
        "{n} columns of text: {cells} {count} as missing, the first is {detail} of column {column}",
    )
    BLANKS = (
        "column {column} of text: values that differ in blanks around them count as one, such as {detail}",
        "{n} columns of text: values that differ in blanks around them count as one, such as {detail} of "
        "column {column}",
    )
    SPELLINGS = (
        "column {column} of text: values that differ in forms of Unicode count as one, such as {detail}",
        "{n} columns of text: values that differ in forms of Unicode count as one, such as {detail} of "
        "column {column}",
    )
    SIMILAR = (
        "column {column} of text: {total} values look alike or are one number, and are kept apart, such as "
        "{detail}",
        "{n} columns of text: {total} values look alike or are one number, and are kept apart, such as "
        "{detail} of column {column}",
    )
    NEW_VALUES = (
        "column {column}: {cells} {have} values that the model was not fitted to, the first is {detail}; "
        "they are 0 in all of its columns",
        "{n} columns: {cells} {have} values that the model was not fitted to, the first is {detail} of "
        "column {column}; they are 0 in all of its columns",
    )
    IGNORED = (
        "column {column} is ignored, since the model was not fitted to it",
        "{n} columns are ignored, since the model was not fitted to them, the first is {column}",
    )
    UNSEEN = (
        "column {column}: {cells} of the test split {have} values that no training row has; they are 0 in "
        "all of its columns",
        "{n} columns: {cells} of the test split {have} values that no training row has, the first in column "
        "{column}; they are 0 in all of its columns",
    )


@dataclass(frozen=True)
class Note:
    """A note on one column.

    Parameters
    ----------
    kind
        What happened.
    column
        Name of the column.
    count
        How many cells or columns are concerned.
    detail
        An example, or what else the sentence says.
    indicators
        How many missing-value indicator columns are added.
    """

    kind: Kind
    column: str
    count: int = 0
    detail: str = ""
    indicators: int = 0


def write_notes(notes: Iterable[Note]) -> tuple[str, ...]:
    """Return one sentence per kind, in the order of the kinds."""
    of_kind: dict[Kind, list[Note]] = {kind: [] for kind in Kind}
    for note in notes:
        of_kind[note.kind].append(note)
    return tuple(_write(kind, of_kind[kind]) for kind in Kind if of_kind[kind])


def _write(kind: Kind, notes: list[Note]) -> str:
    for_one, for_several = kind.value
    total, indicators = sum(note.count for note in notes), sum(note.indicators for note in notes)
    is_one = total == 1
    added = {0: "", 1: "; a missing-value indicator column is added"}
    return (for_one if len(notes) == 1 else for_several).format(
        n=f"{len(notes):,}",
        column=short_repr(notes[0].column),
        detail=next((note.detail for note in notes if note.detail), ""),
        total=f"{total:,}",
        cells=f"{total:,} cell" if is_one else f"{total:,} cells",
        features="1 column" if is_one else f"{total:,} columns",
        become="becomes" if is_one else "become",
        hold="holds" if is_one else "hold",
        have="has" if is_one else "have",
        count="counts" if is_one else "count",
        numbers="number is" if is_one else "numbers are",
        indicators=added.get(indicators, f"; {indicators:,} missing-value indicator columns are added"),
    )
