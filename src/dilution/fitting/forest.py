"""Random forests of scikit-learn as plain arrays, which a file can hold and NumPy evaluates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.errors import InputError
from dilution.fitting.tree_nodes import TreeNodes

ARRAYS = ("features", "thresholds", "children", "values", "roots")
"""The arrays of a forest, in the order of its parameters."""


@dataclass(frozen=True, repr=False)
class Forest(TreeNodes):
    """Trees whose class shares are averaged, for features without missing values.

    Parameters
    ----------
    features, thresholds, children
        As of :class:`dilution.fitting.tree_nodes.TreeNodes`.
    values
        Share of each class among the examples of a node, float32 of shape (nodes, classes).
    roots
        First node of each tree, int32 of shape (trees,).

    Raises
    ------
    InputError
        If the arrays are no trees: a path through them might not end, or end outside of them.
    """

    values: NDArray[np.float32]
    roots: NDArray[np.int32]

    def __post_init__(self) -> None:
        if fault := self._fault():
            raise InputError(f"the forest has {fault}; take the trees of a fitted classifier, unchanged.")

    def _fault(self) -> str:
        """Return what is wrong with the arrays; empty if nothing is."""
        n = self.features.size
        if fault := self.shape_fault({"roots": (self.roots.size,)}):
            return fault
        if self.values.ndim != 2 or len(self.values) != n or self.values.shape[1] < 2:
            return f"values of shape {self.values.shape} for {n} nodes"
        if not np.isfinite(self.values).all() or (self.values < 0).any() or not self.values.any(axis=1).all():
            return "values that are no shares"
        return self.path_fault(self.roots)

    def __repr__(self) -> str:
        return f"Forest({len(self.roots)} trees, {len(self.features)} nodes)"

    @classmethod
    def of_classifier(cls, classifier: Any, n_classes: int) -> "Forest":
        """Return the trees of a fitted ``RandomForestClassifier`` of scikit-learn.

        Parameters
        ----------
        classifier
            Fitted to class numbers 0 … n_classes − 1, some of which may have no example.
        n_classes
            Number of classes.
        """
        columns = np.asarray(classifier.classes_, dtype=np.int64)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ARRAYS}
        n_nodes = 0
        for estimator in classifier.estimators_:
            tree = estimator.tree_
            own = np.arange(tree.node_count)
            is_leaf = tree.children_left < 0
            children = np.stack([tree.children_left, tree.children_right], axis=1)
            children = np.where(is_leaf[:, None], own[:, None], children)
            shares = np.zeros((tree.node_count, n_classes), dtype=np.float32)
            shares[:, columns] = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
            parts["features"].append(np.where(is_leaf, -1, tree.feature).astype(np.int32))
            parts["thresholds"].append(tree.threshold.astype(np.float64))
            parts["children"].append((children + n_nodes).astype(np.int32))
            parts["values"].append(shares)
            parts["roots"].append(np.array([n_nodes], dtype=np.int32))
            n_nodes += tree.node_count
        return cls(**{name: np.concatenate(arrays) for name, arrays in parts.items()})

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.values.shape[1])

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (b, classes), for features (b, d, 1, 1)."""
        features = images.flatten(1).to(torch.float32).numpy()
        total = np.zeros((len(features), self.n_classes))
        for root in self.roots.tolist():
            total += self.values[self.leaves(features, root)]
        probabilities: NDArray[np.float64] = total / total.sum(axis=1, keepdims=True)
        return probabilities
