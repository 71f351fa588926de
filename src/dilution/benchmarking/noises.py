"""The noises of a benchmark: the standard ones of the field by name, for the data sets that have them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilution.benchmarking.names import split_names
from dilution.data import Arrays
from dilution.data.label_file_source import names_label_file, without_label_file
from dilution.errors import InputError, unknown
from dilution.noise import LEVEL_NOISES, NOISES, canonical_noise
from dilution.utils.named_call import format_call, parse_call
from dilution.utils.references import is_reference

_CLASS_MAPS = {
    "digits": "mnist",
    "mnist": "mnist",
    "fashion-mnist": "fashion-mnist",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
}
"""Data set → the published map of classes that asymmetric noise flips."""

_HUMAN_LABELS = {
    "cifar10": {"cifar10n-aggregate": "cifar10n/aggre", "cifar10n-worse": "cifar10n/worse"},
    "cifar100": {"cifar100n": "cifar100n/noisy"},
}
"""Data set → noises of human labels, with the data set of the same images that has them."""

_LEVELS = (5.0, 20.0, 100.0)
_LEVEL = re.compile(r"alpha-(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class BenchmarkNoise:
    """A noise of a benchmark.

    Parameters
    ----------
    name
        Name in tables and on the command line.
    title
        Name in figures, with the nominal rate of papers.
    settings
        Settings of a run that make the noise; ``dataset`` is among them if other labels of the same images
        are needed.
    asked
        What is asked for, in words: papers give a nominal rate, from which the share of wrong labels may
        differ.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    asked: str


def _symmetric(percent: int) -> BenchmarkNoise:
    text = format_call("symmetric", {"rate": percent / 100, "include_true": True})
    return BenchmarkNoise(
        f"symmetric-{percent}",
        f"symmetric {percent} %",
        {"noise": text},
        f"{percent} % of the labels are drawn anew from all classes, the true one included",
    )


def _level(alpha: float) -> BenchmarkNoise:
    return BenchmarkNoise(
        f"alpha-{alpha:g}",
        f"α = {alpha:g}",
        {"noise": "uniform", "alpha": alpha},
        f"{alpha:g} uniformly noisy labels are added to each clean one",
    )


def _asymmetric(flips: str) -> BenchmarkNoise:
    return BenchmarkNoise(
        "asymmetric-40",
        "asymmetric 40 %",
        {"noise": format_call("asymmetric", {"rate": 0.4, "flips": flips})},
        f"40 % of the labels of the classes that the map {flips!r} names become another class",
    )


CLEAN = BenchmarkNoise("clean", "clean", {"noise": "uniform", "alpha": 0.0}, "no noise")

_PAIR_FLIP = BenchmarkNoise(
    "pair-flip-40",
    "pair flip 40 %",
    {"noise": "pair_flip(rate=0.4)"},
    "40 % of the labels become the next class",
)
_OBSERVED = BenchmarkNoise(
    "observed", "observed labels", {"noise": "observed"}, "the labels beside the true ones"
)


def noises_of(dataset: str, train: Arrays) -> dict[str, BenchmarkNoise]:
    """Return the standard noises that a data set has, by name; a benchmark without a choice uses all of them.

    Parameters
    ----------
    dataset
        Name of the data set, or data of a user.
    train
        Its train split.
    """
    noises = [CLEAN, *map(_symmetric, (20, 50, 80, 90))]
    dataset = without_label_file(dataset)
    if dataset in _CLASS_MAPS:
        noises.append(_asymmetric(_CLASS_MAPS[dataset]))
    if dataset in _HUMAN_LABELS:
        noises += [
            BenchmarkNoise(
                name, source, {"noise": "observed", "dataset": source}, f"the human labels of {source}"
            )
            for name, source in _HUMAN_LABELS[dataset].items()
        ]
    if train.observed is not None:
        noises.append(_OBSERVED)
    if dataset not in _HUMAN_LABELS:
        noises += [_PAIR_FLIP, *map(_level, _LEVELS)]
    return {noise.name: noise for noise in noises}


_DEMO = ("symmetric-50", "symmetric-80", "pair-flip-40", "alpha-5")


def resolve_noises(
    noises: str | Sequence[str] | None, dataset: str, train: Arrays, *, preset: str = "laptop"
) -> list[BenchmarkNoise]:
    """Return the noises of a benchmark by their names, each once.

    Parameters
    ----------
    noises
        Names in a list, or in a text between commas: of standard noises, ``"alpha-7"`` for any noise level,
        or any noise by name with its parameters (``"symmetric(rate=0.4)"``), of your own
        (``"module:factory(rate=0.4)"``), or files of labels (``"their.npy"``). None: the standard noises of
        the data set, at the demo preset four of them.
    dataset, train
        As for :func:`noises_of`.
    preset
        ``"demo"``, ``"laptop"`` or ``"paper"``.

    Raises
    ------
    InputError
        If there is no such noise, or the data set does not have it.
    """
    standard = noises_of(dataset, train)
    if noises is None:
        names = [name for name in _DEMO if name in standard] if preset == "demo" else list(standard)
    else:
        names = split_names(noises, "noises", "symmetric-50,alpha-20")
    resolved = [standard[name] if name in standard else _other(name, dataset, standard) for name in names]
    return list({noise.name: noise for noise in resolved}.values())


def _other(name: str, dataset: str, standard: Mapping[str, BenchmarkNoise]) -> BenchmarkNoise:
    """Return a noise that is no standard noise of this data set."""
    if (level := _LEVEL.fullmatch(name)) and math.isfinite(float(level[1])):
        return _level(float(level[1]))
    if name in _ELSEWHERE:
        raise InputError(
            f"noise is {name!r}, which {dataset} does not have: {_ELSEWHERE[name]}. It has: "
            f"{', '.join(standard)}."
        )
    if names_label_file(name):
        return BenchmarkNoise(name, Path(name).name, {"labels": name}, f"the labels in {name}")
    factory, _ = parse_call(name, "noise")
    if factory not in NOISES and not is_reference(factory):
        raise unknown("noise of a benchmark", name, (*standard, "alpha-10"))
    if factory in LEVEL_NOISES:
        raise InputError(
            f"noise is {name!r}, which takes a noise level. Name the level: alpha-20 is uniform noise with "
            "20 noisy labels per clean one."
        )
    text = canonical_noise(name)
    return BenchmarkNoise(text, text, {"noise": text}, text)


_ELSEWHERE = {
    "asymmetric-40": f"there is no published map of its classes, but of those of {', '.join(_CLASS_MAPS)}",
    "observed": "it has no labels beside the true ones",
    **{
        name: f"these are labels of the images of {dataset}"
        for dataset, sources in _HUMAN_LABELS.items()
        for name in sources
    },
}
"""Standard noises that not every data set has → why."""
