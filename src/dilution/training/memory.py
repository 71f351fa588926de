"""Memory of a process that trains: freed memory is kept, because the next step needs the same amount."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # parameters of glibc's mallopt
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make this process keep the memory that it frees instead of returning it to the system.

    Every step allocates and frees the same tensors of several megabytes. By default glibc maps each
    of them anew, and the first access to each page is a page fault: a fifth of the time of a step
    of a ConvNet. Intended for processes that only train.

    Returns
    -------
    bool
        Whether the C library accepted the settings. Only glibc has them; elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST_INT), (_TOP_PAD, 1 << 26))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
