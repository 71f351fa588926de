"""The runs of a benchmark: every method at every noise with every seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from dilution.benchmarking.methods import Method, resolve_methods
from dilution.benchmarking.noises import BenchmarkNoise, resolve_noises
from dilution.benchmarking.presets import setup
from dilution.data import load
from dilution.errors import InputError, short_repr
from dilution.study.grid import check_run_count
from dilution.study.grouping import epoch_length, expected_steps, labels_per_image
from dilution.study.prepare import prepare
from dilution.study.run_spec import Run
from dilution.training.config import PrecisionName
from dilution.training.estimators import ESTIMATORS
from dilution.utils.whole_numbers import check_digits

_LEAST_SEEDS = 2  # of an interval


@dataclass(frozen=True)
class BenchmarkPlan:
    """The runs of a benchmark.

    Parameters
    ----------
    dataset, preset, model
        Names of the data set, the preset and the model.
    n
        Number of training images of a run, validation images included.
    methods, noises
        The methods and the noises.
    runs
        One run per row of `planned`; methods that differ in the choice of a step alone share theirs.
    planned
        One row per method, noise and seed: ``method``, ``noise``, ``key``; ``same_as``, an earlier method
        that trains in the same way at this noise, or empty. Pooled labels are cross entropy where each image
        has one label.
    description
        How all methods are trained.
    notes
        Which methods are left out at which noises, because trainings are too short for their phases.
    """

    dataset: str
    preset: str
    model: str
    n: int
    methods: tuple[Method, ...]
    noises: tuple[BenchmarkNoise, ...]
    runs: tuple[Run, ...]
    planned: pd.DataFrame
    description: str
    notes: tuple[str, ...] = ()

    @property
    def study(self) -> str:
        """Name of the study in stores."""
        return f"benchmark/{self.dataset}/{self.preset}"

    @cached_property
    def keys(self) -> set[str]:
        """Keys of the runs."""
        return {run.key for run in self.runs}


def plan_benchmark(
    dataset: str,
    preset: str,
    methods: str | Sequence[str] | Mapping[str, Any] | None = None,
    noises: str | Sequence[str] | None = None,
    *,
    seeds: int = 5,
    model: str | None = None,
    precision: PrecisionName = "float32",
    root: str | None = None,
) -> BenchmarkPlan:
    """Return the runs of a benchmark, ready to train.

    Parameters
    ----------
    dataset, preset, methods, noises, seeds, model, precision
        As for :func:`dilution.benchmark`.
    root
        Folder of downloaded data.

    Raises
    ------
    DilutionError
        If a name is unknown, a setting breaks its rule, or a data file is missing.
    """
    check_digits("seeds", seeds)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < _LEAST_SEEDS:
        raise InputError(
            f"seeds is {short_repr(seeds)}; intervals and paired differences need {_LEAST_SEEDS} or more. "
            "Give --seeds 5 (seeds=5)."
        )
    if model in ESTIMATORS:
        raise InputError(
            f"model is {model!r}, an estimator that takes no optimizer steps; methods are ways to take them. "
            "Name a model, such as mlp2."
        )
    compared = resolve_methods(methods)  # before the data are read
    train = load(dataset, root).train
    shared = setup(preset, train.shape, len(train), model)
    chosen = resolve_noises(noises, dataset, train, preset=preset)
    check_run_count(len(compared) * len(chosen), seeds)
    base = {"dataset": dataset, "precision": precision, **shared.settings}
    epochs = {noise.name: _epochs(Run.of(**{**base, **noise.settings})) for noise in chosen}
    cases = [
        (method, noise, seed)
        for noise in chosen
        for method in compared
        if epochs[noise.name] >= method.least_epochs
        for seed in range(seeds)
    ]
    runs = [
        Run.of(**{**base, **noise.settings, **method.settings_for(epochs[noise.name]), "seed": seed})
        for method, noise, seed in cases
    ]
    prepared = prepare(runs, root)
    planned = pd.DataFrame(
        {
            "method": [method.name for method, _, _ in cases],
            "noise": [noise.name for _, noise, _ in cases],
            "key": [run.key for run in prepared],
            "same_as": _same_as(cases, prepared),
        }
    )
    return BenchmarkPlan(
        dataset,
        preset,
        shared.settings["model"],
        shared.settings["n"],
        tuple(compared),
        tuple(chosen),
        tuple(prepared),
        planned,
        shared.description,
        tuple(
            f"{method.title} is left out at {noise.title}: a training passes {epochs[noise.name]:.2g} times "
            f"over its labels, and the phases of the method take {method.least_epochs:g} passes or more."
            for noise in chosen
            for method in compared
            if epochs[noise.name] < method.least_epochs
        ),
    )


def _same_as(cases: Sequence[tuple[Method, BenchmarkNoise, int]], runs: Sequence[Run]) -> list[str]:
    """Return for each run the method of an earlier one that trains in the same way; empty without one."""
    first: dict[tuple[str, int, str], str] = {}
    names = []
    for (method, noise, seed), run in zip(cases, runs, strict=True):
        if method.stops_early:  # it has the run of another method, and chooses another step
            names.append("")
            continue
        settings = run.model_dump()
        if labels_per_image(run) == 1:
            settings["targets"] = "sampled"
        name = first.setdefault((noise.name, seed, json.dumps(settings, default=str)), method.name)
        names.append("" if name == method.name else name)
    return names


def _epochs(run: Run) -> float:
    """Return how often a training passes over all of its labels."""
    return expected_steps(run) * run.batch_size / epoch_length(run)
