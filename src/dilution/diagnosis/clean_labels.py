"""Clean labels: label issues dropped, relabelled or weighted, and verified labels applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from dilution.data.label_weights import WEIGHT_COLUMN
from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.label_issues import VERDICT, VERIFIED_CORRECT, VERIFIED_WRONG
from dilution.errors import InputError, short_repr, unknown
from dilution.utils.finite_numbers import is_finite_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dilution.diagnosis.result import Diagnosis

Policy = Literal["drop", "relabel", "weight"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
DEFAULT_CONFIDENCE: dict[Policy, float] = {"drop": 0.7, "relabel": 0.7, "weight": 0.0}
"""Probability above which a policy changes a label, unless the user names another one."""

_UNSURE = "unsure"
_NAMES = 3  # classes in a sentence
_CONFIDENCES = (0.6, 0.5)  # to propose; where all are too high, the highest one of two digits
_ROUNDING = 1e-6  # so that a limit of two digits is not its own confidence
_REPLACED, _DROPPED, _RELABELLED, _WEIGHTED = "verified", "dropped", "relabelled", "weighted"


@dataclass(frozen=True, repr=False)
class CleanLabels:
    """Labels of a diagnosis after cleaning, in the order of the user's examples.

    Parameters
    ----------
    policy, confidence
        As of :meth:`Diagnosis.clean`.
    classes
        Names of the classes.
    positions
        Position of each example in what the user gave, from 0: int64, shape (n,).
    given
        Given class of each example, int64, shape (n,).
    labels
        Class of each example after cleaning, int64, shape (n,); of those that are not kept, the given one.
    weights
        Training weight of each example, float64, shape (n,), in [0, 1]: 0 where it is not kept, 1 where the
        label is verified, and with the policy ``"weight"`` 1 − `p_wrong` where that is above `confidence`.
    keep
        Whether each example is kept, bool, shape (n,).
    changes
        One row per label that was changed or looked up: ``index``, ``id``, ``given_label``, ``new_label``
        (empty if the example is dropped), ``action`` (``"verified"``, ``"dropped"``, ``"relabelled"`` or
        ``"weighted"``), ``weight``, ``p_wrong``, ``p_suggested`` and ``reason``.
    sentences
        What was changed, one sentence each.
    table
        The cleaned DataFrame, if the data were one.
    """

    policy: Policy
    confidence: float
    classes: tuple[str, ...]
    positions: Ints
    given: Ints
    labels: Ints
    weights: Floats
    keep: NDArray[np.bool_]
    changes: pd.DataFrame
    sentences: tuple[str, ...]
    table: pd.DataFrame | None = None

    def __repr__(self) -> str:
        return f"CleanLabels({self.sentences[0]})"

    @property
    def has_weights(self) -> bool:
        """Whether the cleaned data have a column of weights."""
        return self.policy == "weight"

    def to_dict(self) -> dict[str, Any]:
        """Return policy, counts and sentences, in the types of JSON."""
        counts = self.changes["action"].value_counts()
        return {
            "policy": self.policy,
            "confidence": self.confidence,
            "n_kept": int(self.keep.sum()),
            **{f"n_{action}": int(counts.get(action, 0)) for action in _ACTIONS},
            "sentences": list(self.sentences),
        }


_ACTIONS = (_REPLACED, _DROPPED, _RELABELLED, _WEIGHTED)


def check_policy(policy: str, confidence: float | None) -> tuple[Policy, float]:
    """Return a policy and its confidence.

    Raises
    ------
    InputError
        If the policy does not exist, or the confidence is outside [0, 1).
    """
    known = {name: name for name in POLICIES}
    if policy not in known:
        raise unknown("policy of cleaning", policy, POLICIES)
    checked = known[policy]
    value = DEFAULT_CONFIDENCE[checked] if confidence is None else confidence
    if not is_finite_number(value) or not 0 <= value < 1:
        raise InputError(
            f"confidence is {short_repr(confidence)}; it is a probability in [0, 1), and a label is changed "
            "if it is wrong with a higher one. Give 0.9 for labels that are wrong with more than 90 %."
        )
    return checked, float(value)


def clean_labels(diagnosis: Diagnosis, policy: str, confidence: float | None) -> CleanLabels:
    """Return the labels of a diagnosis after cleaning; parameters are those of :meth:`Diagnosis.clean`."""
    policy, confidence = check_policy(policy, confidence)
    issues = diagnosis.label_issues.sort_values("index", ignore_index=True)
    number_of = {name: number for number, name in enumerate(diagnosis.classes)}
    given, suggested = (
        issues[column].map(number_of).to_numpy(dtype=np.int64)
        for column in ("given_label", "suggested_label")
    )
    p_wrong = issues["p_wrong"].to_numpy(dtype=np.float64)
    p_suggested = issues["p_suggested"].to_numpy(dtype=np.float64)
    state = issues["state"].to_numpy(dtype=object)
    is_named = issues["verified_label"].to_numpy(dtype=object) != ""
    is_wrong, is_verified = state == VERIFIED_WRONG, state != ""
    is_lost = is_wrong & ~is_named  # no label is left
    is_wrong = is_wrong & is_named
    is_unsure = _is_unsure(issues)
    knows_wrong = diagnosis.learned and not diagnosis.confuses_photographs
    doubtful = (p_wrong > confidence) & ~is_verified & knows_wrong
    actions = np.where(is_verified, _REPLACED, "").astype(object)
    keep, labels, weights = np.ones(len(given), dtype=bool), given.copy(), np.ones(len(given))
    labels[is_wrong] = suggested[is_wrong]
    changed = doubtful
    # Confidence from which on each label stays as it is.
    limits = np.where(is_verified, 0.0, p_wrong)
    if policy == "drop":
        keep = ~doubtful
        weights[doubtful] = 0.0
        actions[doubtful] = _DROPPED
    elif policy == "relabel":
        changed = doubtful & (suggested != given) & (p_suggested > confidence) & ~is_unsure
        limits = np.where((suggested != given) & ~is_unsure, np.minimum(limits, p_suggested), 0.0)
        labels[changed] = suggested[changed]
        actions[changed] = _RELABELLED
    else:
        weights[doubtful] = 1 - p_wrong[doubtful]
        actions[doubtful] = _WEIGHTED
    keep, weights = keep & ~is_lost, np.where(is_lost, 0.0, weights)
    actions[is_lost] = _DROPPED
    names = np.array(diagnosis.classes, dtype=object)
    is_changed = actions != ""
    changes = pd.DataFrame(
        {
            "index": issues["index"],
            "id": issues["id"],
            "given_label": names[given],
            "new_label": np.where(keep, names[labels], ""),
            "action": actions,
            "weight": weights,
            "p_wrong": p_wrong,
            "p_suggested": p_suggested,
            "reason": [
                _reason(*values, confidence)
                for values in zip(state, is_named, p_wrong, p_suggested, actions, strict=True)
            ],
        }
    )[is_changed]
    sentences = [_summary(policy, confidence, int(changed.sum()), len(given))]
    if policy == "relabel" and (n_unsure := int((doubtful & is_unsure).sum())):
        subject = "1 label is" if n_unsure == 1 else f"{n_unsure:,} labels are"
        sentences.append(f"{subject} as given because a reviewer could not tell.")
    if policy == "relabel" and (n_left := int((doubtful & ~changed & ~is_unsure).sum())):
        sentences.append(
            f"{'1 further label is' if n_left == 1 else f'{n_left:,} further labels are'} wrong with a "
            "probability "
            f"above {confidence:g}, but no other class is right with one; the given label stays."
        )
    if knows_wrong and not changed.any():
        sentences.append(_lower_confidence(limits, issues["is_issue"].to_numpy(dtype=bool) & ~is_verified))
    sentences += _verified_sentences(
        int((is_verified & ~is_lost).sum()), int(is_wrong.sum()), int(is_lost.sum())
    )
    if policy == "weight":
        sentences.append(
            f"The column {WEIGHT_COLUMN} is a training weight and no feature: fit takes it as one, "
            "and classifiers of scikit-learn take it as sample_weight."
        )
    sentences += _caveats(diagnosis, has_changes=bool(len(changes)))
    lost = [name for number, name in enumerate(diagnosis.classes) if not (keep & (labels == number)).any()]
    if lost:
        more = f" and {len(lost) - _NAMES} more" if len(lost) > _NAMES else ""
        sentences.append(f"No example is left of {', '.join(lost[:_NAMES])}{more}.")
    return CleanLabels(
        policy,
        confidence,
        diagnosis.classes,
        issues["index"].to_numpy(dtype=np.int64),
        given,
        labels,
        weights,
        keep,
        changes.reset_index(drop=True),
        tuple(sentences),
    )


def _verified_sentences(n_named: int, n_wrong: int, n_lost: int) -> list[str]:
    """Return what verified labels did.

    Parameters
    ----------
    n_named
        Number of verified labels with a class.
    n_wrong
        How many of these are another class than the given one.
    n_lost
        Number of labels that were found wrong without another class.
    """
    sentences = []
    if n_named:
        sentences.append(
            f"Of {n_named:,} verified {'label' if n_named == 1 else 'labels'}, {n_wrong:,} "
            f"{'was' if n_wrong == 1 else 'were'} wrong and {'is' if n_wrong == 1 else 'are'} replaced."
        )
    if n_lost:
        subject = "1 label was" if n_lost == 1 else f"{n_lost:,} labels were"
        sentences.append(
            f"{subject} found wrong without another class, so that "
            f"{'its example is' if n_lost == 1 else 'their examples are'} dropped."
        )
    return sentences


def _caveats(diagnosis: Diagnosis, *, has_changes: bool) -> list[str]:
    """Return why labels were left as they are, or their changes may be wrong; at most one sentence."""
    if not diagnosis.learned:
        return ["Nothing could be estimated, so only verified labels are applied."]
    if diagnosis.confuses_photographs:
        return [
            "Models that learned the pixels of so few photographs cannot tell which labels are wrong: only "
            "verified labels are applied. Diagnose with features of a published network, or review the label "
            "issues."
        ]
    if not diagnosis.is_upper_bound or not has_changes:
        return []
    reason = "With so few examples per class" if diagnosis.has_few_examples else "As classes overlap"
    return [f"{reason} the models confuse classes themselves: look at the changes before use."]


def _is_unsure(issues: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether a reviewer has looked at each example and could not tell, bool, shape (n,)."""
    if VERDICT not in issues:
        return np.zeros(len(issues), dtype=bool)
    is_unsure = issues[VERDICT].astype(str).str.strip().str.lower() == _UNSURE
    unsure: NDArray[np.bool_] = (is_unsure & (issues["state"] == "")).to_numpy(dtype=bool)
    return unsure


def _reason(
    state: str, is_named: bool, p_wrong: float, p_suggested: float, action: str, confidence: float
) -> str:
    if state == VERIFIED_CORRECT:
        return "the verified label is the given one"
    if state == VERIFIED_WRONG:
        return (
            "the verified label is another one" if is_named else "the label was found wrong, without another"
        )
    reason = f"p_wrong {p_wrong:.3f} > {confidence:g}"
    return f"{reason}, p_suggested {p_suggested:.3f} > {confidence:g}" if action == _RELABELLED else reason


def _lower_confidence(limits: Floats, is_issue: NDArray[np.bool_]) -> str:
    """Return why a policy changed nothing, and the confidence with which it would change label issues.

    Parameters
    ----------
    limits
        Confidence from which on each label stays as it is, float64, shape (n,).
    is_issue
        Whether each label is a label issue that is not verified, bool, shape (n,).
    """
    largest = float(limits[is_issue].max(initial=0))
    if not largest:
        return "No label is changed: there are no label issues but verified ones."
    two_digits = max(0.0, float(np.floor(100 * largest - _ROUNDING)) / 100)
    lower = next((value for value in _CONFIDENCES if value < largest), two_digits)
    count = int((limits > lower).sum())
    return (
        f"No label is changed, as the confidence is too high: {count:,} would be with a lower one. Give "
        f"--confidence {lower:g} (confidence={lower:g})."
    )


def _summary(policy: Policy, confidence: float, n_changed: int, n: int) -> str:
    """Return what the policy changed in one sentence."""
    start = f"{n_changed:,} of {n:,}"
    reason = f"the label is wrong with a probability above {confidence:g}"
    if policy == "drop":
        return f"{start} examples dropped: {reason}."
    if policy == "relabel":
        return f"{start} labels replaced by the suggested class: {reason}, and the suggested one right."
    others = "" if n_changed == n else " The others have weight 1."
    return f"{start} examples weighted by 1 − p_wrong: {reason}.{others}"
