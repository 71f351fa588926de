"""Confusability of classes: predicted probabilities of models trained on clean data, cross-validated."""

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data import Arrays
from dilution.data.splits import divide_groups
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.api import train
from dilution.utils import rng

MODEL = "conv2"
FOLDS = 5
EPOCHS = 3
LARGEST = 20_000


def _folds(rows: torch.Tensor, groups: torch.Tensor | None) -> list[torch.Tensor]:
    """Return folds of rows; the rows of a group are in one fold."""
    if groups is None:
        return list(rows.chunk(FOLDS))
    folds = divide_groups(groups[rows].numpy(), FOLDS)
    return [rows[torch.from_numpy(folds == number)] for number in range(FOLDS)]


def confusability(
    data: Arrays, *, model: str = MODEL, seed: int = 0, device: str = "cpu"
) -> NDArray[np.float64]:
    """Return the mean predicted probability of class k for held-out images of class c.

    Five models are trained, each on the clean labels of four fifths of the images (three epochs of
    Adam at 1e-3), and predict the remaining fifth. Of large data sets a random subset of 20,000
    images is used.

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
        If there are fewer images, or groups of copies, than two per fold.
    """
    if len(data) < 2 * FOLDS:
        raise InputError(
            f"there are {len(data)} images; measuring confusability takes at least {2 * FOLDS}. "
            "Use order='random', or pass a confusability matrix of your own."
        )
    if data.split_groups is not None and len(data.split_groups.unique()) < 2 * FOLDS:
        raise InputError(
            f"the {len(data)} images are {len(data.split_groups.unique())} different ones, beside copies; "
            f"measuring confusability takes at least {2 * FOLDS}. Use order='random', or pass a "
            "confusability matrix of your own."
        )
    order = rng.permute(rng.stream(seed, "confusability"), torch.arange(len(data)), len(data))
    folds = _folds(order[:LARGEST], data.split_groups)
    classes = len(data.classes)
    total = torch.zeros(classes, classes, dtype=torch.float64)
    for number, fold in enumerate(folds):
        rows = torch.cat([other for index, other in enumerate(folds) if index != number])
        held_out = data.subset(fold)
        result = train(
            model,
            Dilution(data.subset(rows), alpha=0),
            test=held_out,
            seed=seed,
            device=device,
            targets="expected",
            optimizer="adam",
            lr=1e-3,
            epochs=EPOCHS,
            n_evals=1,
        )
        total.index_add_(0, held_out.labels, result.predict(held_out).double())
    sums = total.sum(dim=1, keepdim=True)
    return torch.where(sums > 0, total / sums.clamp(min=1e-12), 1 / classes).numpy()
