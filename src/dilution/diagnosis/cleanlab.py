"""Comparison with cleanlab: its estimate from the same held-out predictions."""

from importlib.util import find_spec

import numpy as np

from dilution.diagnosis.anchors import Floats, Ints
from dilution.errors import InputError


def check_cleanlab() -> None:
    """Check that cleanlab is installed, before training starts.

    Raises
    ------
    InputError
        If it is not installed.
    """
    if find_spec("cleanlab") is None:
        raise InputError(
            "cleanlab is not installed; the comparison with cleanlab needs it. Install it with: "
            "pip install 'dilution[cleanlab]'."
        )


def cleanlab_transition(pred_probs: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Return cleanlab's estimate of T[true, noisy] and of the share of each true class.

    cleanlab counts the examples whose probability for a class is above that class's mean
    (confident learning; Northcutt, Jiang and Chuang 2021). It assumes that the model is right where
    it is confident, and that labels are right more often than not.

    Parameters
    ----------
    pred_probs
        Held-out probabilities of the noisy labels, shape (n, classes).
    labels
        Noisy labels, int64, shape (n,).

    Returns
    -------
    transition, prior
        float64, shapes (classes, classes) and (classes,).

    Raises
    ------
    InputError
        If cleanlab is not installed.
    """
    check_cleanlab()
    from cleanlab.count import estimate_py_and_noise_matrices_from_probabilities as estimate

    prior, noise, _, _ = estimate(labels, pred_probs)
    return np.asarray(noise, dtype=np.float64).T, np.asarray(prior, dtype=np.float64)


def cleanlab_noise_rate(pred_probs: Floats, labels: Ints) -> float:
    """Return the noise rate of :func:`cleanlab_transition`, which has the same parameters and errors."""
    transition, prior = cleanlab_transition(pred_probs, labels)
    return 1 - float(np.dot(prior, np.diag(transition)))
