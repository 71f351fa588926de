"""The lock beside a store: one process writes to it, and others can see whether one does."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dilution.errors import StoreError

_TRIES, _PAUSE = 5, 0.02  # whoever only looks holds the lock too, for microseconds


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """Hold the lock of a store.

    Raises
    ------
    StoreError
        If another process holds it.
    OSError
        If the lock file cannot be made.
    """
    with lock_of(store).open("w") as lock:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _TRIES - 1:
                    raise StoreError(
                        f"another process is writing to {store}; wait until it ends, or choose another "
                        "--store."
                    ) from None
                time.sleep(_PAUSE)
        yield


def is_written(store: Path) -> bool:
    """Return whether a process is writing to a store; it must be one of a machine that shares its locks."""
    try:
        lock = lock_of(store).open()
    except FileNotFoundError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def lock_of(store: Path) -> Path:
    """Return the path of the lock file of a store."""
    real = store.resolve()  # the same lock by whatever link the store is reached
    return real.with_name(real.name + ".lock")
