"""The result of a diagnosis: numbers with intervals, data frames, and the answer in sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from dilution.diagnosis import explain
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import LEVEL, interval, intervals
from dilution.diagnosis.class_overlap import LARGE
from dilution.diagnosis.class_similarity import SimilarityTest
from dilution.diagnosis.clean_labels import CleanLabels, clean_labels
from dilution.diagnosis.copies import NO_COPIES, CopyEvidence
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.diagnosis.label_issues import unverified_issues
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.noise_pattern import NoisePattern
from dilution.diagnosis.origin import Origin
from dilution.diagnosis.pooled_fit import PooledFit
from dilution.diagnosis.reviewer_columns import ReviewerColumns
from dilution.diagnosis.transition_table import transition_table
from dilution.noise import equivalent_alpha
from dilution.report.json_file import SCHEMA_VERSION, plain
from dilution.report.notebook import notebook_html
from dilution.utils.estimate import Estimate

MIN_PER_CLASS = 60
"""Examples, or groups of them, per class below which the models' own errors look like label noise."""
MIN_PER_CLASS_WITH_FEATURES = 20
"""The same for features of a network that was trained on other images, which are clear from few examples."""
MIN_PHOTOGRAPHS_PER_CLASS = 200
"""The same for photographs whose pixels models learn from scratch, which takes many of them."""
_SUSPICIOUS = 1e-3  # p-value below which verified examples were not drawn at random


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
    n_doubted, n_verified_doubted
        Number of examples, and of verified ones, whose label is not the held-out prediction.
    n_verified_as_predicted
        Number of verified labels that are the held-out prediction, or are known to be wrong where the given
        label is not that prediction.
    notes
        What was left out, merged, converted or guessed when the data were read, one sentence each.
    origin
        What the user gave, to show its columns and to clean it. None: it is not known.
    reviewer_columns
        Further columns of the file of verified labels, which the label issues have too.
    min_per_class
        Examples, or groups of them, per class below which the estimate is an upper bound.
    excess
        By how much the noise fit overestimates the noise rate, because the models confuse classes, with its
        standard deviation on both sides; measured with planted noise. None: it was not measured.
    overlap
        By how much the noise rate may be overestimated because classes of a table overlap in its features.
    """

    name: str
    classes: tuple[str, ...]
    labels: Ints
    cross_validation: CrossValidation
    learned: bool
    fit: NoiseFit | PooledFit
    bootstrap_fits: Sequence[NoiseFit | PooledFit]
    alternative_fit: NoiseFit | PooledFit
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
    n_doubted: int = 0
    n_verified_doubted: int = 0
    n_verified_as_predicted: int = 0
    notes: tuple[str, ...] = ()
    origin: Origin | None = None
    reviewer_columns: ReviewerColumns | None = None
    min_per_class: int = MIN_PER_CLASS
    excess: Estimate | None = None
    overlap: float = 0.0

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
        carry no information. Where the excess of the fit was measured it is subtracted; the interval reaches
        up to the bound without it. The lower bound allows for an overlap of classes in a table, and where
        few photographs were learned from pixels it is 0.
        """
        if not self.learned:
            return Estimate(math.nan, 0.0, 1 - 1 / len(self.classes))
        rate = interval(self.fit, self.bootstrap_fits, lambda sample: sample.noise_rate, self.alternative_fit)
        if self.excess is not None:
            rate = _without_excess(rate, self.excess)
        if self.overlap:
            below = math.hypot(rate.value - rate.low, self.overlap)
            rate = replace(rate, low=max(0.0, rate.value - below))
        if self.confuses_photographs:
            rate = replace(rate, low=0.0)
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
        """Whether verified labels agree with neither labels nor models more often than random ones would.

        Verified labels of the most suspicious examples differ from the labels too, but agree with the models.
        """
        from scipy.stats import binomtest  # lazily: it takes a while to import

        chance = 1 / len(self.classes)
        if not self.verified_noise_rate.low > 1 - chance:
            return False
        agreement = binomtest(self.n_verified_as_predicted, self.n_verified)
        return bool(agreement.proportion_ci(LEVEL, method="wilson").low <= chance)

    @property
    def verified_are_suspicious(self) -> bool:
        """Whether models doubt verified examples more often than others: they were not drawn at random."""
        from scipy.stats import fisher_exact  # lazily: it takes a while to import

        n = len(self.cross_validation.pred_probs)
        others = n - self.n_verified, self.n_doubted - self.n_verified_doubted
        if not self.n_verified or not others[0]:
            return False
        table = np.array(
            [
                [self.n_verified_doubted, self.n_verified - self.n_verified_doubted],
                [others[1], others[0] - others[1]],
            ]
        )
        return bool(fisher_exact(table, alternative="greater").pvalue < _SUSPICIOUS)

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
        fits = self.fit, self.bootstrap_fits
        rate, low, high = intervals(*fits, lambda fit: fit.class_noise_rates, self.alternative_fit)
        of_label = intervals(*fits, lambda fit: fit.label_noise_rates, self.alternative_fit)
        return pd.DataFrame(
            {
                "class": self.classes,
                "n_labels": np.bincount(self.labels, minlength=len(self.classes)),
                "share": self.fit.prior,
                "noise_rate": rate,
                "low": low,
                "high": high,
                "label_noise_rate": of_label[0],
                "label_low": of_label[1],
                "label_high": of_label[2],
            }
        )

    @cached_property
    def transition(self) -> pd.DataFrame:
        """The transition matrix T[true, noisy], one row per entry; beyond 100 classes those that matter.

        Columns ``true``, ``noisy``, ``probability``, ``low``, ``high`` (95 % interval).
        """
        return transition_table(self.classes, self.fit, self.bootstrap_fits, self.alternative_fit)

    @property
    def is_upper_bound(self) -> bool:
        """Whether the estimate is an upper bound: with few examples per class, or classes that overlap."""
        return self.has_few_examples or self.classes_overlap

    @property
    def has_few_examples(self) -> bool:
        """Whether there are so few examples, or groups, per class that models confuse classes."""
        return self.n_independent < self.min_per_class * len(self.classes)

    @property
    def confuses_photographs(self) -> bool:
        """Whether models learned pixels of so few photographs that their errors cannot be told from noise."""
        return self.has_few_examples and self.min_per_class == MIN_PHOTOGRAPHS_PER_CLASS

    @property
    def classes_overlap(self) -> bool:
        """Whether the classes of a table overlap so much in its features that it looks like label noise."""
        return self.overlap >= LARGE

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

    def clean(self, policy: str = "drop", confidence: float | None = None) -> CleanLabels:
        """Return the labels after cleaning: label issues dropped, relabelled or weighted.

        Verified labels are always applied: they replace the given ones, and have weight 1.

        Parameters
        ----------
        policy
            ``"drop"`` leaves out examples whose label is wrong with a probability above `confidence`.
            ``"relabel"`` gives them the suggested label, if that is right with a probability above
            `confidence` too. ``"weight"`` weights them by 1 − `p_wrong`.
        confidence
            The probability, in [0, 1). Default: 0.7; 0 for ``"weight"``, so that each label has its weight.

        Raises
        ------
        InputError
            If the policy does not exist, the confidence is outside [0, 1), or weights are to be written into
            a DataFrame with a column ``label_weight``.
        DataError
            If the data are a file that has changed.
        """
        clean = clean_labels(self, policy, confidence)
        return clean if self.origin is None else self.origin.with_table(clean)

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
            "excess": None if self.excess is None else self.excess.to_dict(),
            "overlap": self.overlap,
            "min_per_class": self.min_per_class,
            "n_issues": len(unverified_issues(self.label_issues)) if self.learned else None,
            "cleaning": None,
        }
        converted: dict[str, Any] = plain(content)
        return converted


def _without_excess(rate: Estimate, excess: Estimate) -> Estimate:
    """Return a noise rate without the excess of the fit; its spread widens the interval downwards.

    The upper bound stays, since the excess is an estimate itself.
    """
    below = math.hypot(rate.value - rate.low, excess.high - excess.value)
    value = min(1.0, max(0.0, rate.value - excess.value))
    return Estimate(value, min(max(0.0, rate.value - excess.value - below), value), max(rate.high, value))
