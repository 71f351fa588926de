"""The digits that come with scikit-learn: 1,797 images of 8×8, no download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.splits import every_fifth

CLASSES = tuple(str(digit) for digit in range(10))


def load() -> DataSet:
    """Return scikit-learn's digits, 1,437 for training and 360 for testing.

    Returns
    -------
    DataSet
        Images uint8 of shape (n, 1, 8, 8): the 17 grey levels 0 … 16 of the original, spread
        over 0 … 255. The test half is :func:`dilution.data.splits.every_fifth`.
    """
    levels, labels = _bundled()
    images = np.rint(levels * (255 / 16)).astype(np.uint8)[:, None]
    train, test = (
        Arrays(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows]), CLASSES)
        for rows in every_fifth(labels)
    )
    return DataSet("digits", train, test)


def _bundled() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return grey levels, (1797, 8, 8), and labels, from the file in scikit-learn's package.

    Its own reader gives the same and takes a second to import, in every worker process.
    """
    package = find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.exists():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target.astype(np.int64)
