"""Predicted probabilities of models of clean data, cross-validated, and the confusability of classes."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data import Arrays
from dilution.data.arrays import check_arrays
from dilution.data.splits import divide_groups, spread_classes
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.api import train
from dilution.training.averaged_predictions import averaged_predictions
from dilution.utils import rng

MODEL = "conv2"
FOLDS = 5
EPOCHS = 3
LARGEST = 20_000


def _folds(
    rows: torch.Tensor, groups: torch.Tensor | None, labels: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """Return folds of rows; the rows of a group are in one fold, and no class lies in one fold alone.

    A class that is one group does. Groups and labels are those of all examples, not of `rows` alone.
    """
    of_row = None if groups is None else groups[rows].numpy()
    if of_row is None:
        fold_of_row = np.arange(len(rows)) // math.ceil(len(rows) / FOLDS)  # equal, but for the last one
    else:
        fold_of_row = divide_groups(of_row, FOLDS)
    if labels is not None:
        fold_of_row = spread_classes(fold_of_row, labels[rows].numpy(), of_row)
    return [rows[torch.from_numpy(fold_of_row == number)] for number in range(int(fold_of_row.max()) + 1)]


def confusability(
    data: Arrays, *, model: str = MODEL, seed: int = 0, device: str = "cpu"
) -> NDArray[np.float64]:
    """Return the mean predicted probability of class k for held-out images of class c.

    Five models are trained, each on the clean labels of four fifths of the images (three epochs of
    Adam at 1e-3), and predict the remaining fifth. Of large data sets a random subset of 20,000
    images is used. Copies, and examples of one group, are in one fifth; a class whose images would all lie
    in one fifth is spread over two, unless they are one group.

    Parameters
    ----------
    data
        Clean training data; never the test split.
    model
        Name of the model.
    seed
        Root seed of the subset, the weights and the order.
    device
        Device of the training, as for :func:`train`.

    Returns
    -------
    ndarray
        float64, shape (classes, classes): rows are true classes and sum to 1. The row of a class
        without images is uniform.

    Raises
    ------
    InputError
        If the data are no :class:`Arrays`, or there are fewer images, or groups of copies, than two per fold.
    """
    _check_size(
        data,
        "measuring confusability",
        "Use order='random', or pass a confusability matrix of your own.",
    )
    order = rng.permute(rng.stream(seed, "confusability"), torch.arange(len(data)), len(data))
    classes = len(data.classes)
    total = torch.zeros(classes, classes, dtype=torch.float64)
    for fold, probabilities in _held_out(data, order[:LARGEST], model, EPOCHS, seed, device):
        total.index_add_(0, data.labels[fold], probabilities.double())
    sums = total.sum(dim=1, keepdim=True)
    return torch.where(sums > 0, total / sums.clamp(min=1e-12), 1 / classes).numpy()


def predicted_probabilities(
    data: Arrays,
    *,
    model: str = MODEL,
    epochs: float = EPOCHS,
    seed: int = 0,
    device: str = "cpu",
    average_epochs: bool = False,
) -> NDArray[np.float64]:
    """Return the predicted probabilities of each image by a model that was not trained on it.

    As :func:`confusability`, for all images: noise that follows a model's predictions takes them, such as
    :func:`dilution.idn`.

    Parameters
    ----------
    data
        Clean training data; never the test split.
    model
        Name of the model.
    epochs
        Passes over the data. More make the model surer.
    seed
        Root seed of the folds, the weights and the order.
    device
        Device of the training, as for :func:`train`.
    average_epochs
        In place of cross-validation: one model is trained on all images, and what it predicts for them after
        each epoch is averaged, as Chen et al. (2021) do for the noise :func:`dilution.idn`.

    Returns
    -------
    ndarray
        float64, shape (n, classes); rows sum to 1.

    Raises
    ------
    InputError
        If the data are no :class:`Arrays`, there are fewer images, or groups of copies, than two per fold,
        or with `average_epochs` `epochs` is no whole number.
    """
    if average_epochs:
        check_arrays(data)
        return averaged_predictions(data, model=model, epochs=epochs, seed=seed, device=device)
    _check_size(data, "cross-validation", "Give more images.")
    order = rng.permute(rng.stream(seed, "predicted probabilities"), torch.arange(len(data)), len(data))
    predicted = torch.empty(len(data), len(data.classes), dtype=torch.float64)
    for fold, probabilities in _held_out(data, order, model, epochs, seed, device):
        predicted[fold] = probabilities.double()
    return (predicted / predicted.sum(dim=1, keepdim=True)).numpy()


def _held_out(
    data: Arrays, rows: torch.Tensor, model: str, epochs: float, seed: int, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the rows of each fold, and the probabilities predicted for them by a model of the other folds."""
    folds = _folds(rows, data.split_groups, data.labels)
    for number, fold in enumerate(folds):
        others = torch.cat([other for index, other in enumerate(folds) if index != number])
        held_out = data.subset(fold)
        result = train(
            model,
            Dilution(data.subset(others), alpha=0),
            test=held_out,
            seed=seed,
            device=device,
            targets="expected",
            optimizer="adam",
            lr=1e-3,
            epochs=epochs,
            n_evals=1,
        )
        yield fold, result.predict(held_out)


def _check_size(data: Arrays, purpose: str, remedy: str) -> None:
    """Refuse data that are none, and fewer images, or groups of copies, than two per fold."""
    check_arrays(data)
    if len(data) < 2 * FOLDS:
        raise InputError(f"there are {len(data)} images; {purpose} takes at least {2 * FOLDS}. {remedy}")
    if data.split_groups is not None and len(data.split_groups.unique()) < 2 * FOLDS:
        raise InputError(
            f"the {len(data)} images are {len(data.split_groups.unique())} different ones, beside copies; "
            f"{purpose} takes at least {2 * FOLDS}. {remedy}"
        )
