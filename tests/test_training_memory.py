"""Keeping freed memory: it takes hold where the C library is glibc, and changes nothing elsewhere."""

import ctypes
import platform
import subprocess
import sys

import pytest

from dilution.training import memory

COUNT = """
import resource, torch
from dilution.training import keep_freed_memory
KEEP
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    torch.ones(12_000_000)
before = faults()
for _ in range(20):
    torch.ones(12_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_that_is_used_again_costs_no_page_faults():
    def count(keep):
        code = COUNT.replace("KEEP", "assert keep_freed_memory()" if keep else "")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert count(keep=True) < count(keep=False) / 10


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: object())
    assert memory.keep_freed_memory() is False
