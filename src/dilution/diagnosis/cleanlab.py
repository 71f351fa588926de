"""The same predictions given to cleanlab, to set its estimate beside ours."""

from importlib.util import find_spec

import numpy as np

from dilution.diagnosis.noise_fit import Floats, Ints
from dilution.errors import InputError


def check_cleanlab() -> None:
    """Check that cleanlab is there: better before an hour of training than after.

    Raises
    ------
    InputError
        If it is not installed.
    """
    if find_spec("cleanlab") is None:
        raise InputError(
            "cleanlab is not installed; comparing with it takes it. Install it with: "
            "pip install 'dilution[cleanlab]'."
        )


def cleanlab_matrix(probabilities: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """Return cleanlab's estimate of T[true, noisy] and of the share of each true class.

    It counts the examples whose probability for a class is above that class's mean (Northcutt, Jiang and
    Chuang 2021, confident learning). That takes the network to be right where it is confident, and the labels
    to be right more often than not.

    Parameters
    ----------
    probabilities
        Held-out probabilities of the noisy labels, shape (n, classes).
    labels
        Noisy labels, int64, shape (n,).

    Raises
    ------
    InputError
        If cleanlab is not installed.
    """
    check_cleanlab()
    from cleanlab.count import estimate_py_and_noise_matrices_from_probabilities as estimate

    prior, noise, _, _ = estimate(labels, probabilities)
    return np.asarray(noise, dtype=np.float64).T, np.asarray(prior, dtype=np.float64)


def cleanlab_rate(probabilities: Floats, labels: Ints) -> float:
    """Return the noise rate of :func:`cleanlab_matrix`, whose parameters and errors these are."""
    matrix, prior = cleanlab_matrix(probabilities, labels)
    return 1 - float(np.dot(prior, np.diag(matrix)))
