"""The handwritten digits of scikit-learn: 1,797 images of 8×8, without a download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.builtin.base import BundledDataSet, Description
from dilution.data.splits import split_arrays

CLASSES = tuple(str(digit) for digit in range(10))


def read_digits() -> DataSet:
    """Return scikit-learn's digits, 1,437 for training and 360 for testing.

    Images are uint8 of shape (n, 1, 8, 8): the 17 grey levels 0 … 16 of the original, scaled to 0 … 255. The
    splits are those of :func:`dilution.data.splits.stratified_split`.
    """
    levels, labels = _bundled()
    images = np.rint(levels * (255 / 16)).astype(np.uint8)[:, None]
    return split_arrays("digits", Arrays(torch.from_numpy(images), torch.from_numpy(labels), CLASSES))


def _bundled() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return grey levels, (1797, 8, 8), and labels, from the file in scikit-learn's package.

    ``sklearn.datasets.load_digits`` returns the same, but every worker process would import scikit-learn,
    which takes a second.
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


DIGITS = BundledDataSet(
    Description("digits", "handwritten digits that come with scikit-learn", 10, (1, 8, 8), 1437, 360),
    read_digits,
)
