"""Which labels are probably wrong, and what they should perhaps be."""

import numpy as np
import pandas as pd

from dilution.data import Labelled
from dilution.diagnosis.noise_fit import Ints, Mixture


def suspects(examples: Labelled, labels: Ints, found: Mixture) -> pd.DataFrame:
    """Return every example with the probability that its label is wrong, the most suspect first.

    Parameters
    ----------
    examples
        The examples, with what their user calls each.
    labels
        Noisy labels, int64, shape (n,).
    found
        The fit to them.

    Returns
    -------
    DataFrame
        Columns ``row`` (name, or number from 0), ``label``, ``suggested`` (the likeliest class given image
        and label), ``wrong`` (probability that the label is wrong), ``sure`` (probability of the class
        suggested).
    """
    likely = found.given_label(labels)
    best = likely.argmax(axis=1)
    here = np.arange(len(labels))
    names = np.array(examples.arrays.classes, dtype=object)
    table = pd.DataFrame(
        {
            "row": list(examples.rows) if examples.rows is not None else here,
            "label": names[labels],
            "suggested": names[best],
            "wrong": 1 - likely[here, labels],
            "sure": likely[here, best],
        }
    )
    return table.sort_values("wrong", ascending=False, kind="stable", ignore_index=True)
