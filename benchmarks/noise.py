"""Noise by name beside labels that others published: rates, transition matrices, unevenness. Writes a page.

``python benchmarks/noise.py FOLDER`` reads the label files in FOLDER (names as their authors gave them), and
MNIST and CIFAR-10 from DILUTION_DATA; it writes docs/results/noise/README.md, in about an hour on two cores.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from tied_labels import HIGH, LOW, tied_labels

import dilution
from dilution.data import Arrays, read_label_file
from dilution.noise import LabelNoise
from dilution.training.confusability import EPOCHS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "results" / "noise" / "README.md"
NEIGHBOURS = 5_000  # images whose nearest neighbours are looked at
Predictions = Literal["held out", "briefly trained", "averaged"]
"""Of images that a model was not trained on, after a usual or a short training; of its own, over epochs."""
MODELS: dict[Predictions, tuple[str, ...]] = {
    "held out": ("mlp2", "perceptron", "mlp4", "conv2"),
    "briefly trained": ("mlp2", "perceptron", "mlp4", "conv2"),
    "averaged": ("conv4", "conv2", "conv6", "lenet"),
}
"""The models that noise by predictions follows, one variant each; other noise has a variant per seed."""
TRAINING_EPOCHS: dict[Predictions, float] = {"held out": EPOCHS, "briefly trained": 0.03, "averaged": 4}
SEEDS = tuple(range(4))
COUNTING = 0.02  # differences up to this one can come from counting some thousand images per class


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
    predictions
        Which predictions the noise follows, if it follows any.
    """

    file: str
    dataset: str
    source: str
    noise: str
    make: Callable[[Arrays, Callable[[], NDArray[np.float64]], NDArray[np.float64]], LabelNoise]
    predictions: Predictions = "held out"

    @property
    def title(self) -> str:
        """The noise as the table names it."""
        return f"`{self.noise}`{'' if self.predictions == 'held out' else f', {self.predictions}'}"


KINDS_OF_CHEN: tuple[Predictions, ...] = ("held out", "averaged")
KINDS_OF_ALGAN: tuple[Predictions, ...] = ("held out", "briefly trained")
_CHEN, _ALGAN = "Chen et al. 2021", "Algan and Ulusoy 2020"
PAIRS = [
    *(
        Pair(
            f"idn-{name}-{rate}.csv",
            name,
            _CHEN,
            f"idn(rate={rate})",
            lambda _, predicted, __, rate=rate: dilution.idn(rate, predicted()),
            predictions,
        )
        for name in ("mnist", "cifar10")
        for rate in (0.2, 0.4)
        for predictions in KINDS_OF_CHEN
    ),
    *(
        Pair(
            f"{name}-feature-dependent_{percent}.npy",
            name,
            _ALGAN,
            f"idn(rate={percent / 100})",
            lambda _, predicted, __, percent=percent: dilution.idn(percent / 100, predicted()),
            predictions,
        )
        for name in ("mnist", "cifar10")
        for percent in (LOW, HIGH)
        for predictions in KINDS_OF_ALGAN
    ),
    *(
        Pair(
            f"{name}-locally-concentrated_35.npy",
            name,
            _ALGAN,
            "locally_concentrated_features(rate=0.35)",
            lambda _, predicted, __: dilution.locally_concentrated_features(0.35, predicted()),
        )
        for name in ("mnist", "cifar10")
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


STATISTICS: dict[str, Callable[[Shape], NDArray[np.float64]]] = {
    "wrong": lambda shape: np.array([shape.rate]),
    "classes": lambda shape: 1 - shape.transition.diagonal(),
    "concentration": lambda shape: np.array([shape.concentration]),
    "neighbours": lambda shape: np.array([shape.neighbours]),
    "T": lambda shape: shape.transition,
}
"""The columns in which labels are compared; the distance of two is the largest difference of a number."""


@dataclass(frozen=True)
class Distance:
    """How far published labels are from ours, beside how far ours are from each other.

    Parameters
    ----------
    published
        Median over the variants of ours.
    own
        The largest such median of one of the variants, over the others.
    """

    published: float
    own: float

    @property
    def agrees(self) -> bool:
        """Whether the published labels could be another variant."""
        return self.published <= max(self.own, COUNTING)


def distances(published: Shape, drawn: Sequence[Shape]) -> dict[str, Distance]:
    """Return the distances in each column of :data:`STATISTICS`."""
    distance_of = {}
    for name, statistic in STATISTICS.items():
        variants = [statistic(shape) for shape in drawn]
        own = [median_distance(one, [other for other in variants if other is not one]) for one in variants]
        distance_of[name] = Distance(median_distance(statistic(published), variants), max(own))
    return distance_of


def median_distance(one: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> float:
    """Return the median over others of the largest difference of a number."""
    return float(np.median([np.abs(one - other).max() for other in others]))


def row_of(pair: Pair, published: Shape, drawn: Sequence[Shape]) -> str:
    """Return a line of the table; of the variants the cells have the first one, distances all."""
    first, compared = drawn[0], distances(published, drawn)
    differing = [name for name, distance in compared.items() if not distance.agrees]
    cells = [
        f"{pair.file} ({pair.source})",
        pair.title,
        f"{100 * published.rate:.1f} / {100 * first.rate:.1f}",
        " / ".join(f"{100 * shape.least:.0f}–{100 * shape.most:.0f}" for shape in (published, first)),
        f"{published.concentration:.2f} / {first.concentration:.2f}",
        f"{100 * published.neighbours:+.0f} / {100 * first.neighbours:+.0f}",
        f"{compared['T'].published:.2f} / {compared['T'].own:.2f}",
        f"all but {', '.join(differing)}" if differing else "all",
    ]
    return f"| {' | '.join(cells)} |"


INTRODUCTION = """# Noise by name beside published labels

`python benchmarks/noise.py FOLDER` writes this page. Each cell has the published labels first, and then
those that this package draws with another model and other random numbers. It knows nothing of the published
ones, but for *transition*, whose T is counted in the file.

**Agree in:** the columns in which the published labels are no farther from ours, in the median over
{variants} variants of ours, than the farthest of these is from the others, or than {counting:.0f}
points, which counting can make. Variants differ in the seed, and those of noise that follows a model in the
model too ({models}; where it is *averaged*, {averaged_models}). So labels
that agree could be those of one more variant. The distance of two is the largest difference of an entry.

*Classes*: rates of the cleanest and the noisiest class, in %. *Concentration*: sum of squared shares of the
wrong classes of a class, 1/9 where all are equally likely and 1 where there is one. *Neighbours*: how much
likelier a wrong label is, in points, if the most similar image of the class has one; 0 for labels that depend
on the class alone. *T*: the distance of the published T from ours, and that of the farthest of ours. The
other cells show `{first}`, where averaged `{first_averaged}`, or seed {seed}.

| published file | noise | wrong, % | classes, % | concentration | neighbours | T | agree in |
|---|---|---|---|---|---|---|---|
"""

CONCLUSION = """
The models of Chen et al. and of Algan and Ulusoy are other ones (a wide ResNet over 150 epochs, a distilled
student). Here five networks of each kind predict the images that they have not seen, after {epochs:g}
epochs. Where it says *briefly trained* it is {brief:g} (`dilution data noisy --epochs {brief:g}`).
Where it says *averaged*, one network predicts its own training images after each of {averaged:g} epochs, and
the mean counts, as Chen et al. do over theirs (`dilution data noisy --average-epochs`).
`locally_concentrated_features` takes clusters of a network's logits, as the code of Algan and Ulusoy does,
and `locally_concentrated` clusters of pixels.

`part_dependent` draws random directions for each true class, as algorithm 2 of the paper has it; with
`shared=True` one set of directions serves all classes. The column *concentration* says which of the two the
published labels resemble.
"""

TIED = """
## The feature-dependent labels at the higher rate

{counts}

What a model doubts does not depend on the place of an image in a file. Such labels would come about if the
probabilities of all wrong classes were equal for most images: equal numbers are ordered by class, and by
place. So in large part the file at the higher rate depends neither on what an image shows nor on its class,
and `idn` does not agree with it.
"""


def draw_variants(
    pair: Pair, data: Arrays, predict: Callable[[str, Predictions], NDArray[np.float64]], published: Shape
) -> list[dilution.Dilution]:
    """Return the variants of the labels that stand for a published file."""
    drawn = []
    for model, seed in zip(MODELS[pair.predictions], SEEDS, strict=True):
        noise = pair.make(data, lambda model=model: predict(model, pair.predictions), published.transition)
        drawn.append(dilution.Dilution(data, noise=noise, seed=seed))
    return drawn


def write_page(rows: Mapping[tuple[str, str], str], ties: Sequence[str]) -> None:
    """Write the page from its rows by file and title of the noise, in the order of the pairs, MNIST first."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    held_out, averaged = MODELS["held out"], MODELS["averaged"]
    introduction = INTRODUCTION.format(
        variants=len(SEEDS), counting=100 * COUNTING, models=", ".join(held_out), first=held_out[0],
        averaged_models=", ".join(averaged), first_averaged=averaged[0], seed=SEEDS[0],
    )  # fmt: skip
    conclusion = CONCLUSION.format(
        epochs=EPOCHS, brief=TRAINING_EPOCHS["briefly trained"], averaged=TRAINING_EPOCHS["averaged"]
    )
    pairs = sorted(PAIRS, key=lambda pair: pair.dataset != "mnist")
    lines = [rows[pair.file, pair.title] for pair in pairs if (pair.file, pair.title) in rows]
    tied = TIED.format(counts="\n".join(f"- {line}" for line in ties)) if ties else ""
    PAGE.write_text(introduction + "\n".join(lines) + "\n" + conclusion + tied)


def rows_of_page() -> dict[tuple[str, str], str]:
    """Return the line of the page of each file and noise."""
    text = PAGE.read_text("utf-8") if PAGE.exists() else ""
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    return {(cell[1].split(" (")[0], cell[2]): row for cell, row in zip(cells, rows, strict=True)}


def main() -> None:
    """Compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="Folder of the published files of labels.")
    parser.add_argument(
        "--only", default="", help="Compare rows with these words in file or noise; keep others."
    )
    arguments = parser.parse_args()
    folder, rows = arguments.folder, rows_of_page() if arguments.only else {}
    train = {name: dilution.load(name).train for name in ("mnist", "cifar10")}
    ties = [line for name, data in train.items() if (line := tied_labels(folder, name, data))]
    for name, data in train.items():
        nearest = nearest_of_class(data)

        @cache
        def predict(model: str, predictions: Predictions, data: Arrays = data) -> NDArray[np.float64]:
            epochs, is_averaged = TRAINING_EPOCHS[predictions], predictions == "averaged"
            return dilution.predicted_probabilities(
                data, model=model, seed=SEEDS[0], epochs=epochs, average_epochs=is_averaged
            )

        for pair in PAIRS:
            is_asked = all(word in f"{pair.file} {pair.title}" for word in arguments.only.split())
            is_compared = is_asked and (folder / pair.file).exists()
            if pair.dataset != name or not is_compared:
                continue
            published = shape_of(read_label_file(folder / pair.file, data), data, nearest)
            drawn = [
                shape_of(noisy.own_labels, data, nearest)
                for noisy in draw_variants(pair, data, predict, published)
            ]
            rows[pair.file, pair.title] = row_of(pair, published, drawn)
            print(rows[pair.file, pair.title], flush=True)
            write_page(rows, ties)  # at once: the next row may take half an hour


if __name__ == "__main__":
    main()
