"""Replicas that compute their gradients one after the other, on a GPU side by side."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from dilution.models.convnet import ChannelsLast
from dilution.training.ensemble.base import Ensemble, LossWithGradient
from dilution.training.losses import of_replica
from dilution.utils.rng_state import RngState

_STREAMS = 8  # CUDA streams that replicas are distributed over
_SLICE = 32 * 28 * 28  # pixels of the images of a slice: 32 feature maps of them take 3 MB of cache
_PER_IMAGE_LAYERS = {nn.Sequential, ChannelsLast, nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.Flatten, nn.Linear}
"""Layers that compute each image independently and draw no random numbers."""


class SequentialEnsemble(Ensemble):
    """Replicas that compute one after the other, and share the optimizer step.

    On a GPU they compute on different streams: a single small model does not fill a GPU.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        dtype: torch.dtype = torch.float32,
        rng_states: Sequence[RngState] | None = None,
    ) -> None:
        super().__init__()
        self.replicas = len(models)
        self._rng_states = rng_states
        self._models = nn.ModuleList(models)
        self._dtype = dtype
        self._streams: list[torch.cuda.Stream] = []
        self._can_slice = all(type(layer) in _PER_IMAGE_LAYERS for layer in models[0].modules())

    def differentiate(self, images: Tensor, targets: Tensor, loss: LossWithGradient) -> Tensor:
        self.zero_grad(set_to_none=True)
        losses = []
        # Each replica goes forward and backward before the next: its activations are needed only until then.
        for replica, (model, x, y) in enumerate(zip(self._models, images, targets, strict=True)):
            with self._on_stream(replica, x.device):
                losses.append(self._in_slices(replica, model, x, y, of_replica(loss, replica)))
        for stream in self._streams:
            torch.cuda.current_stream().wait_stream(stream)
        return torch.stack(losses)

    def _in_slices(
        self, replica: int, model: nn.Module, x: Tensor, y: Tensor, loss: LossWithGradient
    ) -> Tensor:
        """Go forward and backward slice by slice, so that on a CPU the activations stay in the cache.

        The gradient of a batch is the sum over its slices, unless a layer depends on the whole
        batch.
        """
        # In bfloat16 the weights would be cast again for each slice, which costs more than it saves.
        slicing = x.device.type == "cpu" and self._can_slice and self._dtype == torch.float32
        slices = -(-len(x) * x.shape[-2] * x.shape[-1] // _SLICE) if slicing else 1
        losses = []
        for part, targets in zip(x.tensor_split(slices), y.tensor_split(slices), strict=True):
            with self._random_numbers(replica), self._autocast(x.device):
                logits = model(part)
            slice_loss, gradient = loss(logits.detach().float(), targets)
            weight = len(part) / len(x)
            logits.backward((gradient if slices == 1 else gradient * weight).to(logits.dtype))
            losses.append(slice_loss if slices == 1 else slice_loss * weight)
        return losses[0] if slices == 1 else torch.stack(losses).sum(dim=0)

    def _random_numbers(self, replica: int) -> AbstractContextManager[None]:
        return nullcontext() if self._rng_states is None else self._rng_states[replica]

    def _on_stream(self, replica: int, device: torch.device) -> AbstractContextManager[object]:
        """Compute a replica on its CUDA stream; on a CPU, compute as usual."""
        if device.type != "cuda" or self.replicas == 1:
            return nullcontext()
        if not self._streams:
            self._streams = [torch.cuda.Stream(device) for _ in range(min(self.replicas, _STREAMS))]
        stream = self._streams[replica % len(self._streams)]
        if replica < len(self._streams):
            stream.wait_stream(torch.cuda.current_stream())
        return torch.cuda.stream(stream)

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self._dtype == torch.float32:
            return nullcontext()
        # Without a cache of cast weights: a captured step must cast them each time it is replayed.
        return torch.autocast(device.type, self._dtype, cache_enabled=False)

    def replica_parameters(self, replica: int) -> list[nn.Parameter]:
        return list(self._models[replica].parameters())

    def model(self, replica: int) -> nn.Module:
        return self._models[replica]
