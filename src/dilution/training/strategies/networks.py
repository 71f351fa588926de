"""The networks that a strategy trains, and their common prediction."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from dilution.utils.rng_state import RngState


class Network(nn.Module):
    """A network as a strategy sees it: a function of normalised images that returns logits.

    Parameters
    ----------
    model
        The model that is trained.
    dtype
        Precision of its products, ``torch.float32`` or ``torch.bfloat16``.
    rng_state
        Random numbers of its layers; required where layers draw any.
    """

    def __init__(
        self, model: nn.Module, dtype: torch.dtype = torch.float32, rng_state: RngState | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self._dtype, self._rng_state = dtype, rng_state

    def forward(self, images: Tensor) -> Tensor:
        """Return logits with their gradient, float32, shape (b, classes)."""
        with self._random_numbers(), self._autocast(images.device):
            logits: Tensor = self.model(images)
        return logits.float()

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Return logits without a gradient, of the model in evaluation mode, float32, shape (b, classes)."""
        was_training = self.model.training
        self.model.eval()
        logits: Tensor = self(images)
        self.model.train(was_training)
        return logits

    def _random_numbers(self) -> AbstractContextManager[None]:
        return nullcontext() if self._rng_state is None else self._rng_state

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, self._dtype)


class AveragedNetworks(nn.Module):
    """A model whose predicted probabilities are the mean of those of several networks.

    Parameters
    ----------
    models
        The networks. They share their weights with this model.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, images: Tensor) -> Tensor:
        """Return logarithms of the mean probabilities, shape (b, classes); their softmax is that mean."""
        logarithms = torch.stack([model(images).float().log_softmax(dim=1) for model in self.models])
        return torch.logsumexp(logarithms, dim=0) - math.log(len(self.models))


def join_networks(models: Sequence[nn.Module]) -> nn.Module:
    """Return one network itself, and several as the model of their mean prediction."""
    return models[0] if len(models) == 1 else AveragedNetworks(models)
