"""Freed memory is kept where the C library is glibc; elsewhere nothing changes."""

import ctypes
import platform
import subprocess
import sys

import pytest

from dilution.training import memory

COUNT = """
import resource, torch
from dilution.training import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def count():
    for _ in range(3):
        torch.ones(12_000_000)
    before = faults()
    for _ in range(20):
        torch.ones(12_000_000)
    return faults() - before

before = count()
assert keep_freed_memory()
print(before, count())
"""


@pytest.mark.trains
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_reused_memory_causes_no_page_faults():
    process = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    before, after = map(int, process.stdout.split())
    assert after < before / 10


def test_another_c_library_is_not_changed(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: object())
    assert memory.keep_freed_memory() is False
