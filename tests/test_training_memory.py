"""Freed memory is kept where the C library is glibc; elsewhere nothing changes."""

import ctypes
import platform
import subprocess
import sys

import pytest

from dilution.training import memory

COUNT = f"""
import ctypes, resource, runpy

keep_freed_memory = runpy.run_path({memory.__file__!r})["keep_freed_memory"]
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def fill():
    place = libc.malloc(SIZE)
    ctypes.memset(place, 1, SIZE)
    libc.free(place)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def count():
    for _ in range(3):
        fill()
    before = faults()
    for _ in range(20):
        fill()
    return faults() - before

SIZE = 48_000_000  # glibc maps each block of more than 32 MB anew
before = count()
assert keep_freed_memory()
print(before, count())
"""


@pytest.mark.trains
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_reused_memory_causes_no_page_faults():
    # in a process of its own, which keeps its memory from then on; PyTorch would take seconds to import
    process = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    before, after = map(int, process.stdout.split())
    assert after < before / 10


def test_another_c_library_is_not_changed(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: object())
    assert memory.keep_freed_memory() is False
