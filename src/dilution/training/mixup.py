"""Mixup: training images and labels mixed with others of their batch (Zhang et al. 2018)."""

from collections.abc import Iterable, Iterator

import scipy
import torch
from torch import Tensor
from torch.nn import functional as F

from dilution.training.batches import Batch
from dilution.training.config import TrainConfig
from dilution.utils import rng

_CHUNK = 1 << 13  # positions drawn at once: enough to hide the cost of the calls behind the steps


class Mixup:
    """Mixing of the images of a batch and of their labels, a function of the seed and the step.

    Image x_i becomes λ x_i + (1 − λ) x_j, and its label the weights λ of y_i and 1 − λ of y_j, with j a
    random permutation of the batch and λ drawn from Beta(a, a), one per batch as in the authors' code.

    Parameters
    ----------
    config
        Configuration of the training.
    classes
        Number of classes.
    seed
        Root seed of the stream ``"mixup"``.

    Attributes
    ----------
    is_on
        Whether images are mixed.
    """

    def __init__(self, config: TrainConfig, classes: int, *, seed: int) -> None:
        self._a, self._classes = config.mixup, classes
        self._key = rng.stream(seed, "mixup")
        self.is_on = config.mixup > 0

    def apply(self, batches: Iterable[Batch], start: int = 0) -> Iterator[Batch]:
        """Yield the batches of steps start, start + 1, …, all of one size, mixed; unless it is off."""
        return self._mixed(batches, start) if self.is_on else iter(batches)

    def draw(
        self, steps: Tensor, batch_size: int, device: torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the weights and the partners of several steps.

        Parameters
        ----------
        steps
            Numbers of the steps from 0, int64, shape (steps,), on the CPU.
        batch_size
            Examples per batch.
        device
            Device of the partners. Default: the CPU.

        Returns
        -------
        weights
            λ, float64, shape (steps,), on the CPU.
        partners
            Place in the batch of the image that each one is mixed with, int64, shape (steps, batch_size).
        """
        uniform = (rng.uniform_bits(self._key, 2 * steps).double() + 0.5) / 2**rng.BITS
        weights = torch.from_numpy(scipy.special.betaincinv(self._a, self._a, uniform.numpy()))
        keys = rng.mix(self._key, 2 * steps + 1)[:, None].to(device)
        places = torch.arange(batch_size, device=device).expand(len(steps), -1)
        return weights, rng.permute(keys, places, batch_size)

    def _mixed(self, batches: Iterable[Batch], start: int) -> Iterator[Batch]:
        weights, partners = torch.empty(0), torch.empty(0)
        for number, batch in enumerate(batches):
            size, device = len(batch.images), batch.images.device
            steps_per_chunk = max(1, _CHUNK // size)
            place = number % steps_per_chunk
            if place == 0:
                first = start + number
                weights, partners = self.draw(torch.arange(first, first + steps_per_chunk), size, device)
            weight, partner = float(weights[place]), partners[place]
            targets = batch.targets
            if not targets.is_floating_point():
                targets = F.one_hot(targets, self._classes).float()
            yield Batch(_mix(batch.images.float(), partner, weight), _mix(targets, partner, weight))


def _mix(values: Tensor, partner: Tensor, weight: float) -> Tensor:
    return torch.lerp(values.index_select(0, partner), values, weight)
