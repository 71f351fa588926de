"""Evaluation: normalised images, accuracy, and the measures of an evaluation during a training."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.noise import Dilution, channel_moments
from dilution.training.losses import cross_entropy
from dilution.training.stratified_part import check_test_part, stratified_part

_BATCH_SIZE = 1000
_BATCH_SIZE_ON_GPU = 2500  # there a small batch takes no longer than its launches
_BATCH_VALUES = 1 << 24  # pixels, and so the batch of large images is smaller


class Normalise:
    """Converts images to float32 with mean 0 and deviation 1 in each channel of the training images.

    Parameters
    ----------
    data
        Images.
    rows
        Rows of the training images, int64, shape (n,).
    compress
        Whether the inverse hyperbolic sine follows, which keeps small numbers as they are and compresses
        large ones: features of tables have outliers that pixels do not have.

    Attributes
    ----------
    compress
        As the parameter.
    """

    def __init__(self, data: Arrays, rows: Tensor, *, compress: bool = False) -> None:
        self.compress = compress
        mean, deviation = channel_moments(data, rows)
        least = torch.finfo(torch.float32).tiny
        deviation = torch.where(deviation > least, deviation, 1.0)  # a channel of one value stays finite
        self._scale = (1 / (data.unit * deviation)).float()[:, None, None].to(data.device)
        self._shift = (-mean / deviation).float()[:, None, None].to(data.device)
        self._is_float = data.dtype.is_floating_point
        self._mean = mean.float()[:, None, None].to(data.device)

    @property
    def is_float(self) -> bool:
        """Whether images are floating-point numbers."""
        return self._is_float

    def to(self, device: torch.device) -> "Normalise":
        """Return the same normalisation on a device."""
        moved = copy.copy(self)
        moved._scale, moved._shift = self._scale.to(device), self._shift.to(device)
        moved._mean = self._mean.to(device)
        return moved

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return all of it as arrays, float32 of shape (channels,): ``scale``, ``shift`` and ``mean``."""
        tensors = {"scale": self._scale, "shift": self._shift, "mean": self._mean}
        return {name: tensor.flatten().cpu().numpy() for name, tensor in tensors.items()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[np.float32]], dtype: torch.dtype, *, compress: bool = False
    ) -> "Normalise":
        """Return the normalisation that :meth:`to_arrays` returned, for images of a type."""
        normalise = cls.__new__(cls)
        normalise.compress = compress
        for name in ("scale", "shift", "mean"):
            setattr(normalise, f"_{name}", torch.tensor(arrays[name])[:, None, None])
        normalise._is_float = dtype.is_floating_point
        return normalise

    @staticmethod
    def of_replicas(parts: Sequence["Normalise"]) -> "Normalise":
        """Return the normalisation of images (R, b, channels, height, width): one of `parts` per replica."""
        joint = copy.copy(parts[0])
        for name in ("_scale", "_shift", "_mean"):
            setattr(joint, name, torch.stack([getattr(part, name) for part in parts])[:, None])
        return joint

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 images of the same shape."""
        return self.into(torch.empty(images.shape, device=images.device), images)

    def into(self, out: Tensor, images: Tensor) -> Tensor:
        """Write float32 images to `out`, a tensor of the same shape, and return it."""
        if self._is_float:  # the mean is subtracted first: it may be far larger than the deviation
            torch.sub(images, self._mean, out=out).mul_(self._scale)
        else:
            out.copy_(images).mul_(self._scale).add_(self._shift)  # a fused addcmul is slower
        return out.asinh_() if self.compress else out


class Evaluator:
    """Evaluates a model on clean and noisy validation labels and on the test split.

    Parameters
    ----------
    normalise
        Normalisation of the images.
    held_out
        Validation examples.
    test
        Test split.
    test_part
        Number of test images that are measured, a fixed part of the split. Default: all.

    Raises
    ------
    InputError
        If the part is larger than the split.
    """

    def __init__(
        self, normalise: Normalise, held_out: Dilution, test: Arrays, test_part: int | None = None
    ) -> None:
        check_test_part(test_part, len(test))
        index = torch.arange(held_out.n, device=test.device)
        self._normalise, self._whole_test, self._test = normalise, test, test
        if test_part is not None and test_part < len(test):
            self._test = test.subset(stratified_part(test.labels, test_part).to(test.device))
        self._validation = held_out.data.subset(held_out.clean_rows)
        self._labels = held_out.true_labels(index)
        self._histogram = held_out.histogram(index).float() * (held_out.n / len(held_out))

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Return the measures of an evaluation, named as in the history of a :class:`TrainResult`."""
        validation = predict_logits(model, self._normalise, self._validation)
        return {
            "val_acc_clean": accuracy(validation, self._labels),
            "val_loss_noisy": float(cross_entropy(validation, self._histogram)),
            "val_acc_noisy": float(_mean_weight_of_prediction(validation, self._histogram)),
            **self._test_measures(model, self._test),
        }

    def whole_test(self, model: nn.Module) -> dict[str, float]:
        """Return ``test_acc`` and ``test_acc_top5`` on the whole test split."""
        return self._test_measures(model, self._whole_test)

    def _test_measures(self, model: nn.Module, test: Arrays) -> dict[str, float]:
        logits = predict_logits(model, self._normalise, test)
        return {
            "test_acc": accuracy(logits, test.labels),
            "test_acc_top5": accuracy(logits, test.labels, k=5),
        }


def predict_logits(model: nn.Module, normalise: Normalise, images: Tensor | Arrays) -> Tensor:
    """Return the logits of a model in evaluation mode, float32, shape (b, classes); its mode is restored."""
    batches = images.split(_batch_size(images)) if isinstance(images, Tensor) else _batches(images)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(normalise(batch)) for batch in batches])
    model.train(was_training)
    return logits


def predict_classes(model: nn.Module, normalise: Normalise, batches: Iterable[Tensor]) -> Tensor:
    """Return the classes that a model predicts in evaluation mode, int64, shape (n,)."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        classes = torch.cat([model(normalise(batch)).argmax(dim=1) for batch in batches])
    model.train(was_training)
    return classes


def _mean_weight_of_prediction(logits: Tensor, histogram: Tensor) -> Tensor:
    """Return the mean weight that the histograms give to the predicted class, float64."""
    return histogram.gather(1, logits.argmax(dim=1, keepdim=True)).double().mean()


def _batches(arrays: Arrays) -> Iterator[Tensor]:
    """Yield the images of `arrays` in batches, while the next batch is read."""
    parts = torch.arange(len(arrays), device=arrays.device).split(_batch_size(arrays))
    for rows, next_rows in itertools.zip_longest(parts, parts[1:], fillvalue=parts[0][:0]):
        arrays.prefetch(next_rows)
        yield arrays.take(rows)


def _batch_size(images: Tensor | Arrays) -> int:
    """Return the number of images to evaluate at once: fewer if they are large."""
    channels, height, width = images.shape[-3:]
    size = _BATCH_SIZE_ON_GPU if images.device.type == "cuda" else _BATCH_SIZE
    return min(size, max(1, _BATCH_VALUES // (channels * height * width)))


def accuracy(logits: Tensor, labels: Tensor, *, k: int = 1) -> float:
    """Return the top-k accuracy in [0, 1]: the share of rows whose label is among the k largest logits."""
    if k == 1:
        return float((logits.argmax(dim=1) == labels).double().mean())
    top = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return float((top == labels[:, None]).any(dim=1).double().mean())
