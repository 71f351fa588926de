"""Options of a table, which follow the ``#`` of its name: columns by role, and how a CSV file is written.

``survey.csv#label,drop=id,drop="Comments, if any"`` names the column of the label and two columns to leave
out. A name is written as in a shell: as it is, or in single or double quotes. It is recognized with and
without them, since a shell removes them, as the exact name of a column or as the name that messages show.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from dilution.errors import InputError, short_repr, unknown

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""Separators of cells by name."""

DECIMALS = ("point", "comma")
"""What may separate the fraction of a number."""

_COLUMN_KEYS, _WORD_KEYS = (
    ("label", "noisy", "group", "ids", "drop"),
    ("encoding", "separator", "decimal", "size"),
)
_ROLES = {
    "label": "the label",
    "noisy": "the observed label",
    "group": "the column of groups",
    "ids": "the column of ids",
}
_WORD = re.compile(rf"(?:^|,)\s*({'|'.join(_WORD_KEYS)})=([\w.:-]*)\s*(?=,|$)")
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""")
_BARE = re.compile(r"[\w.-]+")  # needs no quotes, here and in a shell
_LARGEST_SIZE = 4096  # pixels
_MAX_LISTED = 20  # columns in a message: the first and the last ones, where labels mostly are


@dataclass(frozen=True)
class TableOptions:
    """Options of a table.

    Parameters
    ----------
    label
        Column of the label.
    noisy
        Column of observed labels.
    dropped
        Columns that are left out.
    encoding, separator
        Encoding and separator of a CSV file, the latter a key of ``SEPARATORS``. None: they are detected.
    decimal
        ``"point"`` or ``"comma"``, what separates the fractions of all numbers that are text; the other one
        may separate thousands. None: it is detected per column.
    group
        Column of groups, such as patients: rows of one group share a side of every split.
    ids
        Column of ids of the examples.
    size
        Height and width in pixels of the images of a list of images. None: 32.
    """

    label: str | None = None
    noisy: str | None = None
    dropped: tuple[str, ...] = ()
    encoding: str | None = None
    separator: str | None = None
    decimal: str | None = None
    group: str | None = None
    ids: str | None = None
    size: str | None = None

    def drop(self, columns: Iterable[str]) -> "TableOptions":
        """Return the options without further columns."""
        return replace(self, dropped=(*self.dropped, *columns))

    def write(self, columns: Sequence[str]) -> str:
        """Return the options as text that :func:`parse_options` reads for a table with these columns.

        A shell may remove the quotes in the text.
        """
        texts = [self._write(quote) for quote in (_quote_if_needed, _in_double_quotes, shlex.quote)]
        return next((text for text in texts if self._is_written_by(text, columns)), texts[0])

    def _write(self, quote: Callable[[str], str]) -> str:
        names = [("label", self.label), ("noisy", self.noisy), ("group", self.group), ("ids", self.ids)]
        names += [("drop", name) for name in self.dropped]
        items = [f"{key}={quote(name)}" for key, name in names if name is not None]
        words = [(key, getattr(self, key)) for key in _WORD_KEYS]
        items += [f"{key}={word}" for key, word in words if word is not None]
        return ",".join(items).removeprefix("label=")

    def _is_written_by(self, text: str, columns: Sequence[str]) -> bool:
        try:
            return parse_options(text, columns) == self
        except InputError:
            return False


def parse_words(options: str) -> TableOptions:
    """Return the options that are needed to open a table: those that name no columns.

    Raises
    ------
    InputError
        If a separator or decimal mark is unknown.
    """
    words = TableOptions()
    for match in _WORD.finditer(_QUOTED.sub("", options)):
        words = _set_word(words, match[1], match[2])
    return words


def parse_options(options: str, columns: Sequence[str]) -> TableOptions:
    """Return the options of a table with these columns.

    Where a name that contains a comma leaves a choice, the longest name that is a column is taken.

    Raises
    ------
    InputError
        If a column or setting does not exist.
    """
    lookup = _Columns(columns)
    items = _read_items(options, lookup)
    if items is None:
        raise _explain_failure(options, lookup, columns)
    result = TableOptions()
    for key, value in items:
        if key == "drop":
            result = result.drop([value])
        elif key in _WORD_KEYS:
            result = _set_word(result, key, value)
        elif getattr(result, key) not in (None, value):
            raise InputError(
                f"{getattr(result, key)!r} and {value!r} are both named as {_ROLES[key]}; name one of them."
            )
        else:
            result = _with_column(result, key, value)
    return result


def _with_column(options: TableOptions, key: str, column: str) -> TableOptions:
    """Return the options with a column in the role that a key names."""
    match key:
        case "label":
            return replace(options, label=column)
        case "noisy":
            return replace(options, noisy=column)
        case "group":
            return replace(options, group=column)
        case _:
            return replace(options, ids=column)


def shown_path(path: Path) -> str:
    """Return a path to paste: in quotes if a shell needs them, relative below the current folder."""
    folder = Path.cwd()
    text = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
    return text if _BARE.fullmatch(text.replace("/", "")) else _in_double_quotes(text)


def list_columns(columns: Sequence[str]) -> str:
    """Return the names of columns for a message: of many the first and the last ones."""
    names = [display(name) for name in columns]
    if len(names) <= _MAX_LISTED:
        return ", ".join(names)
    first, last = names[: _MAX_LISTED // 2], names[-_MAX_LISTED // 2 :]
    return f"{', '.join(first)} … {', '.join(last)}"


class _Columns:
    """Columns by their exact names, and by the names that are displayed."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._exact = set(columns)
        self._displayed: dict[str, str | None] = {}
        for name in columns:
            shown = display(name)
            self._displayed[shown] = None if shown in self._displayed else name
        self.max_item = 2 * max(map(len, columns), default=0) + 40
        """Longest item that can name one of the columns: quotes at most double the length of a usual name."""

    def find(self, text: str) -> str | None:
        """Return the column that a text names, as it is or in quotes; None if it names none."""
        for name in (text, unquote(text)):
            if name is None:
                continue
            if name in self._exact:
                return name
            if (column := self._displayed.get(display(name))) is not None:
                return column
        return None


def _read_items(text: str, columns: _Columns) -> list[tuple[str, str]] | None:
    """Return the pairs of a key and a column or word, None if there is no way to read them."""
    if not text:
        return []
    commas = [match.start() for match in re.finditer(",", text)]
    ends = [*commas, len(text)]
    following: dict[int, list[tuple[str, str]] | None] = {len(text) + 1: []}  # by the position they begin at
    for start in reversed([0, *(comma + 1 for comma in commas)]):
        following[start] = None
        for end in reversed([end for end in ends if start <= end <= start + columns.max_item]):
            rest = following[end + 1]
            if rest is not None and (item := _read_item(text[start:end], columns, is_first=start == 0)):
                following[start] = [item, *rest]
                break
    return following[0]


def _read_item(text: str, columns: _Columns, *, is_first: bool) -> tuple[str, str] | None:
    if is_first and (column := columns.find(text)) is not None:
        return "label", column
    for form in (text, unquote(text)):
        key, equals, value = (form or "").partition("=")
        key = key.strip()
        if key in _WORD_KEYS and "," not in value:
            return key, value.strip()
        if equals and key in _COLUMN_KEYS and (column := columns.find(value)) is not None:
            return key, column
    return None


def _explain_failure(text: str, columns: _Columns, names: Sequence[str]) -> InputError:
    """Return the error for options that cannot be read."""
    masked = _QUOTED.sub(lambda match: match[0].replace(",", " "), text)  # splits are outside quotes
    start = 0
    for number, part in enumerate(masked.split(",")):
        item = text[start : start + len(part)]
        start += len(part) + 1
        if _read_item(item, columns, is_first=number == 0) is not None or (number == 0 and not item):
            continue
        form = unquote(item) or item
        key, equals, value = form.partition("=")
        if number == 0 and not equals:
            return UnknownLabelError(form, names)
        if key.strip() == "label" and equals:
            return UnknownLabelError(unquote(value) or value, names)
        if key.strip() in _COLUMN_KEYS and equals:
            label = columns.find(masked.partition(",")[0]) or "label"
            return unknown_column(unquote(value) or value, names, [name for name in names if name != label])
        return unknown("setting of a table", key.strip(), (*_COLUMN_KEYS, *_WORD_KEYS))
    return InputError(
        f"the options {short_repr(text)} can be read in no way. Put names with commas in double quotes."
    )


class UnknownLabelError(InputError):
    """The column named as the label does not exist.

    Parameters
    ----------
    name
        The name received.
    columns
        Names of all columns.
    """

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        super().__init__(str(unknown_column(name, columns, columns)))
        self.name = name


def unknown_column(name: str, names: Sequence[str], proposed: Sequence[str]) -> InputError:
    """Return the error for a column that does not exist, with the most similar one of those proposed."""
    close = get_close_matches(name, proposed, 1, 0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"{short_repr(name)} is not a column.{hint} There are: {list_columns(names)}.")


def _set_word(options: TableOptions, key: str, word: str) -> TableOptions:
    """Return the options with a setting that names no column."""
    valid = {"separator": tuple(SEPARATORS), "decimal": DECIMALS}.get(key)
    if valid is not None and word not in valid:
        raise unknown(f"{key} of a table", word, valid)
    if key == "size" and (not word.isdecimal() or not 1 <= int(word) <= _LARGEST_SIZE):
        raise InputError(
            f"size is {short_repr(word)}; height and width of images in pixels are one whole number from 1 "
            f"to {_LARGEST_SIZE}. Give 48, for instance."
        )
    words = {name: getattr(options, name) for name in _WORD_KEYS} | {key: word}
    return replace(
        options,
        encoding=words["encoding"],
        separator=words["separator"],
        decimal=words["decimal"],
        size=words["size"],
    )


def unquote(text: str) -> str | None:
    """Return a text without its quotes, as a shell removes them; None if it has none, or a comma outside."""
    pieces, quoted = _QUOTED.split(text), _QUOTED.findall(text)
    if not quoted or any(set(piece) & set(",'\"") for piece in pieces):
        return None
    contents = [
        piece[1:-1] if piece[0] == "'" else re.sub(r'\\(["\\$`])', r"\1", piece[1:-1]) for piece in quoted
    ]
    return pieces[0] + "".join(inside + after for inside, after in zip(contents, pieces[1:], strict=True))


def display(name: str) -> str:
    """Return the name of a column for a message of one line: what is not printable is a blank."""
    if name.isprintable() and name == name.strip() and "  " not in name:
        return name
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())


def _quote_if_needed(name: str) -> str:
    """Return a name in the plainest form that is the same behind a shell."""
    text = display(name) or name
    return text if _BARE.fullmatch(text) else _in_double_quotes(text)


def _in_double_quotes(name: str) -> str:
    return shlex.quote(name) if set(name) & set('"$`!\\') else f'"{name}"'
