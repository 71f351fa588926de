"""Asymmetric noise: a map says which class each class is mistaken for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dilution.errors import InputError, short_repr, unknown
from dilution.noise.class_maps import CLASS_MAPS
from dilution.noise.fixed_transition import FixedTransition, check_rate
from dilution.noise.transition import LabelNoise, Matrix


@dataclass(frozen=True, repr=False)
class _Asymmetric(FixedTransition):
    rate: float
    flips: Mapping[str, str]
    map_name: str | None
    name: str = "asymmetric"

    def transition(self, names: tuple[str, ...]) -> Matrix:
        position = {name: number for number, name in enumerate(names)}
        table = np.eye(len(names))
        for source, target in self.flips.items():
            for name in (source, target):
                if name not in position:
                    raise InputError(self._missing(name, names))
            row = position[source]
            table[row, row] -= self.rate
            table[row, position[target]] += self.rate
        return table

    def _missing(self, name: str, names: tuple[str, ...]) -> str:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        origin = f"the map {self.map_name!r}" if self.map_name else "flips"
        return (
            f"{origin} flips class {short_repr(name)}; the data have no such class, but {shown}. Give flips= "
            "with names of these classes, such as "
            f"asymmetric(rate={self.rate:g}, flips=[[{names[0]!r}, {names[-1]!r}]])."
        )

    def __repr__(self) -> str:
        flips = repr(self.map_name) if self.map_name else f"{len(self.flips)} classes"
        return f"asymmetric({self.rate:g}, flips={flips})"


def asymmetric(rate: float, flips: str | Mapping[str, str] | Iterable[tuple[str, str]]) -> LabelNoise:
    """Return asymmetric noise: with probability `rate` a class becomes the one that a map names.

    Parameters
    ----------
    rate
        Nominal rate, in [0, 1]: the share of wrong labels *of the classes that the map flips*. CIFAR-10's map
        flips five of ten classes, so that 0.4 makes 0.2 of all labels wrong.
    flips
        The map from names of classes to names of classes, or pairs of them; or the name of a published one,
        ``"mnist"``, ``"fashion-mnist"``, ``"cifar10"``, ``"cifar100"``: see :data:`CLASS_MAPS`.

    Raises
    ------
    InputError
        If the rate lies outside [0, 1], there is no such map, a class is flipped to itself or to two classes,
        or (when used) the data lack a class of the map.
    """
    rate = check_rate(rate, "asymmetric")
    if isinstance(flips, str):
        if flips not in CLASS_MAPS:
            raise unknown("map of classes", flips, tuple(CLASS_MAPS))
        return _Asymmetric(rate, CLASS_MAPS[flips], flips)
    pairs = flip_pairs(flips)
    if not pairs:
        raise InputError(
            f"flips is {short_repr(flips)}; it must map names of classes to names of classes, such as "
            "{'cat': 'dog', 'dog': 'cat'}, or be the name of a map, such as 'cifar10'."
        )
    named = dict(pairs)
    for source, target in pairs:
        if source == target:
            raise InputError(
                f"flips has class {source!r} become itself; each class must become another one. Leave it out."
            )
        if named[source] != target:
            raise InputError(
                f"flips has class {source!r} become {target!r} and {named[source]!r}; a class can become one "
                "other. For several give the whole matrix: see transition()."
            )
    return _Asymmetric(rate, named, None)


def flip_pairs(flips: Any) -> tuple[tuple[str, str], ...]:
    """Return a map of classes as pairs of names, each once and in one order; empty if it is none."""
    try:
        given = flips.items() if isinstance(flips, Mapping) else flips
        return tuple(sorted({(str(source), str(target)) for source, target in given}))
    except (TypeError, ValueError):
        return ()
