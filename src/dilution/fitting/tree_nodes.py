"""Nodes of decision trees as plain arrays: where they split, where rows go, and whether paths end."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class TreeNodes:
    """Nodes of trees for features without missing values; subclasses say what a leaf is worth.

    Parameters
    ----------
    features
        Feature at which each node splits, int32 of shape (nodes,); −1 at a leaf.
    thresholds
        Largest value of the feature that goes left, float64 of shape (nodes,).
    children
        Numbers of the left and right child, int32 of shape (nodes, 2); of a leaf, the leaf itself.
    """

    features: NDArray[np.int32]
    thresholds: NDArray[np.float64]
    children: NDArray[np.int32]

    @property
    def n_features(self) -> int:
        """Least number of features that the trees need."""
        return int(self.features.max(initial=-1)) + 1

    def shape_fault(self, shapes: dict[str, tuple[int, ...]]) -> str:
        """Return which array has another shape than it should; empty if none has.

        Parameters
        ----------
        shapes
            Shapes of further arrays by their names.
        """
        n = self.features.size  # the length only if it has one dimension, which is checked here
        expected = {"features": (n,), "thresholds": (n,), "children": (n, 2)} | shapes
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                return f"{name} of shape {getattr(self, name).shape} in place of {shape}"
        return ""

    def path_fault(self, roots: NDArray[np.int32]) -> str:
        """Return why a path from a root might not end, or end outside of the trees; empty if each ends."""
        n = len(self.features)
        if np.isnan(self.thresholds).any():
            return "thresholds that are no numbers"
        if n == 0 or roots.size == 0 or ((roots < 0) | (roots >= n)).any():
            return "roots that are no nodes"
        own = np.arange(n)[:, None]
        is_leaf = self.features < 0
        points_back = (self.children <= own).any(axis=1) | (self.children >= n).any(axis=1)
        if (points_back & ~is_leaf).any() or (self.children != own)[is_leaf].any():
            return "children that do not lie behind their parents"
        return ""

    def leaves(self, values: NDArray[Any], root: int) -> NDArray[np.int32]:
        """Return the leaf of each row in one tree, shape (b,), for features of shape (b, d)."""
        rows = np.arange(len(values))
        nodes = np.full(len(values), root, dtype=np.int32)
        while (features := self.features[nodes]).max(initial=-1) >= 0:
            goes_right = values[rows, features] > self.thresholds[nodes]  # at a leaf both children are itself
            nodes = self.children[nodes, goes_right.astype(np.int8)]
        return nodes
