"""Noise by name beside labels that others published: rates, transition matrices, unevenness. Writes a page.

``python benchmarks/noise.py FOLDER`` reads the label files in FOLDER (names as their authors gave them), and
MNIST and CIFAR-10 from DILUTION_DATA; it writes docs/results/noise/README.md. It takes some minutes with
``--model mlp2``, and half an hour on two cores with ``--model conv2``.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import dilution
from dilution.data import Arrays, read_label_file
from dilution.noise import LabelNoise

PAGE = Path(__file__).resolve().parent.parent / "docs" / "results" / "noise" / "README.md"
NEIGHBOURS = 5_000  # images whose nearest neighbours are looked at
SEED = 0


@dataclass(frozen=True)
class Pair:
    """A published file, and the noise of this package that stands for it.

    Parameters
    ----------
    file
        Name of the file.
    dataset
        Data set of the labels.
    source
        Who published them.
    noise
        Text of the noise.
    make
        Function of data, predicted probabilities and the T counted in the file that returns the noise.
    """

    file: str
    dataset: str
    source: str
    noise: str
    make: Callable[[Arrays, Callable[[], NDArray[np.float64]], NDArray[np.float64]], LabelNoise]


_CHEN, _ALGAN = "Chen et al. 2021", "Algan and Ulusoy 2020"
PAIRS = [
    *(
        Pair(
            f"idn-{name}-{rate}.csv",
            name,
            _CHEN,
            f"idn(rate={rate})",
            lambda _, predicted, __, rate=rate: dilution.idn(rate, predicted()),
        )
        for name in ("mnist", "cifar10")
        for rate in (0.2, 0.4)
    ),
    *(
        Pair(
            f"{name}-feature-dependent_{percent}.npy",
            name,
            _ALGAN,
            f"idn(rate={percent / 100})",
            lambda _, predicted, __, percent=percent: dilution.idn(percent / 100, predicted()),
        )
        for name in ("mnist", "cifar10")
        for percent in (35, 65)
    ),
    *(
        Pair(
            f"{name}-locally-concentrated_35.npy",
            name,
            _ALGAN,
            "locally_concentrated(rate=0.35)",
            lambda *_: dilution.locally_concentrated(0.35),
        )
        for name in ("mnist", "cifar10")
    ),
    *(
        Pair(
            f"{name}-class-dependent_35.npy",
            name,
            _ALGAN,
            "transition(T of the file)",
            lambda _, __, table: dilution.transition(table),
        )
        for name in ("mnist", "cifar10")
    ),
    *(
        Pair(
            "part-dependent-cifar10-0.4.pt",
            "cifar10",
            "Xia et al. 2020",
            f"part_dependent(rate=0.4{', shared=True' if shared else ''})",
            lambda *_, shared=shared: dilution.part_dependent(0.4, shared=shared),
        )
        for shared in (False, True)
    ),
]


@dataclass(frozen=True)
class Shape:
    """What labels look like.

    Parameters
    ----------
    rate
        Share of wrong labels.
    least, most
        Rates of the cleanest and of the noisiest class.
    concentration
        Mean over classes of the sum of squared shares of the wrong classes: 1/9 if even, 1 if one.
    neighbours
        Rate among the nearest images (of the same class) of wrongly labelled images, minus the rate.
    transition
        T[true, noisy].
    """

    rate: float
    least: float
    most: float
    concentration: float
    neighbours: float
    transition: NDArray[np.float64]


def shape_of(labels: torch.Tensor, data: Arrays, nearest: NDArray[np.int64]) -> Shape:
    """Return what labels look like; `nearest` has the nearest image of the same class of the first ones."""
    true, noisy = data.labels.numpy(), labels.numpy()
    m = len(data.classes)
    counts = np.bincount(true * m + noisy, minlength=m * m).reshape(m, m)
    table = counts / counts.sum(axis=1, keepdims=True)
    wrong = table.copy()
    np.fill_diagonal(wrong, 0)
    shares = wrong / wrong.sum(axis=1, keepdims=True)
    is_wrong = true != noisy
    rows = np.arange(len(nearest))
    beside = is_wrong[nearest[is_wrong[rows]]].mean() - is_wrong.mean()
    rates = 1 - table.diagonal()
    return Shape(
        is_wrong.mean(), rates.min(), rates.max(), float((shares**2).sum(axis=1).mean()), beside, table
    )


def nearest_of_class(data: Arrays) -> NDArray[np.int64]:
    """Return the nearest image of the same class for the first images, by principal components."""
    pixels = data.images.flatten(1).numpy().astype(np.float32)
    points = PCA(50, svd_solver="randomized", random_state=0).fit_transform(pixels)
    labels = data.labels.numpy()
    nearest = np.empty(NEIGHBOURS, dtype=np.int64)
    for label in np.unique(labels):
        rows = (labels == label).nonzero()[0]
        first = rows[rows < NEIGHBOURS]
        _, neighbours = NearestNeighbors(n_neighbors=2).fit(points[rows]).kneighbors(points[first])
        nearest[first] = rows[neighbours[:, 1]]
    return nearest


def row_of(pair: Pair, published: Shape, drawn: Shape) -> str:
    """Return a line of the table."""
    difference = np.abs(published.transition - drawn.transition).max()
    cells = [
        f"{pair.file} ({pair.source})",
        f"`{pair.noise}`",
        f"{100 * published.rate:.1f} / {100 * drawn.rate:.1f}",
        " / ".join(f"{100 * shape.least:.0f}–{100 * shape.most:.0f}" for shape in (published, drawn)),
        f"{published.concentration:.2f} / {drawn.concentration:.2f}",
        f"{100 * published.neighbours:+.0f} / {100 * drawn.neighbours:+.0f}",
        f"{difference:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


INTRODUCTION = """# Noise by name beside published labels

`python benchmarks/noise.py FOLDER` writes this page. Each cell has the published labels first, and then
those that this package draws with another model and other random numbers. It knows nothing of the published
ones, but for *transition*, whose T is counted in the file.

*Classes*: rates of the cleanest and the noisiest class, in %. *Concentration*: sum of squared shares of the
wrong classes of a class, 1/9 where all are equally likely and 1 where there is one. *Neighbours*: how much
likelier a wrong label is, in points, if the most similar image of the class has one; 0 for labels that depend
on the class alone. *T*: largest difference of an entry.

| published file | noise | wrong, % | classes, % | concentration | neighbours | T |
|---|---|---|---|---|---|---|
"""

CONCLUSION = """
The models of Chen et al. and of Algan and Ulusoy are other ones (a wide ResNet over 150 epochs, a distilled
teacher). Here five `{model}` networks predict the images that they have not seen, after three epochs. So T
and unevenness agree as far as the models confuse the same classes.

`part_dependent` draws random directions for each true class, as algorithm 2 of the paper has it; with
`shared=True` one set of directions serves all classes. The column *concentration* says which of the two the
published labels resemble.
"""


def main() -> None:
    """Compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="Folder of the published files of labels.")
    parser.add_argument("--model", default="mlp2", help="Model whose predictions idn follows.")
    arguments = parser.parse_args()
    folder, model = arguments.folder, arguments.model
    lines = []
    for name in ("mnist", "cifar10"):
        data = dilution.load(name).train
        nearest = nearest_of_class(data)
        predictions: list[NDArray[np.float64]] = []

        def predicted(
            data: Arrays = data, kept: list[NDArray[np.float64]] = predictions
        ) -> NDArray[np.float64]:
            if not kept:
                kept.append(dilution.predicted_probabilities(data, model=model, seed=SEED))
            return kept[0]

        for pair in PAIRS:
            if pair.dataset != name or not (folder / pair.file).exists():
                continue
            published = shape_of(read_label_file(folder / pair.file, data), data, nearest)
            noise = pair.make(data, predicted, published.transition)
            drawn = shape_of(dilution.Dilution(data, noise=noise, seed=SEED).own_labels, data, nearest)
            lines.append(row_of(pair, published, drawn))
            print(lines[-1], flush=True)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(INTRODUCTION + "\n".join(lines) + "\n" + CONCLUSION.format(model=model))


if __name__ == "__main__":
    main()
