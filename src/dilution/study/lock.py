"""The lock beside a store: one process writes to it, and others can see whether one does."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dilution.errors import StoreError

_PATIENCE, _PAUSE = 0.1, 0.02  # whoever only looks holds the lock too, for microseconds


@contextmanager
def writing(store: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock of a store; another process may take `patience` seconds to give it back.

    Raises
    ------
    StoreError
        If another process holds it.
    OSError
        If the lock file cannot be made.
    """
    with _lock_of(store).open("w") as lock:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreError(
                        f"another process is writing to {store}; wait until it ends, or choose another "
                        "--store."
                    ) from None
                time.sleep(_PAUSE)
        yield


def is_written(store: Path) -> bool:
    """Return whether a process is writing to a store; where that cannot be seen, that one may be."""
    try:
        lock = _lock_of(store).open()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _lock_of(store: Path) -> Path:
    real = store.resolve()  # the same lock by whatever link the store is reached
    return real.with_name(real.name + ".lock")
