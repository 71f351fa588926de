"""Noise in a few places per class: a cluster of similar images gets one wrong label."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dilution.data import Arrays
from dilution.data.formats.memory_images import check_images_fit
from dilution.noise.fixed_transition import check_rate
from dilution.noise.per_example import PerExampleNoise
from dilution.noise.transition import Matrix
from dilution.utils import rng

_COMPONENTS = 50  # principal components of the pixels, in which distances are measured
_CLUSTERS = 10


def locally_concentrated(rate: float) -> PerExampleNoise:
    """Return noise that is concentrated in a few places per class (after Algan and Ulusoy 2020).

    The images of a class are divided into ten clusters by k-means on their 50 leading principal components.
    Whole clusters in random order get one wrong label each, until the share `rate` of the images of the class
    is wrong; of the last cluster the images nearest to its centre do. Algan and Ulusoy take the clusters from
    features of a trained network.

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
