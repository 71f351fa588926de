"""Noise in a few places per class: a cluster of similar images gets one wrong label."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.data.formats.memory_images import check_images_fit
from dilution.errors import InputError
from dilution.noise.fixed_transition import check_rate
from dilution.noise.model_dependent import ModelDependent, checked_probabilities
from dilution.noise.per_example import PerExampleNoise
from dilution.noise.transition import Matrix
from dilution.utils import rng

_COMPONENTS = 50  # principal components of the pixels, in which distances are measured
_CLUSTERS = 10
_CLUSTERS_OF_FEATURES = 20  # as in the code of the authors
_LEAST_PROBABILITY = 1e-12  # whose logarithm is finite


def locally_concentrated(rate: float) -> PerExampleNoise:
    """Return noise that is concentrated in a few places per class, among similar pixels.

    The images of a class are divided into ten clusters by k-means on their 50 leading principal components.
    Whole clusters in random order get one wrong label each, until the share `rate` of the images of the class
    is wrong; of the last cluster the images nearest to its centre do. It needs no network, after the idea of
    Algan and Ulusoy (2020), whose own noise is :func:`locally_concentrated_features`.

    Parameters
    ----------
    rate
        Share of wrong labels, in [0, 1].

    Raises
    ------
    InputError
        If the rate lies outside [0, 1].
    """
    return _LocallyConcentrated(check_rate(rate, "locally_concentrated"))


def locally_concentrated_features(rate: float, probabilities: ArrayLike) -> PerExampleNoise:
    """Return the locally concentrated noise of Algan and Ulusoy 2020 (*Label Noise Types and Their Effects*).

    The images of a class are divided into twenty clusters by k-means on the logits of a network. From the
    largest one on, whole clusters get one wrong label each, as long as not more than the share `rate` of the
    images of the class is wrong: a little less than the rate, as in the labels that the authors published.
    The clusters are those of the probabilities: where several models predicted a part of the images each, as
    in :func:`dilution.predicted_probabilities`, they partly follow these parts.

    Parameters
    ----------
    rate
        Largest share of wrong labels, in [0, 1].
    probabilities
        Predicted probabilities of the classes for each image, whose logarithms are the logits: shape
        (n, classes).

    Raises
    ------
    InputError
        If the rate lies outside [0, 1], the probabilities are none, or (when used) do not fit the data, or
        have clusters that are too large for half of the rate.
    """
    rate = check_rate(rate, "locally_concentrated_features")
    return _LocallyConcentratedFeatures(rate, checked_probabilities(probabilities))


@dataclass(frozen=True, repr=False)
class _LocallyConcentratedFeatures(ModelDependent):
    rate: float
    probabilities: Matrix
    name: str = "locally_concentrated_features"

    def labels(self, data: Arrays, seed: int) -> Tensor:
        logits = np.log(np.maximum(self._for(data), _LEAST_PROBABILITY))
        logits -= logits.mean(axis=1, keepdims=True)  # the softmax loses what all of a row have in common
        true = data.labels.cpu().numpy()
        noisy, present = true.copy(), np.unique(true)
        for label in present.tolist():
            rows = (true == label).nonzero()[0]
            draws = np.random.default_rng(abs(rng.stream(seed, f"concentrated features {label}")))
            others = present[present != label]
            left = round(self.rate * len(rows)) if len(others) else 0
            cluster = _clusters(logits[rows], _CLUSTERS_OF_FEATURES, draws)
            sizes = np.bincount(cluster)
            for number in np.argsort(-sizes, kind="stable"):
                if sizes[number] <= left:
                    noisy[rows[cluster == number]] = draws.choice(others)
                    left -= sizes[number]
        self._check_delivered(float((noisy != true).mean()), len(present))
        return torch.from_numpy(noisy)

    def _check_delivered(self, delivered: float, present: int) -> None:
        """Refuse probabilities of which most images of a class have the same: no cluster fits the rate."""
        if present > 1 and delivered < self.rate / 2:
            raise InputError(
                f"rate of {self.name} noise is {self.rate:g}; with these probabilities whole clusters make "
                f"{delivered:.3g} of the labels wrong, and the next ones are too large. Give a higher rate, "
                "or the predictions of a model that is less certain, for images that it was not trained on."
            )


def _clusters(points: Matrix, count: int, draws: np.random.Generator) -> NDArray[np.int32]:
    """Return the cluster of each point by k-means; fewer than `count` if fewer points differ."""
    from sklearn.cluster import KMeans

    count = min(count, len(np.unique(points, axis=0)))
    fit = KMeans(count, n_init=1, random_state=int(draws.integers(2**31))).fit(points)
    return np.asarray(fit.labels_)


@dataclass(frozen=True, repr=False)
class _LocallyConcentrated(PerExampleNoise):
    rate: float
    name: str = "locally_concentrated"

    def labels(self, data: Arrays, seed: int) -> Tensor:
        from sklearn.cluster import KMeans

        points = _principal_components(data, seed)
        true = data.labels.cpu().numpy()
        noisy, present = true.copy(), np.unique(true)
        for label in present.tolist():
            rows = (true == label).nonzero()[0]
            draws = np.random.default_rng(abs(rng.stream(seed, f"locally concentrated {label}")))
            others = present[present != label]
            count = round(self.rate * len(rows)) if len(others) else 0
            if count == 0:
                continue
            clusters = min(_CLUSTERS, len(np.unique(points[rows], axis=0)))
            fit = KMeans(clusters, n_init=1, random_state=int(draws.integers(2**31))).fit(points[rows])
            rank = draws.permutation(clusters)  # of each cluster in the order in which they flip
            distance = ((points[rows] - fit.cluster_centers_[fit.labels_]) ** 2).sum(axis=1)
            flipped = np.lexsort((distance, rank[fit.labels_]))[:count]
            targets = draws.choice(others, clusters)
            noisy[rows[flipped]] = targets[fit.labels_[flipped]]
        return torch.from_numpy(noisy)

    def __repr__(self) -> str:
        return f"locally_concentrated({self.rate:g})"


def _principal_components(data: Arrays, seed: int) -> Matrix:
    """Return the leading principal components of the pixels, float64, shape (n, at most 50)."""
    from sklearn.decomposition import PCA

    size = int(np.prod(data.shape))
    check_images_fit("the images", len(data), 4 * size, f"torch.float32 of shape {data.shape}")
    rows = torch.arange(len(data), device=data.device)
    pixels = data.take(rows).cpu().flatten(1).float().numpy() / data.unit
    components = min(_COMPONENTS, size, len(data))
    pca = PCA(components, svd_solver="randomized", random_state=abs(rng.stream(seed, "components")) % 2**31)
    return np.asarray(pca.fit_transform(pixels), dtype=np.float64)
