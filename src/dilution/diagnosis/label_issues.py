"""Label issues: the labels ranked by the probability that they are wrong, with suggestions."""

import numpy as np
import pandas as pd

from dilution.data import UnsplitData
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.noise_fit import LabelJudgement
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN

COLUMNS = (
    "index", "id", "place", "given_label", "suggested_label", "p_wrong", "p_suggested", "is_issue", "weight",
    "state", "verified_label",
)  # fmt: skip
"""Columns of the label issues; those of the reviewer or the table follow.

``place`` is there only where the ids are the user's own."""

VERIFIED_CORRECT, VERIFIED_WRONG = "verified correct", "verified wrong"
"""States of a label that somebody has looked up; the state of other labels is empty."""

VERDICT = "verdict"
"""Column of a file of verified labels that says ``wrong`` or ``unsure`` where no class is named."""

ISSUE_THRESHOLD = 0.5
"""A label is an issue if it is wrong with a higher probability than this, and another class is suggested."""


def rank_label_issues(
    examples: UnsplitData, labels: Ints, judgement: LabelJudgement, verified: Ints | None = None
) -> pd.DataFrame:
    """Return one row per example, sorted by the probability that its label is wrong, highest first.

    Verified labels follow after all others, the wrong ones first.

    Parameters
    ----------
    examples
        The examples.
    labels
        Noisy labels, int64, shape (n,).
    judgement
        What :func:`dilution.diagnosis.label_judgement.judge_labels` says of them.
    verified
        True classes where somebody has looked them up, ``WRONG_CLASS_UNKNOWN`` where the label is known to be
        wrong, −1 elsewhere; int64, shape (n,). Default: nowhere.

    Returns
    -------
    DataFrame
        Columns ``index`` (position of the example in what the user gave, from 0), ``id`` (the user's id of
        the example, ``"row 17"`` of a table or a path in a folder; otherwise equal to ``index``), ``place``
        (row or path beside ids of the user; no column where there are none),
        ``given_label``, ``suggested_label`` (most probable class given image and label; the verified class
        where there is one), ``p_wrong`` (probability that the given label is wrong; 0 or 1 where it is
        verified), ``p_suggested`` (probability of the suggested label), ``is_issue`` (whether `p_wrong` is
        above ½ and another class is suggested), ``weight`` (1 − `p_wrong`, a training weight of the given
        label), ``state`` (``"verified correct"``, ``"verified wrong"`` or empty) and ``verified_label``
        (empty where there is none, or only known that the label is wrong).
    """
    n, names = len(labels), np.array(examples.arrays.classes, dtype=object)
    p_wrong, suggested, p_suggested = (column.copy() for column in judgement)
    verified = np.full(n, -1) if verified is None else verified
    has_class, is_wrong = verified >= 0, verified == WRONG_CLASS_UNKNOWN
    known = has_class | is_wrong
    suggested[has_class], p_suggested[has_class] = verified[has_class], 1.0
    p_wrong[known] = verified[known] != labels[known]
    p_wrong = p_wrong.clip(0, 1)  # without a zero that rounding made negative
    states = np.where(verified == labels, VERIFIED_CORRECT, VERIFIED_WRONG)
    table = pd.DataFrame(
        {
            "index": examples.positions,
            "id": examples.positions if examples.names is None else list(examples.names),
            "given_label": names[labels],
            "suggested_label": names[suggested],
            "p_wrong": p_wrong,
            "p_suggested": p_suggested,
            "is_issue": (p_wrong > ISSUE_THRESHOLD) & (suggested != labels),
            "weight": 1 - p_wrong,
            "state": np.where(known, states, "").astype(object),
            "verified_label": np.where(has_class, names[suggested], "").astype(object),
        }
    )
    if examples.places is not None:
        table.insert(2, "place", list(examples.places))
    order = np.lexsort((-p_wrong, known))  # stable
    return table.iloc[order].reset_index(drop=True)


def unverified_issues(issues: pd.DataFrame) -> pd.DataFrame:
    """Return the label issues that nobody has looked up, most probably wrong labels first."""
    return issues[issues["is_issue"] & (issues["state"] == "")]
