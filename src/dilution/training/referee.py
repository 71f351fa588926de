"""Evaluation: normalised pictures, accuracy, and the referee that watches a training."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.noise import Dilution, channel_moments
from dilution.training.objective import cross_entropy

_EVALUATION_BATCH = 1000


class Normalise:
    """uint8 pictures → float32 with mean 0 and deviation 1 in each channel of the training pictures."""

    def __init__(self, data: Arrays, rows: Tensor) -> None:
        mean, deviation = channel_moments(data, rows)
        deviation = torch.where(deviation > 0, deviation, 1.0)  # a channel of one value stays finite
        self._scale = (1 / (255 * deviation)).float()[:, None, None]
        self._shift = (-mean / deviation).float()[:, None, None]

    @classmethod
    def together(cls, parts: Sequence["Normalise"]) -> "Normalise":
        """Return the normalisation of replicas: of pictures (R, b, c, h, w), each R with its own."""
        joined = cls.__new__(cls)
        joined._scale = torch.stack([part._scale for part in parts])[:, None]
        joined._shift = torch.stack([part._shift for part in parts])[:, None]
        return joined

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return float32 pictures of the same shape."""
        return pictures.float().mul_(self._scale).add_(self._shift)  # a fused addcmul is slower


class Referee:
    """Evaluates a network on clean and noisy validation data and on the test set."""

    def __init__(self, prepare: Normalise, held_out: Dilution, test: Arrays) -> None:
        place = torch.arange(held_out.n)
        self._prepare, self._test = prepare, test
        self._pictures = held_out.pictures(place)
        self._labels = held_out.labels(place)
        self._histogram = held_out.histogram(place).float() * (held_out.n / len(held_out))

    def __call__(self, module: nn.Module) -> dict[str, float]:
        """Return clean validation accuracy, noisy validation cross entropy and test accuracy."""
        validation = logits(module, self._prepare, self._pictures)
        test = logits(module, self._prepare, self._test.images)
        return {
            "validation_clean": accuracy(validation, self._labels),
            "validation_noisy": float(cross_entropy(validation, self._histogram)),
            "test": accuracy(test, self._test.labels),
        }


def logits(module: nn.Module, prepare: Normalise, pictures: Tensor) -> Tensor:
    """Evaluate a network on uint8 pictures: float32, shape (b, classes). Its mode is left as it was."""
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        parts = [module(prepare(part)) for part in pictures.split(_EVALUATION_BATCH)]
    module.train(was_training)
    return torch.cat(parts)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose largest logit is at the label, in [0, 1]."""
    return float((logits.argmax(dim=1) == labels).double().mean())
