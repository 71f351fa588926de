"""The file of a store: opened for writing or reading, after a check of everything that its schema has."""

import os
import shlex
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from dilution.errors import StoreError
from dilution.study import schema
from dilution.study.cell_types import check_cell_types
from dilution.study.leftover_log import check_leftover_log
from dilution.study.schema import SCHEMA_VERSION
from dilution.study.store_neighbours import check_neighbours, check_no_log
from dilution.utils import migration
from dilution.utils.atomic import create_file, flush_folder, temporary_path
from dilution.utils.file_lock import writing
from dilution.utils.regular_file import check_regular, file_size

_MAX_CELL = 1 << 28  # bytes; a history of 10,000 evaluations takes 2 million
_OPERATIONS_BETWEEN_SIGNALS = 100_000  # of SQLite: some milliseconds
_OPEN_TIMEOUT = 30.0  # seconds to wait for another process that creates or updates the store
_MAX_OBJECTS = 5  # in an error message


def open_store_file(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a store and bring its schema up to date; create it if it does not exist.

    Parameters
    ----------
    path
        The SQLite file.
    create
        Whether to create the file and its folder. Otherwise a store that may not be written is opened for
        reading.

    Raises
    ------
    StoreError
        If there is no store and `create` is False, or the file is no store, has objects or cells of somebody
        else, has a foreign file beside it, is of a newer version, or of an older one that cannot be
        converted where it is.
    sqlite3.Error, OSError
        If the file cannot be used.
    """
    if not create and path.is_file() and not path.stat().st_size:
        raise StoreError(
            f"{path} is empty: it is not a store yet, or its content is lost. Wait, restore a copy, "
            "or name another --store."
        )
    if not create and not path.exists():
        raise StoreError(
            f"there is no store at {path}. Name an existing file with --store, or create one with "
            f"`dilution reproduce fig1 --store {shlex.quote(str(path))}`."
        )
    check_regular(path)
    if path.is_dir():
        raise StoreError(f"{path} is a folder; --store names a file, such as results.sqlite.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder {path.parent} cannot be created: {error.strerror}. Choose another --store."
        ) from None
    check_neighbours(path)
    if create and not _has_content(path):
        _create(path)
    read_only = not create and not _may_write(path)
    if not read_only:
        check_leftover_log(path, partial(_check_schema, path=path))
    connection = _connect_read_only(path) if read_only else _connect(path)
    try:
        _limit(connection)
        version = _check_version(connection, path, read_only=read_only)
        is_new = _check_objects(connection, path, version)
        connection.create_function("checksum", -1, schema.checksum, deterministic=True)
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            _bring_up_to_date(connection, path, version, is_new=is_new)
        check_cell_types(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _may_write(path: Path) -> bool:
    """Return whether SQLite may write the store and its write-ahead log beside it."""
    return os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Put a store into WAL mode, without a journal on the disk, which another process would refuse."""
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA journal_mode = WAL")


def _has_content(path: Path) -> bool:
    return file_size(path) > 0


def _create(path: Path) -> None:
    """Create an empty store under a temporary name, and give it its own: others see all of it or nothing.

    SQLite itself would create a file that ignores the group's rights in the user's umask, with a journal
    beside it for a moment.
    """
    real = path.resolve()
    with writing(path, timeout=_OPEN_TIMEOUT):
        if _has_content(real):  # another process has created it meanwhile
            return
        check_no_log(real)
        part = temporary_path(real)
        try:
            create_file(part).close()
            with closing(_connect(part)) as connection:
                connection.execute("PRAGMA journal_mode = MEMORY")
                schema.create(connection)
                _use_write_ahead_log(connection)
            part.replace(real)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        flush_folder(real.parent)


def _connect(path: Path) -> sqlite3.Connection:
    # an absolute path: SQLite has a meaning of its own for :memory:
    return sqlite3.connect(path.resolve(), isolation_level=None, timeout=_OPEN_TIMEOUT)


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a store on a read-only disk: nothing is locked, since nothing can change."""
    real = path.resolve()
    log = real.with_name(f"{real.name}-wal")
    if file_size(log):
        raise StoreError(
            f"{path} has changes in {log.name} that SQLite cannot read in a folder which it may not write "
            "to. Copy both files to another folder, and name the copy with --store."
        )
    return sqlite3.connect(f"{real.as_uri()}?immutable=1", isolation_level=None, uri=True)


def _limit(connection: sqlite3.Connection) -> None:
    """Limit the size of a cell, and let signals end a query."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL)
    # SQLite calls this between operations, and Python handles a signal in it.
    connection.set_progress_handler(lambda: 0, _OPERATIONS_BETWEEN_SIGNALS)


def _check_schema(connection: sqlite3.Connection, path: Path) -> int:
    """Check version, objects and types of cells of a store, and return the version."""
    _limit(connection)
    version = _check_version(connection, path, read_only=False)
    if _check_objects(connection, path, version):
        raise StoreError(f"{path} has no tables. Restore a copy, or choose another --store.")
    if version == SCHEMA_VERSION:
        check_cell_types(connection, path)
    return version


def _check_version(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> int:
    """Return the version of the schema; 0 where there is none."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} is a store of version {version}; this Dilution reads up to version "
            f"{SCHEMA_VERSION}. Update with: pip install --upgrade dilution."
        )
    if read_only and 0 < version < SCHEMA_VERSION:
        raise StoreError(
            f"{path} is a store of version {version}, which must be converted to {SCHEMA_VERSION}, and it "
            "cannot be written. Copy it to another folder, and name the copy with --store."
        )
    return version


def _check_objects(connection: sqlite3.Connection, path: Path, version: int) -> bool:
    """Refuse files and objects of others, before the first query; return whether the file is empty."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    # other programs number their schemas too: the version alone does not identify a store
    if names and (version == 0 or not names >= schema.TABLES):
        raise StoreError(f"{path} is an SQLite file of another program; choose another --store.")
    foreign = schema.foreign_objects(connection, version) if names else []
    if foreign:
        raise StoreError(
            f"{path} is not as this program makes a store: {', '.join(foreign[:_MAX_OBJECTS])} "
            f"{'is' if len(foreign) == 1 else 'are'} added, missing or changed, and may change results "
            "as they are stored. Restore a copy, or choose another --store."
        )
    return not names


def _bring_up_to_date(connection: sqlite3.Connection, path: Path, version: int, *, is_new: bool) -> None:
    """Create the tables, convert those of an older version, or renew the view of results."""
    _use_write_ahead_log(connection)
    if is_new or version < SCHEMA_VERSION:
        with writing(path, timeout=_OPEN_TIMEOUT):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:  # no other process has created it meanwhile
                schema.create(connection)
            elif version < SCHEMA_VERSION:
                schema.migrate(connection, version)
                migration.warn(f"the store {path}", ())
                connection.execute("PRAGMA foreign_keys = ON")
    elif not schema.view_is_current(connection):
        schema.renew_view(connection)
