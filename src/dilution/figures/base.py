"""The parts of a figure: runs for each preset, points, plot, summary and claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.figure
import pandas as pd

from dilution.data import Arrays
from dilution.errors import unknown
from dilution.figures.claims import Claim
from dilution.figures.paper_scale import LrSearch
from dilution.noise import Dilution, NoiseSummary, observed
from dilution.study.grid import Grid, check_run_count
from dilution.study.run_spec import Run
from dilution.training.config import PrecisionName

PresetName = Literal["demo", "laptop", "paper"]
PRESETS: tuple[PresetName, ...] = ("demo", "laptop", "paper")

LEARNING_RATES = (0.01, 0.05, 0.1, 0.5)
"""Learning rates of Figures 10 and 11 at the laptop preset."""

DEMO_N = 2_000
"""The largest number of clean examples at the demo preset."""

POOLED_SETTINGS: dict[str, Any] = {"targets": "pooled", "optimizer": "adam", "schedule": "linear"}
"""Settings of the demo and laptop presets for noise on the same images: fast, one learning rate."""

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


NextRuns = Callable[[Sequence[Run], pd.DataFrame], list[Run]]
"""Function of the finished runs and their table → the runs that a search requests next; empty at its end."""


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
    class_sizes
        Number of training images of each class. Empty: ten classes of equal size.
    """

    dataset: str
    n_available: int
    external: str = "photos"
    precision: PrecisionName = "float32"
    shape: tuple[int, int, int] = (1, 28, 28)
    observed: NoiseSummary | None = None
    class_sizes: tuple[int, ...] = ()

    @classmethod
    def of(cls, dataset: str, train: Arrays, external: str, precision: PrecisionName) -> "FigureInputs":
        """Return the inputs of a data set with this name and train split."""
        noise = None if train.observed is None else Dilution(train, noise=observed()).noise_summary()
        sizes = train.labels.bincount(minlength=len(train.classes)).tolist()
        return cls(dataset, len(train), external, precision, train.shape, noise, tuple(sizes))


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
    lr_search
        How the learning rates of the runs are chosen. Default: the grids have them.
    next_runs
        As of :class:`Figure`, at this preset alone.
    """

    grids: Callable[[FigureInputs], Grids]
    description: str
    seeds: int = 3
    lr_search: LrSearch | None = None
    next_runs: NextRuns | None = None


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
        The search of a figure that has one. Where learning rates are chosen, it is given the runs, and
        requests runs, at the provisional one.
    compared_with
        Name of a figure whose runs are added to this figure's table if the store has all of them.
    as_percent
        Whether the points are fractions in [0, 1], shown in percent.
    findings
        Function of the points → further results, a sentence each, that are listed below the summary.
    shown
        Function of the table of runs → those behind the points, where others only choose a setting. Default:
        all.
    """

    name: str
    title: str
    presets: Mapping[PresetName, Preset]
    aggregate: Callable[[pd.DataFrame], pd.DataFrame]
    draw: Callable[[pd.DataFrame], matplotlib.figure.Figure]
    summary: Callable[[pd.DataFrame], str]
    claims: tuple[Claim, ...]
    method: str
    next_runs: NextRuns | None = None
    compared_with: str | None = None
    as_percent: bool = True
    findings: Callable[[pd.DataFrame], tuple[str, ...]] | None = None
    shown: Callable[[pd.DataFrame], pd.DataFrame] | None = None

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

    def search(self, preset: str) -> NextRuns | None:
        """Return the search that requests further runs at a preset, or None."""
        return self.get_preset(preset).next_runs or self.next_runs

    def plan(self, inputs: FigureInputs, preset: str, seeds: int | None = None) -> list[Run]:
        """Return the runs of this figure at a preset; of a search, its first runs.

        Where learning rates are chosen, the runs have the provisional one.

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
        check_run_count(1, seeds)
        seed = list(range(seeds or chosen.seeds))
        shared = {"dataset": inputs.dataset, "precision": inputs.precision}
        return [
            run
            for settings, axes in chosen.grids(inputs)
            for run in Grid({**shared, **settings}, {**axes, "seed": seed})
        ]
