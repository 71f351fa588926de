"""The result of a diagnosis: numbers with intervals, data frames, and the answer in sentences."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from dilution.diagnosis import explain
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import LEVEL, interval
from dilution.diagnosis.class_similarity import SimilarityTest
from dilution.diagnosis.copies import NO_COPIES, CopyEvidence
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.noise_pattern import NoisePattern
from dilution.noise import equivalent_alpha
from dilution.report.json_file import SCHEMA_VERSION, plain
from dilution.report.notebook import notebook_html
from dilution.utils.estimate import Estimate, central_interval

_MIN_PER_CLASS = (
    60  # examples, or groups of them, per class below which the models' own errors look like label noise
)


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """How noisy labels are, estimated from the labels alone.

    Parameters
    ----------
    name
        Name of the data.
    classes
        Names of the classes.
    labels
        The noisy labels, int64, shape (n,).
    cross_validation
        Predictions of models that did not see these labels.
    learned
        Whether those models predict held-out labels better than the label frequencies do. If not,
        nothing can be estimated: the labels may be noise alone, or the data may not separate the
        classes.
    fit, bootstrap_fits
        The noise fit, and the fits to its bootstrap samples.
    alternative_fit
        The fit whose anchors are only the clearest examples: intervals are widened by its difference.
    noise_pattern
        How wrong labels are spread over the wrong classes.
    class_similarity
        Whether wrong labels favour similar classes.
    class_conditional_p_value
        p-value of the assumption that noise depends on the class alone.
    n_verified
        Number of verified labels.
    verified_noise_rate
        Share of wrong labels among the verified ones, with Wilson's 95 % interval, at the effective number of
        labels where several are of one group.
    label_issues
        One row per example, sorted by the probability that its label is wrong; see
        :func:`dilution.diagnosis.label_issues.rank_label_issues`.
    true_noise_rate
        Share of wrong labels counted against true labels, if the data have them; otherwise NaN.
    n_groups
        Number of groups, whose examples share a fold; copies are a group. Default: one per label.
    groups_per_class
        Number of groups that have each label, int64, shape (classes,). Default: each label is a group.
    copies
        What the labels of copies say about the noise.
    n_verified_groups
        Number of groups of the verified examples. Default: each example is a group.
    notes
        What was left out, merged, converted or guessed when the data were read, one sentence each.
    """

    name: str
    classes: tuple[str, ...]
    labels: Ints
    cross_validation: CrossValidation
    learned: bool
    fit: NoiseFit
    bootstrap_fits: list[NoiseFit]
    alternative_fit: NoiseFit
    noise_pattern: NoisePattern
    class_similarity: SimilarityTest
    class_conditional_p_value: float
    n_verified: int
    verified_noise_rate: Estimate
    label_issues: pd.DataFrame
    true_noise_rate: float = math.nan
    n_groups: int | None = None
    groups_per_class: Ints | None = None
    copies: CopyEvidence = NO_COPIES
    n_verified_groups: int | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the answer."""
        return f"Diagnosis of {self.name}: {self.answer}"

    def _repr_html_(self) -> str:
        """Return the answer and the classes for a notebook."""
        return notebook_html(repr(self), self.per_class if self.learned else None)

    @cached_property
    def noise_rate(self) -> Estimate:
        """The noise rate η, the share of wrong labels, with a 95 % interval.

        If nothing was learned the value is NaN, and the interval goes up to the rate of labels that
        carry no information.
        """
        if not self.learned:
            return Estimate(math.nan, 0.0, 1 - 1 / len(self.classes))
        rate = interval(self.fit, self.bootstrap_fits, lambda sample: sample.noise_rate, self.alternative_fit)
        # At this rate so many labels may show no error.
        invisible = 1 - ((1 - LEVEL) / 2) ** (1 / self.n_independent)
        return replace(rate, high=max(rate.high, invisible))

    @property
    def n_independent(self) -> int:
        """Number of groups of examples, or of labels where each example is a group."""
        return len(self.labels) if self.n_groups is None else self.n_groups

    @property
    def n_independent_per_class(self) -> Ints:
        """The same per class, int64, shape (classes,)."""
        if self.groups_per_class is not None:
            return self.groups_per_class
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def verified_contradict(self) -> bool:
        """Whether verified labels agree with the labels less often than labels drawn at random would."""
        return bool(self.verified_noise_rate.low > 1 - 1 / len(self.classes))

    @property
    def n_distinct(self) -> int:
        """Number of examples without copies."""
        return len(self.labels) - self.copies.n_copies

    @property
    def alpha(self) -> Estimate:
        """The noise level α at which uniform noise has this noise rate; infinite where none does."""
        rate, classes = self.noise_rate, len(self.classes)
        return Estimate(*(equivalent_alpha(bound, classes) for bound in (rate.value, rate.low, rate.high)))

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """One row per class.

        Columns ``class``; ``n_labels`` (examples with this label); ``share`` (of the examples that
        truly are of this class); ``noise_rate``, ``low``, ``high`` (share of wrong labels among the
        examples of this class, with a 95 % interval); ``label_noise_rate``, ``label_low``,
        ``label_high`` (the same among the examples with this label).
        """
        rows = []
        for number, name in enumerate(self.classes):
            by_class = self._interval(partial(_noise_rate_of_class, number=number))
            by_label = self._interval(partial(_noise_rate_of_label, number=number))
            rows.append(
                {
                    "class": name,
                    "n_labels": int((self.labels == number).sum()),
                    "share": float(self.fit.prior[number]),
                    "noise_rate": by_class.value,
                    "low": by_class.low,
                    "high": by_class.high,
                    "label_noise_rate": by_label.value,
                    "label_low": by_label.low,
                    "label_high": by_label.high,
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def transition(self) -> pd.DataFrame:
        """The transition matrix T[true, noisy], one row per entry.

        Columns ``true``, ``noisy``, ``probability``, ``low``, ``high`` (95 % interval).
        """
        samples = np.stack([sample.transition for sample in self.bootstrap_fits])
        low, high = central_interval(samples, LEVEL)
        matrix = self.fit.transition
        difference = np.abs(self.alternative_fit.transition - matrix)
        low, high = np.clip(low - difference, 0, 1), np.clip(high + difference, 0, 1)
        return pd.DataFrame(
            {
                "true": np.repeat(self.classes, len(self.classes)),
                "noisy": np.tile(self.classes, len(self.classes)),
                "probability": matrix.ravel(),
                "low": np.minimum(low, matrix).ravel(),
                "high": np.maximum(high, matrix).ravel(),
            }
        )

    @property
    def is_upper_bound(self) -> bool:
        """Whether there are so few examples, or groups, per class that the estimate is an upper bound."""
        return self.n_independent < _MIN_PER_CLASS * len(self.classes)

    @property
    def answer(self) -> str:
        """The answer in one sentence."""
        return explain.answer(self)

    @property
    def details(self) -> list[str]:
        """Further results, one sentence each; if nothing was learned, those that need no model."""
        return explain.details(self)

    @property
    def caveats(self) -> list[str]:
        """What to know before relying on the answer, one sentence or two each."""
        return explain.caveats(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``diagnosis.json``: all numbers, sentences and notes, in the types of JSON.

        A number that was not estimated, or is infinite, is None. Without a model that learned
        anything there are no tests and no classes.
        """
        tests = {
            "noise_pattern": {**vars(self.noise_pattern), "delta": self.noise_pattern.delta.to_dict()},
            "class_similarity": {
                **vars(self.class_similarity),
                "correlation": self.class_similarity.correlation.to_dict(),
            },
            "class_conditional_p_value": self.class_conditional_p_value,
        }
        content = {
            "schema_version": SCHEMA_VERSION,
            "kind": "diagnosis",
            "name": self.name,
            "answer": self.answer,
            "details": self.details,
            "caveats": self.caveats,
            "notes": self.notes,
            "n_labels": len(self.labels),
            "classes": self.classes,
            "model": self.cross_validation.model,
            "learned": self.learned,
            "is_upper_bound": self.is_upper_bound,
            "level": LEVEL,
            "noise_rate": self.noise_rate.to_dict(),
            "alpha": self.alpha.to_dict(),
            **(tests if self.learned else dict.fromkeys(tests)),
            "n_verified": self.n_verified,
            "n_verified_groups": self.n_verified
            if self.n_verified_groups is None
            else self.n_verified_groups,
            "verified_noise_rate": self.verified_noise_rate.to_dict(),
            "true_noise_rate": self.true_noise_rate,
            "n_groups": self.n_independent,
            "copies": {
                **vars(self.copies),
                "disagreement": self.copies.disagreement.to_dict(),
                "noise_rate": self.copies.noise_rate.to_dict(),
            },
            "per_class": self.per_class if self.learned else [],
        }
        converted: dict[str, Any] = plain(content)
        return converted

    def _interval(self, measure: Callable[[NoiseFit], float]) -> Estimate:
        return interval(self.fit, self.bootstrap_fits, measure, self.alternative_fit)


def _noise_rate_of_class(fit: NoiseFit, number: int) -> float:
    """Return the share of wrong labels among the examples of a class."""
    return 1 - float(fit.transition[number, number])


def _noise_rate_of_label(fit: NoiseFit, number: int) -> float:
    """Return the share of the labels of a class that are wrong."""
    labelled = fit.prior * fit.transition[:, number]
    return float(1 - labelled[number] / labelled.sum()) if labelled.sum() > 0 else math.nan
