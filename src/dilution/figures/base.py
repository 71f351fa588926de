"""The parts of a figure: runs for each preset, points, plot, summary and claims."""

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

LEARNING_RATES = (0.01, 0.05, 0.1, 0.5)
"""The paper reports the best of these learning rates."""

DEMO_N = 2_000
"""The largest number of clean examples at the demo preset."""

POOLED_SETTINGS: dict[str, Any] = {"targets": "pooled", "optimizer": "adam", "schedule": "linear"}
"""Settings of the demo and laptop presets for noise on the same images: fast, one learning rate."""

PAPER_SETTINGS: dict[str, Any] = {
    "targets": "sampled",
    "optimizer": "adadelta",
    "batch_size": 128,
    "steps": 50_000,
}
"""Settings of the paper, as far as the paper states them."""

PAPER_DESCRIPTION = (
    "Paper preset: sampled targets (one label at a time), Adadelta, batch size 128, 50,000 steps, the best "
    "of four learning rates by clean validation accuracy."
)
"""Description of runs with `PAPER_SETTINGS` and `LEARNING_RATES`."""

MEANS_OVER_SEEDS = (
    "Points are means over seeds; a seed sets the subset of clean images, the noise, the initial weights and "
    "the order of the batches. Bars are 95 % Student t intervals."
)
"""Part of a method: points and intervals."""

SELECTED_STEP = "Each run reports the test accuracy at the step with the best clean validation accuracy."
"""Part of a method: the reported accuracy."""

QUOTED_RINGS = (
    "A ring marks a number quoted from memory of the paper's caption, for comparison only; no verdict uses "
    "it."
)
"""Part of a method: quoted numbers."""

IS_OWN = "is_own"
"""Column of a table with the runs of two figures: True for those of the figure itself."""

Grids = list[tuple[dict[str, Any], dict[str, list[Any]]]]
"""Grids of runs: settings that all runs of a grid share, and the values of each setting that varies."""


@dataclass(frozen=True)
class FigureInputs:
    """The data that a figure is planned for.

    Parameters
    ----------
    dataset
        Name of a data set, or path of a file.
    n_available
        Number of its training images.
    external
        Data set of external images, for noisy labels on other images.
    precision
        ``"float32"`` or ``"bfloat16"``.
    shape
        Shape of an image: (channels, height, width).
    observed
        Noise of the observed labels, counted over all training images; None without observed labels.
    """

    dataset: str
    n_available: int
    external: str = "photos"
    precision: PrecisionName = "float32"
    shape: tuple[int, int, int] = (1, 28, 28)
    observed: NoiseSummary | None = None

    @classmethod
    def of(cls, dataset: str, train: Arrays, external: str, precision: PrecisionName) -> "FigureInputs":
        """Return the inputs of a data set with this name and train split."""
        noise = None if train.observed is None else Dilution(train, noise=observed()).noise_summary()
        return cls(dataset, len(train), external, precision, train.shape, noise)


@dataclass(frozen=True)
class Preset:
    """The runs of a figure at one preset.

    Parameters
    ----------
    grids
        Function of the inputs → the grids of runs without their seeds, in the order in which runs start.
    description
        Settings of the runs, and how they differ from the paper's.
    seeds
        Number of seeds per point.
    """

    grids: Callable[[FigureInputs], Grids]
    description: str
    seeds: int = 3


@dataclass(frozen=True, repr=False)
class Figure:
    """One figure.

    Parameters
    ----------
    name, title
        Name such as ``"fig1"``, and what the figure shows.
    presets
        The runs at each preset.
    aggregate
        Function of the table of runs → the points: one row per mean with its interval.
    draw
        Function of the points → the plot.
    summary
        Function of the points → the result in one or two plain sentences.
    claims
        The claims that this figure decides.
    method
        How the points were measured.
    next_runs
        Function of the finished runs and their table → the runs that a search requests next; empty once the
        search has ended. None for a figure without a search.
    compared_with
        Name of a figure whose runs are added to this figure's table if the store has all of them.
    as_percent
        Whether the points are fractions in [0, 1], shown in percent.
    """

    name: str
    title: str
    presets: Mapping[PresetName, Preset]
    aggregate: Callable[[pd.DataFrame], pd.DataFrame]
    draw: Callable[[pd.DataFrame], matplotlib.figure.Figure]
    summary: Callable[[pd.DataFrame], str]
    claims: tuple[Claim, ...]
    method: str
    next_runs: Callable[[Sequence[Run], pd.DataFrame], list[Run]] | None = None
    compared_with: str | None = None
    as_percent: bool = True

    def __repr__(self) -> str:
        """Return name and title."""
        return f"Figure({self.name!r}, {self.title!r})"

    def get_preset(self, name: str) -> Preset:
        """Return the preset of this name.

        Raises
        ------
        InputError
            If there is no such preset.
        """
        for preset in PRESETS:
            if preset == name:
                return self.presets[preset]
        raise unknown("preset", name, PRESETS)

    def plan(self, inputs: FigureInputs, preset: str, seeds: int | None = None) -> list[Run]:
        """Return the runs of this figure at a preset; of a search, its first runs.

        Parameters
        ----------
        inputs
            The data.
        preset
            ``"demo"``, ``"laptop"`` or ``"paper"``.
        seeds
            Number of seeds per point. Default: that of the preset.
        """
        chosen = self.get_preset(preset)
        seed = list(range(seeds or chosen.seeds))
        shared = {"dataset": inputs.dataset, "precision": inputs.precision}
        return [
            run
            for settings, axes in chosen.grids(inputs)
            for run in Grid({**shared, **settings}, {**axes, "seed": seed})
        ]
