"""Memory between steps: kept by the process, for the next step wants the same."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # parameters of glibc's mallopt
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees instead of giving it back to the system.

    Every step allocates and frees the same tensors of some megabytes. By default glibc maps each anew, and
    the first touch of each page costs a fault: a fifth of the time of a step of a ConvNet. Meant for
    processes that do nothing but train.

    Returns
    -------
    bool
        Whether the C library took the settings; others than glibc do not have them, and nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, 1 << 26))
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted)
