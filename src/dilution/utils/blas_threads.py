"""Matrix products of NumPy and SciPy on one thread."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: bit-identical on any number of cores; small matrices gain nothing from more."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
