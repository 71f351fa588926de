"""Streams of random numbers for layers that draw from PyTorch's global generators, such as Dropout."""

import os
import threading
from types import TracebackType

import torch

_LOCK = threading.RLock()  # all threads share the global generators; held within every block
if hasattr(
    os, "register_at_fork"
):  # a fork waits for the end of the block: the child inherits its generators
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class RngState:
    """A stream of random numbers that replaces the global generators within a ``with`` block.

    Each block continues where the last one ended. After it the global generators are as they were before, so
    that other code draws the same numbers, and the streams of several models do not mix. Blocks of several
    threads take turns. A thread without a block must not draw from the global generators meanwhile.

    Parameters
    ----------
    key
        Key of the stream, as from :func:`dilution.utils.rng.stream`.
    device
        Device whose generator is replaced besides that of the CPU.
    """

    def __init__(self, key: int, device: torch.device | None = None) -> None:
        devices = [torch.device("cpu")]
        devices += [device] if device is not None and device.type == "cuda" else []
        self._devices = devices
        seed = key & (2**63 - 1)
        self.states = [torch.Generator(device).manual_seed(seed).get_state() for device in devices]
        """State of the stream per device: uint8."""

    def __enter__(self) -> None:
        _LOCK.acquire()
        try:
            self._exchange()
        except BaseException:
            _LOCK.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._exchange()
        finally:
            _LOCK.release()

    def _exchange(self) -> None:
        """Exchange the states of the stream and of the global generators."""
        for number, device in enumerate(self._devices):
            generator = _global_generator(device)
            state = generator.get_state()
            generator.set_state(self.states[number])
            self.states[number] = state


def _global_generator(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    generator: torch.Generator = torch.cuda.default_generators[device.index]
    return generator
