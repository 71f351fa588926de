"""Random numbers for layers that can only draw them from PyTorch's global generators, such as Dropout."""

from types import TracebackType

import torch


class RngState:
    """A stream of random numbers that stands in for the global generators within a ``with`` block.

    Each block goes on where the last one ended. The global generators are left as they were, so that nobody
    else's numbers change, and streams of several networks do not mix.

    Parameters
    ----------
    key
        Key of the stream, as from :func:`dilution.utils.rng.stream`.
    device
        The device whose generator is replaced too, besides that of the CPU.
    """

    def __init__(self, key: int, device: torch.device | None = None) -> None:
        devices = [torch.device("cpu")]
        devices += [device] if device is not None and device.type == "cuda" else []
        self._devices = devices
        self.states = [torch.Generator(each).manual_seed(key & (2**63 - 1)).get_state() for each in devices]
        """Where the stream is, for each device: uint8."""

    def __enter__(self) -> None:
        self._exchange()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange()

    def _exchange(self) -> None:
        for place, device in enumerate(self._devices):
            generator = _global(device)
            before = generator.get_state()
            generator.set_state(self.states[place])
            self.states[place] = before


def _global(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    generator: torch.Generator = torch.cuda.default_generators[device.index]
    return generator
