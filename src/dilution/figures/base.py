"""What a figure of the paper is: its runs at each scale, its plot, its claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.figure
import pandas as pd

from dilution.data import Arrays
from dilution.errors import unknown
from dilution.figures.claims import Claim
from dilution.noise import Dilution, NoiseSummary, observed
from dilution.study.grid import Grid
from dilution.study.run_spec import Run
from dilution.training.config import PrecisionName

PresetName = Literal["demo", "laptop", "paper"]
PRESETS: tuple[PresetName, ...] = ("demo", "laptop", "paper")

RATES = (0.01, 0.05, 0.1, 0.5)
"""The learning rates of which the paper takes the best."""

FIRST_CONTACT = 2_000
"""The most clean examples at demo scale, whatever the data set."""

POOLED: dict[str, Any] = {"targets": "pooled", "optimizer": "adam", "schedule": "linear"}
"""How the smaller scales train where the noise is on the same images: quick, at one learning rate."""

PAPER: dict[str, Any] = {"targets": "sampled", "optimizer": "adadelta", "batch_size": 128, "steps": 50_000}
"""How the paper trains, as far as it says."""

AS_PAPER = (
    "Paper scale: one label at a time, Adadelta, batch 128, the best of four learning rates on clean "
    "validation data, 50,000 steps."
)
"""What a reader must know of runs that train like that."""

Grids = list[tuple[dict[str, Any], dict[str, list[Any]]]]
"""Settings that runs share, and for each setting that varies its values; several such grids."""


@dataclass(frozen=True)
class Material:
    """What a figure is made from.

    Parameters
    ----------
    dataset
        Name of a data set or path of a file.
    size
        Its training images.
    external
        The data set of foreign images.
    precision
        What products are computed in.
    shape
        (channels, height, width) of an image.
    observed
        The noise of its observed labels, counted over all training images; None if it has none.
    """

    dataset: str
    size: int
    external: str = "photos"
    precision: PrecisionName = "float32"
    shape: tuple[int, int, int] = (1, 28, 28)
    observed: NoiseSummary | None = None

    @classmethod
    def of(cls, dataset: str, train: Arrays, external: str, precision: PrecisionName) -> "Material":
        """Return what a data set of this name and training half gives a figure."""
        counted = None if train.observed is None else Dilution(train, noise=observed()).noise_summary()
        return cls(dataset, len(train), external, precision, train.shape, counted)


@dataclass(frozen=True)
class Scale:
    """A figure at one scale.

    Parameters
    ----------
    grids
        Function of the material → the runs but for their seeds, in the order in which they start.
    differs
        What a reader must know of how it differs from the paper.
    seeds
        Seeds a point.
    """

    grids: Callable[[Material], Grids]
    differs: str
    seeds: int = 3


@dataclass(frozen=True)
class Figure:
    """One figure of the paper.

    Parameters
    ----------
    name, title
        ``"fig1"``, and what it shows.
    scales
        What is run at each scale.
    points
        Function of the table of runs → the means and intervals that are drawn.
    draw
        Function of those points → the plot.
    finding
        Function of those points → what was found, in one plain sentence.
    claims
        The claims that this figure decides.
    method
        How it was measured.
    more
        Function of the runs so far and their table → further runs, until there are none: a search.
    beside
        Name of a figure whose runs, where the store has them, are compared with this one's.
    shares
        Whether the points are accuracies.
    """

    name: str
    title: str
    scales: Mapping[PresetName, Scale]
    points: Callable[[pd.DataFrame], pd.DataFrame]
    draw: Callable[[pd.DataFrame], matplotlib.figure.Figure]
    finding: Callable[[pd.DataFrame], str]
    claims: tuple[Claim, ...]
    method: str
    more: Callable[[Sequence[Run], pd.DataFrame], list[Run]] | None = None
    beside: str | None = None
    shares: bool = True

    def at(self, name: str) -> Scale:
        """Return what this figure does at the scale of this name.

        Raises
        ------
        InputError
            If there is no such scale.
        """
        for scale in PRESETS:
            if scale == name:
                return self.scales[scale]
        raise unknown("scale", name, PRESETS)

    def plan(self, material: Material, scale: str, seeds: int | None = None) -> list[Run]:
        """Return the runs to begin with, at the scale's own number of seeds or another."""
        chosen = self.at(scale)
        seed = list(range(seeds or chosen.seeds))
        common = {"dataset": material.dataset, "precision": material.precision}
        return [
            run
            for base, axes in chosen.grids(material)
            for run in Grid({**common, **base}, {**axes, "seed": seed})
        ]
