"""The cells of a store that are read without their run: SQLite enforces types on writing, but not on reading.

The other cells of a run are checked when the run is read (``row_faults.py``).
"""

import sqlite3
from pathlib import Path

from dilution.errors import StoreError
from dilution.study.schema import STATES

_BLANKS = "char(9, 10, 13, 32)"

# Conditions on runs use an index each: a query over the whole table would read every history.
_FAULTS = (
    ("runs", "typeof(key) <> 'text'", "a key that is no text"),
    ("runs", f"state NOT IN {STATES}", f"a state that is none of {', '.join(STATES)}"),
    (
        "runs",
        f"state = 'failed' AND (typeof(error) <> 'text' OR trim(error, {_BLANKS}) = '')",
        "a failed run without an error",
    ),
    (
        "runs",
        "(crashes > 0 OR shared_crashes > 0) "
        "AND (typeof(crashes) <> 'integer' OR typeof(shared_crashes) <> 'integer')",
        "a number of crashes that is no integer",
    ),
    ("studies", "typeof(name) <> 'text'", "a name of a study that is no text"),
    (
        "members",
        "typeof(study) <> 'text' OR typeof(key) <> 'text' OR typeof(position) <> 'integer'",
        "a list of runs of a study with a cell of another type",
    ),
    (
        "artifacts",
        "typeof(name) <> 'text' OR typeof(value) <> 'text' OR typeof(checksum) <> 'text'",
        "an artifact with a cell of another type",
    ),
)
"""Table, condition that none of its rows may meet, and what a store has then."""


def check_cell_types(connection: sqlite3.Connection, path: Path) -> None:
    """Check types and forms of the cells that are read without their run.

    Parameters
    ----------
    connection
        The store, whose schema was checked.
    path
        Its file, for the message.

    Raises
    ------
    StoreError
        If a cell is not as this program writes it.
    """
    for table, condition, fault in _FAULTS:
        if connection.execute(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1").fetchone():
            raise StoreError(
                f"{path} has {fault}: it was damaged or changed. Restore a copy, or choose another --store."
            )
