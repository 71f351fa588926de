"""The gradient under label noise beside that of the clean labels, at the weights of a trained model.

Cross entropy is linear in the label, so the gradient over all n(1 + α) labels is that over the n images with
the histogram of their labels in place of single ones. If wrong labels cancelled, it would be the gradient
over the n clean labels divided by 1 + α: shorter, and of the same direction (Rolnick et al. 2017, section 5).
"""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.config import Targets
from dilution.training.evaluation import Normalise

_BATCH_SIZE = 500
_BATCH_SIZE_ON_GPU = 2500  # there a small batch takes no longer than its launches
_BATCH_VALUES = 1 << 21  # pixels of a batch of more than _BATCH_SIZE images, whose maps must fit into memory

EXAMPLES_PER_IMAGE = 2
"""What a comparison costs per image, in training examples: a backward pass for each of both gradients."""


@dataclass(frozen=True)
class GradientComparison:
    """The gradient over noisy labels beside that over clean ones.

    Parameters
    ----------
    ratio
        Length of the noisy gradient, divided by that of the clean one.
    cosine
        Cosine of the angle between both.
    """

    ratio: float
    cosine: float


def compare_gradients(
    model: nn.Module, normalise: Normalise, training: Dilution, targets: Targets = "pooled"
) -> GradientComparison:
    """Return how the mean gradient over all labels differs from that over the clean ones.

    Layers behave as in an evaluation, so that no gradient depends on a batch. It is computed on the device of
    the training set.

    Parameters
    ----------
    model
        The model; it is not changed.
    normalise
        Normalisation of its images.
    training
        The training set; its noisy examples show the same images as the clean ones.
    targets
        ``"expected"``: the expected histogram of the labels of an image takes the place of the drawn one.

    Raises
    ------
    InputError
        If the noisy examples show other images, or a gradient is zero or not finite.
    """
    sums = GradientSums(model, normalise, training, targets)
    for _ in sums.batches():
        pass
    return sums.compared()


def batch_size(device: torch.device, image_shape: tuple[int, int, int]) -> int:
    """Return the number of images whose gradients are computed at once."""
    if device.type != "cuda":
        return _BATCH_SIZE
    return max(_BATCH_SIZE, min(_BATCH_SIZE_ON_GPU, _BATCH_VALUES // math.prod(image_shape)))


class GradientSums:
    """The sums of both gradients over the images of a training set, batch after batch.

    Parameters are those of :func:`compare_gradients`. The sums can be saved after any batch.

    Raises
    ------
    InputError
        If the noisy examples show other images.
    """

    def __init__(
        self, model: nn.Module, normalise: Normalise, training: Dilution, targets: Targets = "pooled"
    ) -> None:
        if training.image_source.name != "same":
            raise InputError(
                f"image_source is {training.image_source.name!r}; gradients over noisy and over clean labels "
                "are compared on the same images. Give image_source='same'."
            )
        self._normalise, self._training, self._targets = normalise, training, targets
        device = training.data.device
        self._model = copy.deepcopy(model).to(device).eval()
        self._weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        count = sum(weight.numel() for weight in self._weights)
        self._sums = torch.zeros(2, count, dtype=torch.float64, device=device)  # noisy, clean
        self._index = torch.arange(training.n, device=device)
        self._batch_size = batch_size(device, training.data.shape)
        self._added = 0  # images

    def batches(self) -> Iterator[int]:
        """Add up the batches that are left, and yield after each the number of images that were added."""
        while self._added < len(self._index):
            index = self._index[self._added : self._added + self._batch_size]
            self._add(index)
            self._added += len(index)
            yield self._added

    def compared(self) -> GradientComparison:
        """Return the comparison of both sums.

        Raises
        ------
        InputError
            If a gradient is zero or not finite.
        """
        lengths = self._sums.norm(dim=1)
        if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
            raise InputError(
                "a gradient is zero or not finite; two directions cannot be compared. Use fewer steps or a "
                "smaller learning rate."
            )
        ratio, product = float(lengths[0] / lengths[1]), self._sums[0] @ self._sums[1]
        return GradientComparison(ratio, float(product / lengths.prod()))

    def state(self) -> dict[str, Any]:
        """Return the sums so far, for :meth:`load`."""
        return {"sums": self._sums, "images": self._added}

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state."""
        self._sums.copy_(state["sums"])
        # older states count batches
        self._added = state["images"] if "images" in state else _BATCH_SIZE * state["added"]

    def _add(self, index: Tensor) -> None:
        """Add the gradients of images: those of these clean examples, int64 of shape (b,)."""
        training = self._training
        rows = training.clean_rows[index]
        images, true = self._normalise(training.data.take(rows)), training.data.labels[rows]
        logits = self._model(images)
        clean = nn.functional.one_hot(true, training.classes).float()
        noisy = _label_weights(training, index, true, self._targets)
        for place, target in enumerate((noisy, clean)):
            by_logits = logits.detach().softmax(dim=1) * target.sum(dim=1, keepdim=True) - target
            parts = torch.autograd.grad(logits, self._weights, by_logits, retain_graph=place == 0)
            self._sums[place] += torch.cat([part.flatten() for part in parts])


def _label_weights(training: Dilution, index: Tensor, true: Tensor, targets: Targets) -> Tensor:
    """Return weights of the labels of images, of sum 1 on average, float32 of shape (b, classes)."""
    if targets == "expected":
        overall = torch.as_tensor(training.overall, dtype=torch.float32, device=true.device)
        return overall[true]
    return training.histogram(index).float() * (training.n / len(training))
