"""The result of a benchmark: its tables, and the answer in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dilution.benchmarking.methods import Method
from dilution.benchmarking.noises import BenchmarkNoise
from dilution.benchmarking.ranks import Ranks


def titles_of(noises: Sequence[BenchmarkNoise], methods: Sequence[Method]) -> dict[str, str]:
    """Return the names of methods and noises in figures, by their names in tables."""
    return {noise.name: noise.title for noise in noises} | {method.name: method.title for method in methods}


@dataclass(frozen=True, repr=False)
class Benchmark:
    """Methods compared under noises; what :func:`benchmark` returns.

    Parameters
    ----------
    dataset, preset
        What was trained on, and how.
    methods, noises
        The methods and the noises, in the order of the tables.
    accuracies
        Mean test accuracy in [0, 1] per measure, noise and method: ``measure``, ``noise``, ``method``,
        ``mean``, ``low``, ``high``, ``seeds``. The measure ``best_test`` is an oracle.
    differences
        Paired difference of each method from cross entropy: ``measure``, ``noise``, ``method``, ``mean``,
        ``low``, ``high``, ``seeds``, ``p``.
    ranks
        Measure → mean ranks over the noises; without the oracle.
    costs
        Seconds per training of each method.
    noise_rates
        Noise asked for, and the share of wrong labels expected and delivered.
    transitions
        T[true, noisy] of each noise, expected and counted over the labels of one seed, one row per entry.
    published
        Accuracies of papers for the same data, a network of the same name and the same noise, with the
        measured ones beside them.
    runs
        One row per method, noise and seed, with all settings and measures.
    description
        How all methods were trained.
    findings
        The result in plain sentences, the answer first.
    notes
        What was left out, merged, converted or guessed, and which runs failed.
    page
        Path of the HTML page.
    """

    dataset: str
    preset: str
    methods: tuple[Method, ...]
    noises: tuple[BenchmarkNoise, ...]
    accuracies: pd.DataFrame
    differences: pd.DataFrame
    ranks: dict[str, Ranks]
    costs: pd.DataFrame
    noise_rates: pd.DataFrame
    transitions: pd.DataFrame
    published: pd.DataFrame
    runs: pd.DataFrame
    description: str
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    page: Path = Path()

    def __repr__(self) -> str:
        """Return the numbers of methods, noises and runs, and the answer."""
        counts = f"{len(self.methods)} methods × {len(self.noises)} noises, {self.runs['key'].nunique()} runs"
        return f"Benchmark({self.dataset!r}, {self.preset}: {counts}. {self.answer})"

    @property
    def answer(self) -> str:
        """Which method is best where: the first of the findings."""
        return self.findings[0]

    @property
    def titles(self) -> dict[str, str]:
        """Names of methods and noises in figures, by their names in tables."""
        return titles_of(self.noises, self.methods)
