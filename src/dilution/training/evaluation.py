"""Evaluation: normalised images, accuracy, and the referee that watches a training."""

import copy
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.noise import Dilution, channel_moments
from dilution.training.losses import cross_entropy

_EVALUATION_BATCH = 1000
_EVALUATION_PIXELS = 1 << 24


class Normalise:
    """Images → float32 with mean 0 and deviation 1 in each channel of the training images."""

    def __init__(self, data: Arrays, rows: Tensor) -> None:
        mean, deviation = channel_moments(data, rows)
        least = torch.finfo(torch.float32).tiny
        deviation = torch.where(deviation > least, deviation, 1.0)  # a channel of one value stays finite
        self._scale = (1 / (data.unit * deviation)).float()[:, None, None].to(data.device)
        self._shift = (-mean / deviation).float()[:, None, None].to(data.device)
        self._floats = data.dtype.is_floating_point
        self._mean = mean.float()[:, None, None].to(data.device)

    def to(self, device: torch.device) -> "Normalise":
        """Return the same normalisation on a device."""
        there = copy.copy(self)
        there._scale, there._shift = self._scale.to(device), self._shift.to(device)
        there._mean = self._mean.to(device)
        return there

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 images of the same shape."""
        return self.into(torch.empty(images.shape, device=images.device), images)

    def into(self, out: Tensor, images: Tensor) -> Tensor:
        """Write float32 images to `out`, of the same shape, and return it."""
        if self._floats:  # the mean first: it may be far larger than the deviation
            return torch.sub(images, self._mean, out=out).mul_(self._scale)
        return out.copy_(images).mul_(self._scale).add_(self._shift)  # a fused addcmul is slower


class Evaluator:
    """Evaluates a network on clean and noisy validation data and on the test set."""

    def __init__(self, prepare: Normalise, held_out: Dilution, test: Arrays) -> None:
        place = torch.arange(held_out.n, device=test.device)
        self._prepare, self._test = prepare, test
        self._held_out = held_out.data.subset(held_out.clean_rows)
        self._labels = held_out.true_labels(place)
        self._histogram = held_out.histogram(place).float() * (held_out.n / len(held_out))

    def __call__(self, module: nn.Module) -> dict[str, float]:
        """Return what an evaluation measures, by the names of :class:`TrainResult`'s history."""
        validation = logits(module, self._prepare, self._held_out)
        test = logits(module, self._prepare, self._test)
        return {
            "val_acc_clean": accuracy(validation, self._labels),
            "val_loss_noisy": float(cross_entropy(validation, self._histogram)),
            "val_acc_noisy": float(_named(validation, self._histogram)),
            "test_acc": accuracy(test, self._test.labels),
            "test_acc_top5": accuracy(test, self._test.labels, among=5),
        }


def logits(module: nn.Module, prepare: Normalise, images: Tensor | Arrays) -> Tensor:
    """Evaluate a network on images: float32, shape (b, classes). Its mode is left as it was."""
    parts = images.split(_part(images)) if isinstance(images, Tensor) else _parts(images)
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        found = torch.cat([module(prepare(part)) for part in parts])
    module.train(was_training)
    return found


def _named(logits: Tensor, histogram: Tensor) -> Tensor:
    """Return the mean weight of the class that scores highest, float64."""
    return histogram.gather(1, logits.argmax(dim=1, keepdim=True)).double().mean()


def _parts(arrays: Arrays) -> Iterator[Tensor]:
    """Yield the images of `arrays` in parts, with the next one on its way."""
    parts = torch.arange(len(arrays), device=arrays.device).split(_part(arrays))
    for rows, after in itertools.zip_longest(parts, parts[1:], fillvalue=parts[0][:0]):
        arrays.prefetch(after)
        yield arrays.take(rows)


def _part(images: Tensor | Arrays) -> int:
    """Return how many images are evaluated at once: fewer if they are large."""
    channels, height, width = images.shape[-3:]
    return min(_EVALUATION_BATCH, max(1, _EVALUATION_PIXELS // (channels * height * width)))


def accuracy(logits: Tensor, labels: Tensor, *, among: int = 1) -> float:
    """Return the share of rows whose label is among the classes of the `among` largest logits, in [0, 1]."""
    if among == 1:
        return float((logits.argmax(dim=1) == labels).double().mean())
    named = logits.topk(min(among, logits.shape[1]), dim=1).indices
    return float((named == labels[:, None]).any(dim=1).double().mean())
