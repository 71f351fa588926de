"""Connected components of a graph whose edges come bit by bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Components:
    """Components of a graph, to which edges are added.

    Parameters
    ----------
    numbers
        Component of each node at first, int64, shape (n,), values 0 … n − 1.
    """

    def __init__(self, numbers: Ints) -> None:
        self.numbers = numbers
        """Component of each node, int64, shape (n,): the smallest of the numbers that were joined."""

    def are_apart(self, pairs: Ints) -> NDArray[np.bool_]:
        """Return which pairs of nodes are of different components; pairs have the shape (pairs, 2)."""
        ends = self.numbers[pairs]
        apart: NDArray[np.bool_] = ends[:, 0] != ends[:, 1]
        return apart

    def are_joined(self, first: Ints, second: Ints) -> bool:
        """Return whether all nodes of both lists, which are not empty, are of one component."""
        component = self.numbers[first[0]]
        return bool((self.numbers[first] == component).all() and (self.numbers[second] == component).all())

    def join(self, pairs: Ints) -> None:
        """Add edges, pairs of nodes of shape (pairs, 2)."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        if not len(pairs):
            return
        joined, ends = np.unique(self.numbers[pairs], return_inverse=True)
        first, second = ends.reshape(-1, 2).T
        graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (first, second)), shape=2 * (len(joined),))
        component = connected_components(graph, directed=False)[1]
        smallest = joined[np.unique(component, return_index=True)[1]]
        renumbered = np.arange(len(self.numbers))
        renumbered[joined] = smallest[component]
        self.numbers = renumbered[self.numbers]
