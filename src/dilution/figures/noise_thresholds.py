"""The noise level at which a network has lost half of its lead over chance."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dilution.data.first_classes import split_classes
from dilution.study.pairs import by_seed
from dilution.study.statistics import best_lr

LEAST_LEAD = 0.05
"""Lead over chance without noise from which on a network counts as having learned."""

CELL = ["classes", "delta"]
"""Columns of a cell: the number of classes and the skew of the noise, 0 for uniform noise."""


def half_lead_alpha(alphas: Sequence[float], accuracy: Sequence[float], chance: float) -> float:
    """Return the noise level from which on a network has less than half of its lead over chance at alpha = 0.

    Between two noise levels accuracy is interpolated linearly in log(1 + α).

    Parameters
    ----------
    alphas
        Noise levels, ascending from 0.
    accuracy
        Test accuracy at each of them, in [0, 1].
    chance
        Accuracy of a guess.

    Returns
    -------
    float
        Infinite if half of the lead is left at the largest noise level; NaN if the lead without noise is
        below :data:`LEAST_LEAD`.
    """
    lead = np.asarray(accuracy, dtype=np.float64) - chance
    if lead[0] < LEAST_LEAD:
        return math.nan
    spare = lead - lead[0] / 2
    last = int(np.flatnonzero(spare >= 0)[-1])
    if last == len(spare) - 1:
        return math.inf
    x = np.log1p(np.asarray(alphas[last : last + 2], dtype=np.float64))
    fraction = spare[last] / (spare[last] - spare[last + 1])
    return float(np.expm1(x[0] + fraction * (x[1] - x[0])))


def runs_by_cell(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best learning rate, with the columns of :data:`CELL`.

    Runs without noisy labels are repeated for each skew.

    Parameters
    ----------
    table
        One row per run.
    """
    counts = [split_classes(str(name))[1] for name in table["dataset"]]
    noisy = table.assign(classes=counts, delta=table["delta"].astype("float64").fillna(0.0))
    is_clean = noisy["alpha"] == 0
    clean = [noisy[is_clean].assign(delta=delta) for delta in noisy["delta"].unique()]
    return best_lr(pd.concat([*clean, noisy[~is_clean]], ignore_index=True), by=[*CELL, "alpha"])


def noise_thresholds(runs: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`half_lead_alpha` of each seed (rows) and cell (columns); chance is 1/K.

    Parameters
    ----------
    runs
        As from :func:`runs_by_cell`, with several noise levels per cell.

    Raises
    ------
    InputError
        If a seed has two runs of one cell and noise level.
    """
    thresholds: dict[tuple[int, float], dict[int, float]] = {}
    for (classes, delta), part in runs.groupby(CELL):
        curves = by_seed(part, "alpha").sort_index(axis=1).dropna()
        thresholds[int(classes), float(delta)] = {
            seed: half_lead_alpha(curves.columns.tolist(), curve.tolist(), 1 / int(classes))
            for seed, curve in curves.iterrows()
        }
    return pd.DataFrame(thresholds).rename_axis(columns=CELL).sort_index()
