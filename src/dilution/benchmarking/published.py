"""Accuracies that papers report, for the networks, data and noises that can be trained here."""

from dataclasses import dataclass

import pandas as pd

from dilution.benchmarking.noises import BenchmarkNoise
from dilution.data.label_file_source import without_label_file
from dilution.noise import canonical_noise


@dataclass(frozen=True)
class PublishedAccuracy:
    """One number of a paper.

    Parameters
    ----------
    dataset, model, method
        Names as in a benchmark.
    noise
        Text of the noise, ``"clean"`` without one.
    accuracy
        Test accuracy in [0, 1].
    source
        Paper and table.
    """

    dataset: str
    model: str
    method: str
    noise: str
    accuracy: float
    source: str


_REPRODUCTION = (
    "Mizrahi 2021, [Re] Can gradient clipping mitigate label noise?, a reproduction of Menon et al. 2020: "
    "tables of its repository dmizr/phuber"
)
_OTHER_LENET = (
    "; its repository has versions of LeNet with tanh and average pooling, and with ReLUs and max-pooling as "
    "ours"
)
_RHO = (0.0, 0.2, 0.4, 0.6)

PUBLISHED = tuple(
    PublishedAccuracy(
        dataset,
        model,
        method,
        f"symmetric(rate={rho:g})" if rho else "clean",
        round(percent / 100, 3),
        _REPRODUCTION + (_OTHER_LENET if model == "lenet" else ""),
    )
    for dataset, model, method, percents in (
        ("cifar10", "resnet50", "cross_entropy", (95.8, 84.0, 67.8, 44.0)),
        ("cifar10", "resnet50", "gce", (95.3, 92.5, 82.4, 53.3)),
        ("cifar10", "resnet50", "phuber", (94.8, 92.8, 87.8, 73.2)),
        ("mnist", "lenet", "cross_entropy", (99.1, 98.8, 98.6, 98.0)),
        ("mnist", "lenet", "gce", (98.8, 98.7, 98.5, 98.1)),
        ("mnist", "lenet", "phuber(tau=10.0)", (99.0, 98.8, 98.5, 97.6)),
    )
    for rho, percent in zip(_RHO, percents, strict=True)
)
"""Numbers of papers. At flip probability ρ a label becomes each other class with probability ρ/(m − 1)."""


def published_for(
    dataset: str, model: str, noises: list[BenchmarkNoise], *, all_images: bool
) -> pd.DataFrame:
    """Return the published accuracies that belong beside a benchmark: same data, name of the network, noise.

    Parameters
    ----------
    dataset, model
        Names of the data set and of the network.
    noises
        Noises of the benchmark.
    all_images
        Whether it trains on all images; a number from more images says nothing about fewer.

    Returns
    -------
    DataFrame
        ``noise``, ``method``, ``published`` (in [0, 1]), ``source``; empty if there is none.
    """
    text_of = {noise.name: _text(noise) for noise in noises}
    rows = [
        (name, number.method, number.accuracy, number.source)
        for number in PUBLISHED
        if all_images and (number.dataset, number.model) == (without_label_file(dataset), model)
        for name, text in text_of.items()
        if text == _canonical(number.noise)
    ]
    return pd.DataFrame(rows, columns=["noise", "method", "published", "source"])


def _text(noise: BenchmarkNoise) -> str:
    """Return the text of a noise: ``"clean"`` without one, empty for labels of a file or a data set."""
    if noise.name == "clean":
        return noise.name
    return _canonical(str(noise.settings["noise"])) if "noise" in noise.settings else ""


def _canonical(text: str) -> str:
    return text if text == "clean" else canonical_noise(text)
