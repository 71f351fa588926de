"""Errors of a store in words: what SQLite and the file system say, for the user."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dilution.errors import StoreError

_PRIMARY_CODE = 0xFF  # the rest of an extended code says more precisely what happened
_REMEDIES = {
    sqlite3.SQLITE_FULL: "Free some space or choose another --store; finished runs are kept.",
    sqlite3.SQLITE_IOERR: "Look whether its disk works and has room, or choose another --store; finished "
    "runs are kept.",
    sqlite3.SQLITE_BUSY: "Another program uses it: wait until that ends, or choose another --store.",
    sqlite3.SQLITE_LOCKED: "Another program uses it: wait until that ends, or choose another --store.",
    sqlite3.SQLITE_CANTOPEN: "Look at the permissions of the file and its folder, or choose another --store.",
    sqlite3.SQLITE_READONLY: "Look at the permissions of the file and its folder, or choose another --store.",
}
"""What to do, by the primary code of an error of SQLite."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into one line for the user.

    Parameters
    ----------
    path
        The store.

    Raises
    ------
    StoreError
        In place of such an error.
    KeyboardInterrupt
        If a signal interrupted a query.
    """
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        code = getattr(error, "sqlite_errorcode", None)  # errors of the module itself have none
        reason = str(error).partition("\n")[0]
        if code == sqlite3.SQLITE_INTERRUPT:  # a signal, in the progress handler
            raise KeyboardInterrupt from None
        if isinstance(error, sqlite3.OperationalError) and code is not None:
            remedy = _REMEDIES.get(code & _PRIMARY_CODE, "Restore a copy or choose another --store.")
            raise StoreError(f"the store {path} cannot be used: {reason}. {remedy}") from None
        raise StoreError(
            f"{path} is not a valid store: {reason}. Restore a copy or choose another --store."
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}. Choose another --store.") from None
