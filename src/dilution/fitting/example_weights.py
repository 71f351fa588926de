"""Weights of the examples of a fit: those of the user, and 0 where a label was found wrong."""

import numpy as np
from numpy.typing import ArrayLike

from dilution.data import UnsplitData
from dilution.data.label_weights import WEIGHT_COLUMN
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.errors import InputError
from dilution.fitting.learners import Floats, Ints

ALREADY_WEIGHTED = f"the column {WEIGHT_COLUMN} weights wrong labels already"
"""Why no other method than plain is tried where the data bring weights."""


def weigh_examples(
    sample_weight: ArrayLike | None, examples: UnsplitData, verified: Ints
) -> tuple[Floats, tuple[str, ...]]:
    """Return the weight of each example, float64, shape (n,), and notes on what is not learned.

    Parameters
    ----------
    sample_weight
        As for :func:`dilution.fit`. None: the weights that the examples bring.
    examples
        The examples.
    verified
        Verified class of each, ``WRONG_CLASS_UNKNOWN`` or −1; int64, shape (n,).

    Raises
    ------
    InputError
        If the weights have another shape, or one is negative or not finite, or all are 0.
    """
    notes: tuple[str, ...] = ()
    if examples.weights is not None and sample_weight is not None:
        notes = (f"sample_weight is used in place of the column {WEIGHT_COLUMN}",)
    weights = _given_weights(examples.weights if sample_weight is None else sample_weight, examples)
    is_wrong = verified == WRONG_CLASS_UNKNOWN
    if not is_wrong.any():
        return weights, notes
    if not weights[~is_wrong].any():
        raise InputError(
            "all examples have weight 0 or a label that was found wrong without another class; nothing is "
            "left to learn. Name classes of these labels, or give other weights."
        )
    count = int(is_wrong.sum())
    subject = "1 example is" if count == 1 else f"{count:,} examples are"
    note = f"{subject} not learned: the label was found wrong without another class"
    return np.where(is_wrong, 0.0, weights), (*notes, note)


def _given_weights(sample_weight: ArrayLike | None, examples: UnsplitData) -> Floats:
    """Return the weight of each example, without verified labels."""
    n = len(examples.arrays)
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 1 and len(weights) != n and len(weights) > examples.positions[-1]:
        weights = weights[examples.positions]
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        source = "sample_weight" if examples.weights is not sample_weight else f"column {WEIGHT_COLUMN!r}"
        raise InputError(
            f"{source} has shape {np.shape(sample_weight)}; it must be one finite number ≥ 0 per "
            f"example, ({n},), not all 0. Check that it comes from the same rows."
        )
    return weights
