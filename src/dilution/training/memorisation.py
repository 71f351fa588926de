"""Memorisation: how many of the wrong training labels a model reproduces, and how many true classes."""

import torch
from torch import Tensor, nn

from dilution.noise import Dilution
from dilution.training.evaluation import Normalise, predict_classes
from dilution.utils import rng

EXAMPLES = 1000
"""Most wrongly labelled examples that are looked at: a standard error of at most 1.6 points."""

_BATCH_VALUES = 1 << 24  # pixels that are normalised at once
_CHUNK = 1 << 14  # labels drawn at once in the search for wrong ones
_OWN_CLASS = ("same", "fresh")  # sources of images that have a class of their own


class Memorisation:
    """Measures a model on examples of the training set whose labels are wrong.

    Parameters
    ----------
    normalise
        Normalisation of the images.
    training
        The training set. At most 1,000 of its wrongly labelled examples are drawn at random, the same ones at
        every evaluation.
    seed
        Root seed of the draw.
    """

    def __init__(self, normalise: Normalise, training: Dilution, seed: int) -> None:
        self._normalise, self._training = normalise, training
        self._index = _wrongly_labelled(training, seed)
        self._labels = training.labels(self._index)
        has_class = training.image_source.name in _OWN_CLASS
        self._true = training.true_labels(self._index) if has_class else None

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Return the shares of wrong labels and of true classes that the model predicts.

        Returns
        -------
        dict
            ``memorised``, and ``recovered`` where images have a class of their own; empty if no label of the
            training set is wrong.
        """
        if not len(self._index):
            return {}
        predicted = predict_classes(model, self._normalise, map(self._training.images, self._batches()))
        shares = {"memorised": float((predicted == self._labels).double().mean())}
        if self._true is not None:
            shares["recovered"] = float((predicted == self._true).double().mean())
        return shares

    def _batches(self) -> tuple[Tensor, ...]:
        channels, height, width = self._training.data.shape
        size = max(1, min(EXAMPLES, _BATCH_VALUES // (channels * height * width)))
        return torch.split(self._index, size)


def _wrongly_labelled(training: Dilution, seed: int) -> Tensor:
    """Return indices of wrongly labelled examples in random order, at most `EXAMPLES`; int64."""
    device, size = training.data.device, len(training)
    key = rng.stream(seed, "memorisation")
    parts: list[Tensor] = []
    for first in range(0, size, _CHUNK):
        positions = torch.arange(first, min(first + _CHUNK, size), device=device)
        index = rng.permute(key, positions, size)
        parts.append(index[training.labels(index) != training.true_labels(index)])
        if sum(map(len, parts)) >= EXAMPLES:
            break
        if training.expected_noise_summary().noise_rate_expected == 0:
            return index[:0]
    return torch.cat(parts)[:EXAMPLES]
