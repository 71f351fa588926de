"""Gradient-boosted trees of scikit-learn as plain arrays, which a file can hold and NumPy evaluates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.errors import InputError
from dilution.fitting.tree_nodes import TreeNodes


@dataclass(frozen=True, repr=False)
class BoostedTrees(TreeNodes):
    """Trees that are summed per class, for features without missing values.

    Parameters
    ----------
    features, thresholds, children
        As of :class:`dilution.fitting.tree_nodes.TreeNodes`.
    values
        What a leaf adds to the score of the tree's class, float64 of shape (nodes,).
    roots
        First node of each tree, int32 of shape (rounds, scores).
    baseline
        Scores before the first tree, float64 of shape (scores,). One score stands for two classes.
    columns
        Class of each score, or of the two that one score stands for: int64, increasing.
    n_classes
        Number of classes; those without a score have probability 0.

    Raises
    ------
    InputError
        If the arrays are no trees: a path through them might not end, or end outside of them.
    """

    values: NDArray[np.float64]
    roots: NDArray[np.int32]
    baseline: NDArray[np.float64]
    columns: NDArray[np.int64]
    n_classes: int

    def __post_init__(self) -> None:
        if fault := self._fault():
            raise InputError(f"the trees have {fault}; take those of a fitted classifier, unchanged.")

    def _fault(self) -> str:
        """Return what is wrong with the arrays; empty if nothing is."""
        n_scores = self.baseline.size  # sizes are lengths only of arrays whose shape is right
        shapes = {
            "values": (self.features.size,), "roots": (self.roots.size // max(n_scores, 1), n_scores),
            "baseline": (n_scores,),
            "columns": (n_scores if n_scores > 1 else 2,),
        }  # fmt: skip
        if fault := self.shape_fault(shapes):
            return fault
        if not all(np.isfinite(values).all() for values in (self.values, self.baseline)):
            return "values that are not finite"
        if (np.diff(self.columns) < 1).any() or self.columns[0] < 0 or self.columns[-1] >= self.n_classes:
            return "columns that are no classes"
        return self.path_fault(self.roots)

    def __repr__(self) -> str:
        return f"BoostedTrees({self.roots.size} trees, {len(self.features)} nodes)"

    @classmethod
    def of_classifier(cls, classifier: Any, n_classes: int) -> "BoostedTrees":
        """Return the trees of a fitted ``HistGradientBoostingClassifier`` of scikit-learn.

        Parameters
        ----------
        classifier
            Fitted to class numbers 0 … n_classes − 1, some of which may have no example, and to features
            without categories.
        n_classes
            Number of classes.

        Raises
        ------
        InputError
            If it is another classifier, or its features include categories.
        """
        predictors = getattr(classifier, "_predictors", None)
        if type(classifier).__name__ != "HistGradientBoostingClassifier" or predictors is None:
            raise InputError(
                f"the classifier is a {type(classifier).__name__}; a file holds networks, and fitted "
                "HistGradientBoostingClassifiers of scikit-learn. Fit one of these."
            )
        nodes, roots, n_nodes = [], [], 0
        for of_round in predictors:
            for tree in of_round:
                nodes.append((tree.nodes, n_nodes))
                roots.append(n_nodes)
                n_nodes += len(tree.nodes)
        joined = np.concatenate([part for part, _ in nodes])
        if joined["is_categorical"].any():
            raise InputError(
                "the classifier splits at categories; a file holds trees that split at numbers. Fit it with "
                "categorical_features=None."
            )
        is_leaf = joined["is_leaf"].astype(bool)
        first = np.concatenate([np.full(len(part), start) for part, start in nodes])
        children = np.stack([joined["left"], joined["right"]], axis=1).astype(np.int64) + first[:, None]
        children[is_leaf] = np.flatnonzero(is_leaf)[:, None]
        return cls(
            np.where(is_leaf, -1, joined["feature_idx"]).astype(np.int32),
            joined["num_threshold"].astype(np.float64),
            children.astype(np.int32),
            joined["value"].astype(np.float64),
            np.array(roots, dtype=np.int32).reshape(len(predictors), -1),
            np.asarray(classifier._baseline_prediction, dtype=np.float64).reshape(-1),
            np.asarray(classifier.classes_, dtype=np.int64),
            n_classes,
        )

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (b, classes), for features (b, d, 1, 1)."""
        values = images.flatten(1).to(torch.float64).numpy()
        scores = np.tile(self.baseline, (len(values), 1))
        for of_round in self.roots:
            for number, root in enumerate(of_round.tolist()):
                scores[:, number] += self.values[self.leaves(values, root)]
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = np.zeros((len(values), self.n_classes))
        probabilities[:, self.columns] = scores / scores.sum(axis=1, keepdims=True)
        return probabilities
