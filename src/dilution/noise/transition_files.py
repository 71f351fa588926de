"""Files of transition matrices: arrays of NumPy, rows of numbers in a CSV file, the table of a diagnosis."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dilution.errors import DataError, InputError, short_repr
from dilution.noise.transition import Matrix
from dilution.utils.csv_cells import restore_text
from dilution.utils.npz_size import check_array_fits, load_array
from dilution.utils.printable import one_line
from dilution.utils.references import user_folder
from dilution.utils.regular_file import check_regular, expand_home

MAX_BYTES = 1 << 30
"""Of a file: T of 10,000 classes takes 800 MB."""

_SUFFIXES = (".npy", ".csv")
_COLUMNS = ["true", "noisy", "probability"]  # of the transition.csv of a diagnosis, among others
_MAX_NAME = 50  # characters of the name of a class in a message


def file_content(path: str) -> bytes:
    """Return the content of a file of a transition matrix.

    Parameters
    ----------
    path
        The file, relative to the current folder.

    Raises
    ------
    DataError
        If it cannot be read, or is too large.
    """
    file = user_folder() / expand_home(path)
    check_regular(file)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"the transition matrix {path} cannot be read: {error.strerror}. Name a file such as the "
            "transition.csv of dilution diagnose, relative to the current folder."
        ) from None
    if len(content) > MAX_BYTES:
        raise DataError(
            f"{path} has more than {MAX_BYTES:,} bytes; a transition matrix has fewer. Write it as .npy."
        )
    return content


def array_of(content: bytes) -> Matrix:
    """Return the array in the content of an ``.npy`` file, float64.

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError
        If it is no array of numbers.
    """
    file = io.BytesIO(content)
    check_array_fits(file, len(content), "T", MAX_BYTES)
    loaded = load_array(file, "T")
    if loaded.dtype.kind not in "fiub":
        raise TypeError(f"it holds {loaded.dtype}")
    return loaded.astype(np.float64)


@dataclass(frozen=True)
class NamedMatrix:
    """A matrix T[true, noisy] whose classes have names.

    Parameters
    ----------
    table
        float64, shape (classes, classes).
    classes
        Names of the classes, in the order of rows and columns.
    path
        Where it was read, for messages.
    """

    table: Matrix
    classes: tuple[str, ...]
    path: str

    def for_classes(self, names: tuple[str, ...]) -> Matrix:
        """Return the matrix in the order of these classes.

        Raises
        ------
        InputError
            If it names a class that is none of these, or lacks one of them.
        """
        position = {name: number for number, name in enumerate(names)}
        for name in self.classes:
            if name not in position:
                known = ", ".join(one_line(known, _MAX_NAME) for known in names[:20])
                raise InputError(
                    f"{self.path} names the class {short_repr(name)}, which the data do not have. Their "
                    f"classes are: {known}{' …' if len(names) > 20 else ''}. Give the T of these data."
                )
        if lacking := next((name for name in names if name not in self.classes), None):
            raise InputError(
                f"{self.path} has no row for the class {short_repr(lacking)} of the data. Give a T with all "
                "of their classes."
            )
        places = [position[name] for name in self.classes]
        table = np.zeros((len(names), len(names)))
        table[np.ix_(places, places)] = self.table
        return table


def read_transition(path: str | Path) -> Matrix | NamedMatrix:
    """Return T in a file.

    Parameters
    ----------
    path
        The file, relative to the current folder: an ``.npy`` file, a ``.csv`` file of one row of numbers per
        class without a header, or the ``transition.csv`` of ``dilution diagnose``, which names its classes.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If it has no matrix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"T is {str(path)!r}; a file of a transition matrix ends in {' or '.join(_SUFFIXES)}. Write it "
            "with numpy.save."
        )
    content = file_content(str(path))
    try:
        if suffix == ".npy":
            return array_of(content)
        if not content.strip():
            raise ValueError("it is empty")
        text = content.decode("utf-8-sig")
        columns = [name.strip().strip('"') for name in text.partition("\n")[0].split(",")]
        if not set(_COLUMNS) <= set(columns):
            return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2, quotechar='"', comments=None)
        if any(columns.count(name) > 1 for name in _COLUMNS):
            raise ValueError("two of its columns have one name")
        return _named_matrix(text, str(path))
    except (ValueError, TypeError, OverflowError, MemoryError, pd.errors.ParserError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0].rstrip(".")
        raise InputError(
            f"{path} has no transition matrix ({reason}); it must hold numbers alone, one row per true class "
            "and one column per noisy class, in the order of the classes, or be the transition.csv of "
            "dilution diagnose. Write it with numpy.save."
        ) from None


def _named_matrix(text: str, path: str) -> NamedMatrix:
    """Return the matrix in a table with a row for each pair of classes; a pair without one has 0."""
    columns = pd.read_csv(io.StringIO(text), usecols=_COLUMNS, dtype=str, keep_default_na=False)
    true, noisy = (columns[name].map(restore_text) for name in _COLUMNS[:2])
    classes = tuple(dict.fromkeys([*true, *noisy]))
    if (again := pd.DataFrame({"true": true, "noisy": noisy}).duplicated()).any():
        place = int(again.to_numpy().argmax())
        pair = f"{short_repr(true[place])}, {short_repr(noisy[place])}"
        raise ValueError(f"two of its rows are of the pair {pair}; row {place + 1} is the second")
    position = {name: number for number, name in enumerate(classes)}
    table = np.zeros((len(classes), len(classes)))
    table[true.map(position), noisy.map(position)] = columns["probability"].to_numpy(dtype=np.float64)
    return NamedMatrix(table, classes, path)
