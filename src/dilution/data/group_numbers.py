"""Numbers of groups: of each example, int64, from 0 in the order of their first examples."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def number_groups(keys: NDArray[np.generic]) -> Ints:
    """Return numbers of groups, from 0 in the order of their first examples; equal keys are one group."""
    if keys.dtype.kind in "iu" and np.greater(keys[1:], keys[:-1]).all():
        return np.arange(len(keys))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers: Ints = rank[inverse.reshape(-1)]
    return numbers


def join_groups(*groups: Ints) -> Ints:
    """Return the finest groups that keep each of several divisions together, int64, shape (n,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first, *others = groups
    joined = number_groups(first)
    for other in map(number_groups, others):
        # Groups of both divisions are the nodes of a graph, and each example joins two of them.
        n_joined, n_other = count_groups(joined), count_groups(other)
        ends = (joined, n_joined + other)
        size = n_joined + n_other
        graph = coo_matrix((np.ones(len(joined), dtype=np.int8), ends), shape=(size, size))
        _, component = connected_components(graph, directed=False)
        joined = number_groups(component[joined])
    return joined


def count_groups(groups: Ints) -> int:
    """Return the number of groups, which are numbered from 0."""
    return int(groups.max()) + 1 if len(groups) else 0


def first_rows(groups: Ints) -> Ints:
    """Return the first example of each group."""
    return np.unique(groups, return_index=True)[1].astype(np.int64)


def first_pair(groups: Ints, finer: Ints | None = None) -> tuple[int, int]:
    """Return the first example that is in the group of an earlier one, after that one.

    With `finer` groups it is in another one of these than the earlier example.
    """
    first = first_rows(groups)[groups]
    is_later = first < np.arange(len(groups)) if finer is None else finer[first] != finer
    second = int(np.flatnonzero(is_later)[0])
    return int(first[second]), second
