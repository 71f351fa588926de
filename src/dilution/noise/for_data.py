"""A noise model for a data set: for its classes, and with labels and matrices that are checked.

They are checked because the noise model may be the user's own.
"""

import numpy as np
import torch
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise.own_noise import check_repeats, errors_in_words, is_own_noise
from dilution.noise.per_example import PerExampleNoise
from dilution.noise.transition import LabelNoise, Matrix, check_transition_matrix


def noise_for_classes(noise: LabelNoise, data: Arrays) -> LabelNoise:
    """Return the noise for the classes of the data, restricted to those that some label names."""
    counts = torch.bincount(data.labels, minlength=len(data.classes))
    if data.observed is not None:
        counts += torch.bincount(data.observed, minlength=len(data.classes))
    present = (counts > 0).cpu().numpy()
    with errors_in_words(noise):
        bound = (noise if present.all() else noise.among(present)).for_classes(data.classes)
    if not isinstance(bound, LabelNoise):
        raise InputError(
            f"noise {noise.name!r} returned a {type(bound).__name__} from among or for_classes; both return "
            "a LabelNoise, by default the noise itself."
        )
    return bound


def checked_labels(noise: PerExampleNoise, data: Arrays, seed: int) -> Tensor:
    """Return the label of each example: int64, shape (n,), on the device of the data.

    Raises
    ------
    InputError
        If they are not one class number per example; if a noise model of the user raises, or draws other
        labels each time.
    """
    with errors_in_words(noise):
        labels = noise.labels(data, seed)
        again = noise.labels(data, seed) if is_own_noise(noise) else labels
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != data.labels.shape:
        received = (
            f"{labels.dtype} of shape {tuple(labels.shape)}"
            if isinstance(labels, Tensor)
            else f"a {type(labels).__name__}"
        )
        raise InputError(
            f"noise {noise.name!r} gives labels that are {received} for {len(data):,} examples; they must be "
            "a torch.int64 tensor with one class number per example."
        )
    check_repeats(noise, torch.equal(labels, again))
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(data.classes):
        raise InputError(
            f"noise {noise.name!r} gives labels from {low} to {high}; with {len(data.classes)} classes they "
            f"must lie in 0 … {len(data.classes) - 1}."
        )
    return labels.to(data.device)


def checked_added(noise: LabelNoise, classes: int, alpha: float, seed: int) -> Matrix:
    """Return Q[true, noisy], the matrix of added labels: float64, shape (classes, classes).

    Raises
    ------
    InputError
        If it is no transition matrix, or one of another number of classes; if a noise model of the user
        raises, or gives another matrix each time.
    """
    with errors_in_words(noise):
        values = noise.added(classes, alpha, seed)
        again = noise.added(classes, alpha, seed) if is_own_noise(noise) else values
    added = check_transition_matrix(values)
    check_repeats(noise, np.array_equal(added, check_transition_matrix(again)))
    if len(added) != classes:
        raise InputError(
            f"noise {noise.name!r} gives a matrix of {len(added)} rows; the data have {classes} classes."
        )
    return added


def class_shares(data: Arrays, rows: Tensor) -> Matrix:
    """Return the share of each class among rows of the data; float64, shape (classes,)."""
    return torch.bincount(data.labels[rows], minlength=len(data.classes)).double().cpu().numpy() / len(rows)
