"""Which classes are confusable: measured with networks trained on clean data, cross-validated."""

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.trainer import train
from dilution.utils import rng

MODEL = "conv2"
FOLDS = 5
EPOCHS = 3
LARGEST = 20_000


def confusability(
    data: Arrays, *, model: str = MODEL, seed: int = 0, device: str = "cpu"
) -> NDArray[np.float64]:
    """Return the mean predicted probability of class k for held-out images of class c.

    Five networks are trained on the clean labels of four fifths of the images each (three epochs of
    Adam at 1e-3) and predict the fifth that they did not see. Of large data sets a random 20,000
    images are used.

    Parameters
    ----------
    data
        Clean training data; never the test set.
    network
        Name of the network.
    seed
        Root seed of the subset, the weights and the order.
    device
        Where the networks train, as for :func:`train`.

    Returns
    -------
    ndarray
        float64, shape (classes, classes): rows are true classes and sum to 1. A class without images
        has a uniform row.

    Raises
    ------
    InputError
        If there are fewer images than folds.
    """
    if len(data) < 2 * FOLDS:
        raise InputError(
            f"there are {len(data)} images; measuring confusability takes at least {2 * FOLDS}. "
            "Use order='random', or pass a confusability matrix of your own."
        )
    order = rng.permute(rng.stream(seed, "confusability"), torch.arange(len(data)), len(data))
    folds = order[:LARGEST].chunk(FOLDS)
    classes = len(data.classes)
    total = torch.zeros(classes, classes, dtype=torch.float64)
    for number, held_out in enumerate(folds):
        rows = torch.cat([fold for other, fold in enumerate(folds) if other != number])
        fold = data.subset(held_out)
        result = train(
            model,
            Dilution(data.subset(rows), alpha=0),
            test=fold,
            seed=seed,
            device=device,
            targets="expected",
            optimizer="adam",
            lr=1e-3,
            epochs=EPOCHS,
            n_evals=1,
        )
        total.index_add_(0, fold.labels, result.predict(fold).double())
    sums = total.sum(dim=1, keepdim=True)
    return torch.where(sums > 0, total / sums.clamp(min=1e-12), 1 / classes).numpy()
