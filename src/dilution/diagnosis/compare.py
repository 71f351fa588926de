"""Compare two diagnoses: whether the labels of one delivery are noisier than those of another.

The difference of two independent estimates has an interval that follows from theirs, with no assumption on
their shape (MOVER, Zou and Donner 2008): with values a, b and bounds l, u it reaches from
b − a − √((b − l_b)² + (u_a − a)²) to b − a + √((u_b − b)² + (a − l_a)²). So it includes what widened theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from scipy.special import ndtri

from dilution.diagnosis.json_schema import ClassRow, DiagnosisFile, check_diagnosis, read_diagnosis_file
from dilution.errors import InputError, short_repr
from dilution.report.json_file import SCHEMA_VERSION, plain
from dilution.report.notebook import notebook_html
from dilution.utils.estimate import Estimate
from dilution.utils.printable import one_line

if TYPE_CHECKING:
    from dilution.diagnosis.result import Diagnosis

Verdict = Literal["noisier", "less noisy", "undecided"]

_NAMES = 3  # classes in a sentence
_MAX_NAME = 200  # characters of a name in a sentence


@dataclass(frozen=True, repr=False)
class Comparison:
    """How the noise rates of two diagnoses differ.

    Parameters
    ----------
    names
        Names of the data of both.
    before, after
        Their noise rates with intervals.
    difference
        The noise rate of the second minus that of the first, with an interval.
    per_class
        One row per class: ``class``, ``before``, ``after`` (share of wrong labels among the examples of the
        class), ``difference``, ``low``, ``high`` and ``verdict``. The intervals hold for all classes at once
        with the probability `level` (Bonferroni).
    level
        Probability that an interval contains the true number.
    caveats
        What to know before relying on it, one sentence each.
    """

    names: tuple[str, str]
    before: Estimate
    after: Estimate
    difference: Estimate
    per_class: pd.DataFrame
    level: float
    caveats: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Comparison: {self.answer}"

    def _repr_html_(self) -> str:
        """Return the answer and the classes for a notebook."""
        return notebook_html(repr(self), self.per_class)

    @property
    def verdict(self) -> Verdict:
        """``"noisier"`` if the interval of the difference is above 0, ``"less noisy"`` if it is below."""
        return _verdict(self.difference)

    @property
    def answer(self) -> str:
        """The answer in one sentence."""
        low, high = (f"{100 * bound:+.1f}" for bound in (self.difference.low, self.difference.high))
        numbers = (
            f"the noise rate went from {100 * self.before.value:.1f} % to {100 * self.after.value:.1f} %, by "
            f"{100 * self.difference.value:+.1f} percentage points ({100 * self.level:.0f} % interval {low} "
            f"to {high})"
        )
        if self.verdict == "undecided":
            return f"Whether {self.names[1]} is noisier than {self.names[0]} is undecided: {numbers}."
        return f"{self.names[1]} is {self.verdict} than {self.names[0]}: {numbers}."

    @property
    def details(self) -> list[str]:
        """Which classes differ, in one or two sentences."""
        sentences = []
        for verdict in ("noisier", "less noisy"):
            rows = self.per_class[self.per_class["verdict"] == verdict]
            rows = rows.sort_values("difference", ascending=verdict == "less noisy")
            names = [
                f"{one_line(row['class'], _MAX_NAME)} ({100 * row['difference']:+.0f} points)"
                for _, row in rows.head(_NAMES).iterrows()
            ]
            more = f" and {len(rows) - _NAMES} more" if len(rows) > _NAMES else ""
            if names:
                sentences.append(f"Classes that are {verdict}: {', '.join(names)}{more}.")
        if not sentences:
            sentences.append("No class differs by more than chance allows among so many classes.")
        return sentences

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers and sentences, in the types of JSON; a number that is not known is None."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "kind": "comparison",
            "names": self.names,
            "answer": self.answer,
            "details": self.details,
            "caveats": self.caveats,
            "verdict": self.verdict,
            "level": self.level,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "difference": self.difference.to_dict(),
            "per_class": self.per_class,
        }
        converted: dict[str, Any] = plain(content)
        return converted


def compare_diagnoses(
    before: Diagnosis | Mapping[str, Any] | str | Path, after: Diagnosis | Mapping[str, Any] | str | Path
) -> Comparison:
    """Return how the noise of the labels of one diagnosis differs from that of an earlier one.

    On the command line this is compare; :func:`dilution.compare` compares runs of a study.

    Parameters
    ----------
    before, after
        Diagnoses of different examples with the same classes: results of :func:`dilution.diagnose`, the
        content or the path of a ``diagnosis.json``, or the folder of one.

    Raises
    ------
    DataError
        If a file cannot be read, or is no diagnosis of this version.
    InputError
        If one of the two has no estimate, the classes differ, or the intervals have different levels.
    """
    one, two = _content(before), _content(after)
    names = _names(one, two)
    for name, content in zip(names, (one, two), strict=True):
        if not content.learned:
            raise InputError(
                f"the diagnosis of {name} has no estimate, since its models learned nothing. Diagnose more "
                "of its "
                "examples."
            )
    _check_classes(names, one.classes, two.classes)
    if one.level != two.level:
        raise InputError(
            f"the intervals of {names[0]} hold with {one.level:g}, those of {names[1]} with {two.level:g}; "
            "they must be "
            "of one level. Diagnose both with the same version."
        )
    rates = one.noise_rate.to_estimate(), two.noise_rate.to_estimate()
    rows = {row.name: row for row in two.per_class}
    per_class = pd.DataFrame(
        _compare_class(row, rows[row.name], one.level, len(one.classes))
        for row in one.per_class
        if row.name in rows
    )
    return Comparison(
        names, *rates, subtract(rates[1], rates[0]), per_class, one.level, tuple(_caveats(names, one, two))
    )


def subtract(first: Estimate, second: Estimate, widening: float = 1.0) -> Estimate:
    """Return the difference of two independent estimates with its interval (MOVER).

    Parameters
    ----------
    first, second
        The estimates.
    widening
        Factor of the distances between the bounds and the difference.
    """
    difference = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(
        difference, max(-1.0, difference - widening * below), min(1.0, difference + widening * above)
    )


def _compare_class(before: ClassRow, after: ClassRow, level: float, n_classes: int) -> dict[str, Any]:
    """Return the row of a class; its interval holds for all classes at once."""
    rates = [
        Estimate(*(math.nan if bound is None else bound for bound in (row.noise_rate, row.low, row.high)))
        for row in (before, after)
    ]
    tail = (1 - level) / 2
    difference = subtract(rates[1], rates[0], float(ndtri(tail / n_classes) / ndtri(tail)))
    return {
        "class": before.name,
        "before": rates[0].value,
        "after": rates[1].value,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "verdict": _verdict(difference),
    }


def _verdict(difference: Estimate) -> Verdict:
    if difference.low > 0:
        return "noisier"
    return "less noisy" if difference.high < 0 else "undecided"


def _content(diagnosis: Diagnosis | Mapping[str, Any] | str | Path) -> DiagnosisFile:
    if isinstance(diagnosis, str | Path):
        return read_diagnosis_file(Path(diagnosis))
    content = diagnosis if isinstance(diagnosis, Mapping) else diagnosis.to_dict()
    try:
        return check_diagnosis(content)
    except ValueError as error:
        raise InputError(
            "the content of a diagnosis is not that of diagnosis.json in this version. Run diagnose again."
        ) from error


def _names(one: DiagnosisFile, two: DiagnosisFile) -> tuple[str, str]:
    """Return the names of the data without their options, or which is which where they are equal."""
    first, second = (one_line(content.name.partition("#")[0], _MAX_NAME) for content in (one, two))
    if first == second:
        return f"{first} (the first)", f"{second} (the second)"
    return first, second


def _check_classes(names: tuple[str, str], first: list[str], second: list[str]) -> None:
    for one, other, name, missing in (
        (first, second, names[0], names[1]),
        (second, first, names[1], names[0]),
    ):
        extra = [label for label in one if label not in set(other)]
        if extra:
            count = "1 class" if len(extra) == 1 else f"{len(extra):,} classes"
            raise InputError(
                f"{name} has {count} that {missing} lacks, the first is {short_repr(extra[0])}; noise rates "
                "are "
                "compared over the same classes. Diagnose both without the examples of such classes."
            )


def _caveats(names: tuple[str, str], one: DiagnosisFile, two: DiagnosisFile) -> list[str]:
    sentences = [
        f"The estimate of {name} is an upper bound, so the difference may be that of the models' errors."
        for name, content in zip(names, (one, two), strict=True)
        if content.is_upper_bound
    ]
    if one.model != two.model:
        models = " and ".join(one_line(content.model, _MAX_NAME) for content in (one, two))
        sentences.append(f"The models differ, {models}: errors that count as noise may differ as well.")
    if (one.n_labels, one.noise_rate) == (two.n_labels, two.noise_rate):
        sentences.append("Both may be of the same examples; the interval holds for different ones.")
    return sentences
