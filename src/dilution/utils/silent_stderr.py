"""Silence for libraries in C that write about damaged files to the error output of the process."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()  # two threads would restore the outputs of each other
_STDERR = 2


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard what this process writes to its error output, whichever thread or library writes it."""
    with _lock:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # there is no error output
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, _STDERR)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(nowhere)
            os.close(kept)
