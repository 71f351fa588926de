"""A write-ahead log that no process writes: what it would make of its store, before SQLite copies it there.

A program that was killed leaves such a log. SQLite accepts any that is well-formed, and copies its pages
over those of the store; a log has no mark of the store it belongs to. So the store is first read through its
log by a connection that cannot write, and compared with the file alone.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from dilution.errors import StoreError
from dilution.study import schema
from dilution.study.stored_row import COLUMNS, parse_row, printable_key
from dilution.utils.file_lock import writing
from dilution.utils.regular_file import file_size

CheckSchema = Callable[[sqlite3.Connection], int]
"""Function that returns the version of a store, or raises StoreError if a connection is to none."""

_REMEDY = "Move {} away if it came from somewhere else. Otherwise restore a copy, or choose another --store."


def check_leftover_log(path: Path, check_schema: CheckSchema) -> None:
    """Refuse a store whose log, if no process writes it, would damage it.

    Neither the store nor the log is changed. A log that passes may add sound runs and change lists of
    studies, as an import may, and no finished run is lost or changed by it.

    Parameters
    ----------
    path
        The store, which exists.
    check_schema
        Checks version and schema, and returns the version.

    Raises
    ------
    StoreError
        If the store with its log is of another program, has a damaged page or a row that breaks a rule, or
        lacks a finished run that the file alone has, or has it differently.
    sqlite3.Error, OSError
        If a file cannot be used.
    """
    real = path.resolve()
    log = real.with_name(f"{real.name}-wal")
    if not file_size(log) or _has_writer(path):
        return
    version_alone, finished_alone = _read_alone(real, check_schema)  # first: runs are only ever added
    with closing(_open(real, "mode=ro")) as connection:
        connection.execute("BEGIN")
        version = check_schema(connection)
        fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok" or version < version_alone:
            reason = fault.splitlines()[0] if fault != "ok" else "it would be of an older version"
            raise StoreError(f"{path} would be damaged by {log.name}: {reason}. {_REMEDY.format(log.name)}")
        if version < schema.SCHEMA_VERSION:
            return  # rows of an older version are checked once they are converted
        for values in connection.execute(f"SELECT {', '.join(COLUMNS)}, checksum FROM runs"):
            parse_row(values, path)
        finished = _finished(connection) if version == version_alone else finished_alone
    lost = next((key for key, checksum in finished_alone.items() if finished.get(key) != checksum), None)
    if lost is not None:
        raise StoreError(
            f"{log.name} would remove or change finished runs of {path}, the first is {printable_key(lost)}; "
            f"a log of this store never does. {_REMEDY.format(log.name)}"
        )


def _has_writer(path: Path) -> bool:
    """Return whether a process writes the store, and so its log."""
    try:
        with writing(path):
            return False
    except StoreError:
        return True


def _read_alone(store: Path, check_schema: CheckSchema) -> tuple[int, dict[str, str]]:
    """Return the version of a store without its log, and its finished runs with their checksums.

    A program that was killed may have copied a part of the log: the file alone may be unreadable, and then
    there is nothing to compare.
    """
    try:
        with closing(_open(store, "immutable=1")) as connection:
            version = check_schema(connection)
            return version, _finished(connection) if version == schema.SCHEMA_VERSION else {}
    except (sqlite3.DatabaseError, StoreError):
        return 0, {}


def _finished(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the checksum of each finished run whose checksum is right."""
    rows = connection.execute(
        f"SELECT {', '.join(schema.CHECKSUM_COLUMNS)}, checksum FROM runs NOT INDEXED "
        "WHERE state IN ('done', 'diverged')"
    )
    return {row[0]: row[-1] for row in rows if schema.checksum(*row[:-1]) == row[-1]}


def _open(store: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{store.as_uri()}?{mode}", isolation_level=None, uri=True)
