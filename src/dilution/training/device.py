"""Where a training computes, and its steps as one CUDA graph where that is a GPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from dilution.errors import InputError, unknown
from dilution.training.ensemble_step import Program
from dilution.utils.references import is_reference

DEVICES = ("cpu", "cuda", "auto")
_WARM_UP = 3  # steps before capture, in which libraries choose their algorithms and allocate


def device_of(name: str) -> torch.device:
    """Return a device by name; ``"auto"`` is the GPU if there is one.

    Raises
    ------
    InputError
        If there is no such device.
    """
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device is 'cuda', and torch {torch.__version__} finds no GPU. Use device='cpu', or install "
            "a build of torch for your GPU."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def device_title(name: str) -> str:
    """Return what results say of a device: the model of the GPU, or ``"cpu"``."""
    return torch.cuda.get_device_name(device_of(name)) if name == "cuda" else name


@contextmanager
def computing_on(device: torch.device) -> Iterator[None]:
    """Compute in float32 where float32 is asked for: by default cuDNN rounds what it convolves to TF32."""
    if device.type != "cuda":
        yield
        return
    # The thread of torch that goes backward has no CUDA context before its first kernel, and cuBLAS warns of
    # that where the first one is its own. This one is not.
    torch.ones(1, device=device, requires_grad=True).exp().sum().backward()
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def step_of(program: Program, model: str, device: torch.device) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return what takes a step of a program of this network, as :meth:`Program.step`.

    On a GPU steps are captured, except those of a network of one's own: what it does may differ from step
    to step, and it may read numbers back.
    """
    return Captured(program).step if device.type == "cuda" and not is_reference(model) else program.step


class Captured:
    """The steps of a program as one CUDA graph: the processor hands over a batch and waits for nothing.

    Parameters
    ----------
    program
        What takes the steps; its networks are on a GPU.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stream = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._taken = 0
        self._losses = torch.empty(0)

    def step(self, images: Tensor, targets: Tensor, factor: float) -> Tensor:
        """Take a step as :meth:`Program.step` does; both tensors must be the same at every step.

        Returns
        -------
        Tensor
            The losses; the next step overwrites them.
        """
        self._program.set_rates(factor)
        if self._graph is None:
            # Capturing records a step without taking it, so the replay below is the first to be taken.
            if self._taken == _WARM_UP:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):
                    self._losses = self._program.advance(images, targets)
            else:
                self._taken += 1
                self._stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._stream):
                    self._losses = self._program.advance(images, targets)
                torch.cuda.current_stream().wait_stream(self._stream)
        if self._graph is not None:
            self._graph.replay()
        self._program.average()
        return self._losses
