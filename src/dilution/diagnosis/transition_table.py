"""The transition matrix as a table: all entries, or with many classes the frequent ones."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.bootstrap import LEVEL
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.pooled_fit import PooledFit
from dilution.utils.estimate import central_interval

_LEAST_LISTED = 0.005  # probability of a wrong label from which the table of many classes has it


def transition_table(
    classes: Sequence[str],
    fit: NoiseFit | PooledFit,
    bootstrap_fits: Sequence[NoiseFit | PooledFit],
    alternative: NoiseFit | PooledFit,
) -> pd.DataFrame:
    """Return T[true, noisy], one row per entry, with 95 % intervals.

    Of a pooled fit the table has the right label of each class, and the wrong ones with a probability of
    0.005 or more, but for an even spread.

    Parameters
    ----------
    classes
        Names of the classes.
    fit, bootstrap_fits, alternative
        As for :func:`dilution.diagnosis.bootstrap.interval`.

    Returns
    -------
    DataFrame
        Columns ``true``, ``noisy``, ``probability``, ``low``, ``high``.
    """
    true, noisy = _listed_entries(fit)
    low, high = central_interval(
        np.stack([_entries(sample, true, noisy) for sample in bootstrap_fits]), LEVEL
    )
    values = _entries(fit, true, noisy)
    difference = np.abs(_entries(alternative, true, noisy) - values)
    low, high = np.clip(low - difference, 0, 1), np.clip(high + difference, 0, 1)
    names = np.array(classes, dtype=object)
    return pd.DataFrame(
        {
            "true": names[true],
            "noisy": names[noisy],
            "probability": values,
            "low": np.minimum(low, values),
            "high": np.maximum(high, values),
        }
    )


def _listed_entries(fit: NoiseFit | PooledFit) -> tuple[Ints, Ints]:
    """Return true class and noisy label of the entries that the table has."""
    numbers = np.arange(len(fit.prior))
    if not isinstance(fit, PooledFit):
        return np.repeat(numbers, len(numbers)), np.tile(numbers, len(numbers))
    true, noisy = fit.frequent_entries()
    matters = fit.entry_probs(true, noisy) >= _LEAST_LISTED
    true, noisy = true[matters], noisy[matters]
    true, noisy = np.r_[numbers, true], np.r_[numbers, noisy]
    order = np.lexsort((noisy, true != noisy, true))
    return true[order], noisy[order]


def _entries(fit: NoiseFit | PooledFit, true: Ints, noisy: Ints) -> Floats:
    return fit.entry_probs(true, noisy) if isinstance(fit, PooledFit) else fit.transition[true, noisy]
