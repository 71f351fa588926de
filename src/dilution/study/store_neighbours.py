"""The files beside a store that SQLite opens unasked: its write-ahead log with an index, and a journal.

SQLite rolls a journal back before it answers the first query, and deletes the files that the journal names.
It overwrites a log of other content. All of them are therefore checked before a store is opened.
"""

import stat
from pathlib import Path

from dilution.errors import StoreError
from dilution.utils.regular_file import file_size

_JOURNAL = "-journal"
_WRITE_AHEAD_LOG = ("-wal", "-shm")


def check_neighbours(store: Path) -> None:
    """Refuse a store beside which SQLite would find anything but its write-ahead log.

    Parameters
    ----------
    store
        The SQLite file, or a link to it. It need not exist.

    Raises
    ------
    StoreError
        If there is a journal, which this program never leaves, or a log that is a link, has a second name, or
        is a folder, a pipe or a device.
    """
    for suffix in (_JOURNAL, *_WRITE_AHEAD_LOG):
        path = _neighbour(store, suffix)
        try:
            entry = path.lstat()
        except FileNotFoundError:
            continue
        if suffix == _JOURNAL:
            raise StoreError(
                f"{path} lies beside the store. A store has no such journal; SQLite would obey it, and it "
                "may name files to delete. If another program is writing to the store, wait until it ends; "
                "otherwise move this file away, or choose another --store."
            )
        if not stat.S_ISREG(entry.st_mode) or entry.st_nlink > 1:
            raise StoreError(
                f"{path} is a link, a folder, a pipe or a device, or has a second name; beside a store it "
                "must be a file of its own, because SQLite overwrites it. Move it away, or choose another "
                "--store."
            )


def check_no_log(store: Path) -> None:
    """Refuse to create a store beside the log of another one: SQLite would copy it into the new store.

    Parameters
    ----------
    store
        The SQLite file, or a link to it, which does not exist yet.

    Raises
    ------
    StoreError
        If there is a log with content.
    """
    path = _neighbour(store, _WRITE_AHEAD_LOG[0])
    if file_size(path):
        raise StoreError(
            f"{path} has changes of a store that is not there any more: {store.name} does not exist or is "
            "empty. Put that store back, move this file away, or choose another --store."
        )


def _neighbour(store: Path, suffix: str) -> Path:
    real = store.resolve()  # SQLite follows a link to a store, and names these files after the store itself
    return real.with_name(real.name + suffix)
