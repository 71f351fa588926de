"""The lock file beside a store or a pack: one process writes, and others can see whether one does.

The lock is that of the operating system (``flock`` on POSIX, ``LockFileEx`` on Windows), so it ends with
the process that holds it, however that ends. An existing file is neither truncated nor followed if it is
a link. On a file system without ``flock``, as some network file systems are, filelock warns and marks the
lock by the existence of the file; after a crash that file has to be removed by hand. A store belongs on a
local disk anyway: SQLite's write-ahead log needs shared memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dilution.errors import DilutionError, StoreError

_TIMEOUT, _POLL_INTERVAL = 0.1, 0.02  # seconds; whoever only looks holds the lock for microseconds


@contextmanager
def writing(
    file: Path, timeout: float = _TIMEOUT, taken: DilutionError | None = None, *, removes: bool = False
) -> Iterator[None]:
    """Hold the lock of a file; wait up to `timeout` seconds for another process to release it.

    Parameters
    ----------
    file
        The file; the lock is a file beside it.
    timeout
        Seconds.
    taken
        Error to raise if another process holds the lock. Default: a StoreError, which calls the file a store.
    removes
        Whether the lock file is removed at the end. Whoever waited for it then locks a new one.

    Raises
    ------
    OSError
        If the lock file cannot be opened.
    """
    lock = FileLock(_lock_path(file), timeout=timeout, poll_interval=_POLL_INTERVAL)
    try:
        lock.acquire()
    except Timeout:
        raise taken or StoreError(
            f"another process is writing to {file}; wait until it ends, or choose another --store."
        ) from None
    try:
        yield
    finally:
        if removes:
            with suppress(PermissionError, FileNotFoundError):  # on Windows an open file stays
                if not _lock_path(file).stat().st_size:  # ours is empty; another one is somebody's file
                    _lock_path(file).unlink(missing_ok=True)
        lock.release()


def is_written(store: Path) -> bool:
    """Return whether a process is writing to a store, or may be: the lock file cannot be opened."""
    path = _lock_path(store)
    if not path.exists():
        return False
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _lock_path(store: Path) -> Path:
    real = store.resolve()  # a link to a store has the same lock
    return real.with_name(real.name + ".lock")
