"""Forked processes compute with one thread: PyTorch's other threads exist only in the parent.

OpenMP waits for them for ever, so a training in a forked process would never end. PyTorch does the same for
the worker processes of its ``DataLoader``.
"""

import os

import torch


def compute_with_one_thread_after_fork() -> None:
    """Have processes that are forked from now on compute with one thread."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    torch.set_num_threads(1)
