"""Label issues: the labels ranked by the probability that they are wrong, with suggestions."""

import numpy as np
import pandas as pd

from dilution.data import UnsplitData
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.noise_fit import NoiseFit


def rank_label_issues(examples: UnsplitData, labels: Ints, fit: NoiseFit) -> pd.DataFrame:
    """Return one row per example, sorted by the probability that its label is wrong, highest first.

    Parameters
    ----------
    examples
        The examples.
    labels
        Noisy labels, int64, shape (n,).
    fit
        The noise fit to them.

    Returns
    -------
    DataFrame
        Columns ``index`` (number of the example from 0), ``id`` (the user's name of the example,
        such as ``"row 17"`` of a table or a path in a folder; otherwise equal to ``index``),
        ``given_label``, ``suggested_label`` (most probable class given image and label),
        ``p_wrong`` (probability that the given label is wrong) and ``p_suggested`` (probability of
        the suggested label).
    """
    posterior = fit.posterior(labels)
    suggested = posterior.argmax(axis=1)
    index = np.arange(len(labels))
    names = np.array(examples.arrays.classes, dtype=object)
    table = pd.DataFrame(
        {
            "index": index,
            "id": list(examples.names) if examples.names is not None else index,
            "given_label": names[labels],
            "suggested_label": names[suggested],
            "p_wrong": 1 - posterior[index, labels],
            "p_suggested": posterior[index, suggested],
        }
    )
    return table.sort_values("p_wrong", ascending=False, kind="stable", ignore_index=True)
