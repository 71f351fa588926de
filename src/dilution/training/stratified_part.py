"""The part of the test split that evaluations during a training measure: fixed, and stratified by class."""

import torch
from torch import Tensor

from dilution.errors import InputError
from dilution.utils import rng

_SEED = 0  # of its own, whatever the seed of a run: all runs measure the same images


def check_test_part(test_part: int | None, n_test: int) -> None:
    """Refuse a part that is larger than the test split.

    Raises
    ------
    InputError
        If it is.
    """
    if test_part is not None and test_part > n_test:
        raise InputError(
            f"test_part is {test_part:,} and the test split has {n_test:,} images; it is the number of them "
            "that evaluations during the training measure. Leave it out to measure all."
        )


def stratified_part(labels: Tensor, size: int) -> Tensor:
    """Return the rows of a part of the test split, int64, shape (size,), ascending.

    Each class has its share of the part, exact to less than one image. The rows of a class are drawn at
    random by a seed of their own.

    Parameters
    ----------
    labels
        Labels of the test split, int64, shape (n,).
    size
        Number of images, from 1 to n.
    """
    labels = labels.cpu()
    counts = labels.bincount()
    quotas = counts.double() * size / len(labels)
    sizes = quotas.floor().long()
    missing = size - int(sizes.sum())
    sizes[(quotas - sizes).argsort(descending=True, stable=True)[:missing]] += 1
    draws = rng.uniform_bits(rng.stream(_SEED, "test part"), torch.arange(len(labels)))
    order = draws.argsort(stable=True)
    rows = [order[labels[order] == number][:count] for number, count in enumerate(sizes.tolist())]
    return torch.cat(rows).sort().values
