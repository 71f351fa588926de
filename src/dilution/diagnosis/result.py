"""What a diagnosis says, as objects with data frames."""

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from dilution.diagnosis.bootstrap import Estimate, interval
from dilution.diagnosis.class_similarity import NoiseOrder
from dilution.diagnosis.cross_validation import HeldOut
from dilution.diagnosis.noise_fit import Ints, Mixture
from dilution.diagnosis.noise_pattern import Shape
from dilution.noise import equivalent_alpha

_NAMED = 3  # classes that a sentence names
_FEW = 20  # labels of a class
_TOO_FEW = 60  # examples a class below which no pattern of the noise is spoken of
_LOST = 0.4  # share of the labels of a class below which its examples are taken to be lost to others
_ENOUGH = 200  # examples a class from which networks are taken to have learned what there is
_SMALL = 0.1  # rates below are said with a decimal


@dataclass(frozen=True)
class Diagnosis:
    """How noisy labels are, from the labels alone.

    Parameters
    ----------
    name
        How the data are called.
    classes
        Names of the classes.
    labels
        The noisy labels, int64, shape (n,).
    held_out
        Predictions of networks that did not see them.
    learned
        Whether those networks predict held-out labels better than their frequencies do. Where they do not,
        nothing can be said: labels may be noise alone, or the data may not tell the classes apart.
    found, drawn
        The fit, and its bootstrap draws.
    other
        The fit that takes only the surest examples for clear: what differs between the two is not known.
    shape
        What the noise looks like.
    order
        Whether classes that look alike are named for one another.
    misfit
        p-value of the assumption that noise depends on the class only: small where labels agree with sure
        networks more often, or less, than that allows.
    checked, checked_wrong
        Examples whose right label was given; the share of wrong labels among these with Wilson's 95 %
        interval.
    suspects
        One row an example, the most suspect first; see :func:`dilution.diagnosis.label_issues.suspects`.
    counted
        The noise rate counted against right labels, where the data have them for all examples, else NaN.
    """

    name: str
    classes: tuple[str, ...]
    labels: Ints
    held_out: HeldOut
    learned: bool
    found: Mixture
    drawn: list[Mixture]
    other: Mixture
    shape: Shape
    order: NoiseOrder
    misfit: float
    checked: int
    checked_wrong: tuple[float, float, float]
    suspects: pd.DataFrame
    counted: float = math.nan

    @cached_property
    def rate(self) -> Estimate:
        """The noise rate η: the share of wrong labels, with a 95 % interval.

        Where nothing was learned it is anything up to the rate of labels that say nothing.
        """
        if not self.learned:
            return Estimate(math.nan, 0.0, 1 - 1 / len(self.classes))
        found = interval(self.found, self.drawn, lambda each: each.rate, self.other)
        unseen = 1 - 0.025 ** (1 / len(self.labels))  # of which so many labels may well show none
        return replace(found, high=max(found.high, unseen))

    @property
    def alpha(self) -> Estimate:
        """The noise level α at which uniform noise has this rate; infinite where none does."""
        rate, classes = self.rate, len(self.classes)
        return Estimate(*(equivalent_alpha(each, classes) for each in (rate.value, rate.low, rate.high)))

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """One row a class.

        Columns ``class``, ``labels`` (how many carry it), ``share`` (of the examples whose true class it is);
        ``wrong``, ``low``, ``high``: the share of wrong labels among those examples, with a 95 % interval;
        ``wrong_label``, ``wrong_label_low``, ``wrong_label_high``: among the labels that name it.
        """
        rows = []
        for number, name in enumerate(self.classes):
            true = interval(self.found, self.drawn, partial(_wrong, number=number), self.other)
            named = interval(self.found, self.drawn, partial(_wrong_label, number=number), self.other)
            rows.append(
                {
                    "class": name,
                    "labels": int((self.labels == number).sum()),
                    "share": float(self.found.prior[number]),
                    "wrong": true.value,
                    "low": true.low,
                    "high": true.high,
                    "wrong_label": named.value,
                    "wrong_label_low": named.low,
                    "wrong_label_high": named.high,
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """T[true, noisy], one row an entry: ``true``, ``noisy``, ``share``, ``low``, ``high`` (95 %)."""
        stack = np.stack([each.matrix for each in self.drawn])
        low, high = np.quantile(stack, [0.025, 0.975], axis=0)
        found = self.found.matrix
        apart = np.abs(self.other.matrix - found)
        low, high = np.clip(low - apart, 0, 1), np.clip(high + apart, 0, 1)
        return pd.DataFrame(
            {
                "true": np.repeat(self.classes, len(self.classes)),
                "noisy": np.tile(self.classes, len(self.classes)),
                "share": found.ravel(),
                "low": np.minimum(low, found).ravel(),
                "high": np.maximum(high, found).ravel(),
            }
        )

    @property
    def known_too_few(self) -> bool:
        """Whether there are so few examples of a class that an estimate is an upper bound at best."""
        return len(self.labels) < _TOO_FEW * len(self.classes)

    @property
    def answer(self) -> str:
        """The answer in one plain sentence."""
        n = len(self.labels)
        if not self.learned:
            return (
                f"These {n:,} labels cannot be judged: networks trained on them predict held-out labels no "
                "better than the frequencies of the labels do. Either nearly all labels are wrong, or these "
                "data do not tell the classes apart, or there are too few of them."
            )
        rate = self.rate
        if self.known_too_few:
            return (
                f"At most about {rate.high:.0%} of the {n:,} labels are wrong, as far as so few can tell: "
                f"with {n // len(self.classes)} examples a class networks confuse classes by themselves, "
                "and that cannot be told from wrong labels."
            )
        digits = 0 if rate.value >= _SMALL else 1
        said = (
            f"About {rate.value:.{digits}%} of the {n:,} labels are wrong (95 % interval "
            f"{rate.low:.{digits}%} to {rate.high:.{digits}%})"
        )
        looks = _LOOKS[self.shape.kind]
        if self.shape.kind == "undecided" and len(self.classes) > 2:
            looks = "hardly any are, so there is no pattern to speak of"
        return f"{said}; {looks}."

    @property
    def cautions(self) -> list[str]:
        """What a reader must know before relying on the answer, one sentence each."""
        said = []
        if self.learned and self.rate.high - self.rate.low > 0.2:
            said.append(
                "The interval is wide: these data allow little. More examples, or some whose right label "
                "somebody has checked, would narrow it."
            )
        each = len(self.labels) // len(self.classes)
        lost = self.per_class[self.per_class["share"] * len(self.labels) < _LOST * self.per_class["labels"]]
        if self.learned and len(lost):
            listed = ", ".join(lost["class"].head(_NAMED)) + (" and others" if len(lost) > _NAMED else "")
            said.append(
                f"Networks hardly see {listed}: most examples that are labelled so are taken for other "
                "classes. Either nearly all of these labels are wrong, or the networks cannot tell the "
                "class; what is said of it, and of its suspects, is not to be relied on."
            )
        if self.learned and each < _ENOUGH and not self.known_too_few:
            said.append(
                f"With {each} examples a class networks learn little. What they cannot tell apart counts as "
                "wrong labels, so the estimate is rather too high, and its interval does not show it."
            )
        if self.learned and self.misfit < 0.001:
            said.append(
                "The noise does not depend on the class alone: labels of easy examples and of hard ones are "
                "wrong at different rates. The estimate is a mean over both and may be off by more than its "
                "interval says."
            )
        if self.learned and not self.checked and self.rate.high > 0.5:
            said.append(
                "Where most labels are wrong, labels alone cannot prove which name belongs to which class: "
                "the commonest label of a class is taken to be the right one. A few checked examples would "
                "prove it."
            )
        counts = np.bincount(self.labels, minlength=len(self.classes))
        few = [name for name, count in zip(self.classes, counts, strict=True) if count < _FEW]
        if few:
            listed = ", ".join(few[:_NAMED]) + (f" and {len(few) - _NAMED} more" if len(few) > _NAMED else "")
            said.append(
                f"Fewer than {_FEW} labels name {listed}; what is said of so few is hardly more than a guess."
            )
        return said


_LOOKS = {
    "uniform": "they are spread evenly over the wrong classes, as far as can be told",
    "structured": "some wrong classes are named more often than others",
    "concentrated": "most of a class's wrong labels name one other class",
    "undecided": "with two classes there is no pattern to speak of",
}


def _wrong(found: Mixture, number: int) -> float:
    """Return the share of wrong labels among the examples of a class."""
    return 1 - float(found.matrix[number, number])


def _wrong_label(found: Mixture, number: int) -> float:
    """Return the share of the labels of a class that are wrong."""
    named = found.prior * found.matrix[:, number]
    return float(1 - named[number] / named.sum()) if named.sum() > 0 else math.nan
