"""The device of a training, and its optimizer steps as one CUDA graph where that is a GPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

from dilution.errors import InputError, unknown
from dilution.training.config import PrecisionName
from dilution.training.group_step import GroupStep

DEVICES = ("cpu", "cuda", "auto")
_WARM_UP_STEPS = 3  # before capture; libraries choose algorithms and allocate memory in them


def resolve_device(name: str) -> torch.device:
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
    """Return the name of a device in results: the model of the GPU, or ``"cpu"``."""
    return torch.cuda.get_device_name(resolve_device(name)) if name == "cuda" else name


@contextmanager
def reproducible_convolutions(device: torch.device) -> Iterator[None]:
    """Compute convolutions of torch bit-identically every time, and those in float32 in float32.

    By default cuDNN may choose algorithms that add with atomics, and rounds float32 inputs to TF32.
    """
    if device.type != "cuda":
        yield
        return
    # The backward thread of torch has no CUDA context before its first kernel, and cuBLAS warns if that
    # kernel is its own. Here the first kernel is another one.
    torch.ones(1, device=device, requires_grad=True).exp().sum().backward()
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic
    cudnn.allow_tf32, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.deterministic = before


@contextmanager
def evaluation_products(device: torch.device, precision: PrecisionName) -> Iterator[None]:
    """Round operands of float32 products to TF32 on a GPU where trainings round them to bfloat16.

    TF32 keeps 10 bits and bfloat16 7, so that evaluations are the more precise ones; float32 itself has no
    tensor cores.
    """
    if device.type != "cuda" or precision != "bfloat16":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, torch.get_float32_matmul_precision()
    cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


StepFunction = Callable[[Tensor, Tensor, float], Tensor]
"""Function of images, targets and the factor of the learning rates, as :meth:`GroupStep.step`."""


def step_function(ensemble: GroupStep, device: torch.device, *, capturable: bool) -> StepFunction:
    """Return the function that takes a step of an ensemble on a device.

    Parameters
    ----------
    ensemble
        The ensemble and its optimizer.
    device
        Device of the ensemble. On a GPU steps are captured in a CUDA graph if they can be.
    capturable
        Whether every step runs the same kernels, which is not known of a custom model: it may
        branch, and it may read numbers back from the GPU.
    """
    return CapturedStep(ensemble).step if device.type == "cuda" and capturable else ensemble.step


@lru_cache
def _warm_up_stream(device: int) -> torch.cuda.Stream:
    """Return the stream on which the first steps of all trainings of a GPU run.

    The allocator keeps freed memory for the stream that it was allocated on: with a stream per training the
    memory of each one's first steps would stay, of no use to the next.
    """
    return torch.cuda.Stream(device)


class CapturedStep:
    """The steps of an ensemble as one CUDA graph: the processor queues a batch and does not wait.

    Parameters
    ----------
    ensemble
        An ensemble on a GPU, and its optimizer.
    """

    def __init__(self, ensemble: GroupStep) -> None:
        self._ensemble = ensemble
        self._stream = _warm_up_stream(torch.cuda.current_device())
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm_up_steps = 0
        self._losses = torch.empty(0)

    def step(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Take a step as :meth:`GroupStep.step` does.

        Parameters
        ----------
        images, targets
            The batch, in tensors that are the same objects at every step.
        lr_factor
            Factor of the learning rates at this step.

        Returns
        -------
        Tensor
            The losses; the next step overwrites them.
        """
        self._ensemble.set_lr(lr_factor)
        if self._graph is None:
            self._warm_up_or_capture(images, targets)
        if self._graph is not None:
            self._graph.replay()
        self._ensemble.update_average()
        return self._losses

    def _warm_up_or_capture(self, images: Tensor, targets: Tensor) -> None:
        if self._warm_up_steps == _WARM_UP_STEPS:
            # Capturing records a step without taking it: the first replay takes it.
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._losses = self._ensemble.update_weights(images, targets)
            return
        self._warm_up_steps += 1
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._losses = self._ensemble.update_weights(images, targets)
        torch.cuda.current_stream().wait_stream(self._stream)
