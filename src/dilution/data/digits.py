"""The digits that come with scikit-learn: 1,797 pictures of 8×8, no download."""

import numpy as np
import torch

from dilution.data.arrays import Arrays, DataSet
from dilution.data.split import every_fifth

CLASSES = tuple(str(digit) for digit in range(10))


def load() -> DataSet:
    """Return scikit-learn's digits, 1,437 for training and 360 for testing.

    Returns
    -------
    DataSet
        Images uint8 of shape (n, 1, 8, 8): the 17 grey levels 0 … 16 of the original, spread
        over 0 … 255. The test half is :func:`dilution.data.split.every_fifth`.
    """
    from sklearn.datasets import load_digits  # lazily: it takes a second to import

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    train, test = (
        Arrays(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows]), CLASSES)
        for rows in every_fifth(labels)
    )
    return DataSet("digits", train, test)
