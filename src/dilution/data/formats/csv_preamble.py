"""Records above the header of a CSV file: titles and comments, told by their width and that of the rows."""

from collections.abc import Sequence

_SHARE = 0.9  # of the records below are as wide as the header
_MAX_ABOVE = 20  # records above a header


def is_blank(cells: Sequence[str]) -> bool:
    """Return whether a record is that of a blank line."""
    return len(cells) < 2 and not any(cell.strip() for cell in cells)


def count_above(records: Sequence[Sequence[str]]) -> int:
    """Return how many records are above the header.

    The header is the first record of at least two names that is as wide as the rows, if all records above it
    are titles or comments: those have another width, or text in their first cell only.

    Parameters
    ----------
    records
        The first records of a file that are not blank.
    """
    for number, header in enumerate(records[: _MAX_ABOVE + 1]):
        width = len(header)
        widths = [len(cells) for cells in records[number:]]
        if _count_texts(header) < 2 or widths.count(width) < _SHARE * len(widths):
            continue
        return number if all(_is_above(cells, width) for cells in records[:number]) else 0
    return 0


def _is_above(cells: Sequence[str], width: int) -> bool:
    """Return whether a record is a title or comment above a header of some width."""
    is_title = _count_texts(cells) == 1 and bool(cells[0].strip())
    is_comment = cells[0].lstrip().startswith("#")
    is_sentence = is_comment or " " in cells[0].strip() or width > 2
    if len(cells) == width:
        return is_title and is_sentence
    return len(cells) < width - 1 or is_comment or (is_title and is_sentence)


def _count_texts(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)
