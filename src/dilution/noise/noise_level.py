"""The noise level alpha: as it is given, from a noise rate, or from the matrix of all labels."""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from dilution.errors import InputError
from dilution.noise.transition import LabelNoise, Matrix, checked_matrix

_LARGEST = 1e9

_RANGES = {
    "alpha": "noisy labels added for each clean one, such as 20",
    "eta": "a share of wrong labels, such as 0.4",
}


def noise_level(prior: Matrix, alpha: float | None, eta: float | None, noise: LabelNoise, seed: int) -> float:
    """Return the noise level that one of alpha and eta names.

    Parameters
    ----------
    prior
        Share of each class among the examples, shape (classes,), summing to 1.
    alpha, eta
        Noise level or noise rate; one of them is None.
    noise
        Noise model.
    seed
        Root seed, for models that draw their matrix.

    Raises
    ------
    InputError
        If neither or both are given, or the one that is lies outside its range.
    """
    if (alpha is None) == (eta is None):
        given = "neither" if alpha is None else "both"
        raise InputError(
            f"{given} of alpha and eta given; give one: alpha (noisy labels added for each clean one) or "
            "eta (share of wrong labels)."
        )
    name, value = ("alpha", alpha) if eta is None else ("eta", eta)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{name} is {value!r}; it must be a finite number, {_RANGES[name]}.")
    if eta is None:
        if value < 0:
            raise InputError(f"alpha is {value}; it must be ≥ 0. alpha=0 is no noise at all.")
        level = float(value)
    else:
        level = alpha_for_rate(float(value), noise, prior, seed)
    if level > _LARGEST:
        raise InputError(
            f"alpha is {level:g}; it must be at most {_LARGEST:.0e}: beyond, examples cannot be numbered."
        )
    return level


def alpha_for_rate(eta: float, noise: LabelNoise, prior: Sequence[float] | Matrix, seed: int) -> float:
    """Return the noise level alpha at which a share `eta` of all labels is expected to be wrong.

    Solves eta = alpha / (1 + alpha) · w, with w the share of *added* labels that are wrong: for uniform
    noise over m classes w = (m − 1)/m.

    Parameters
    ----------
    eta
        Noise rate, in [0, w).
    prior
        Share of each class among the examples, shape (classes,), summing to 1.

    Raises
    ------
    InputError
        If eta is negative, not a number, or as large as w or larger, which no alpha reaches.
    """
    prior = np.asarray(prior, dtype=np.float64)
    # In the models here the diagonal of Q does not depend on alpha, so alpha = 1 serves.
    wrong = _wrong_share(noise, prior, 1.0, seed)
    if not 0 <= eta < wrong:
        raise InputError(
            f"eta is {eta}; with {noise.name} noise over {len(prior)} classes the noise rate must lie in "
            f"[0, {wrong:.4g}): added labels are wrong with probability {wrong:.4g}, and clean labels "
            "remain. Give a smaller eta, or alpha instead."
        )
    alpha = eta / (wrong - eta)
    if alpha and not math.isclose(_wrong_share(noise, prior, alpha, seed), wrong, rel_tol=1e-9):
        raise InputError(
            f"eta is {eta}; with noise {noise.name!r} the share of added labels that are wrong changes with "
            "alpha, so the noise rate does not name one alpha. Give alpha instead."
        )
    return alpha


def _wrong_share(noise: LabelNoise, prior: Matrix, alpha: float, seed: int) -> float:
    """Return the share of added labels that are wrong."""
    added = noise.added(len(prior), alpha, seed)
    if added.shape != (len(prior), len(prior)):
        raise InputError(
            f"noise {noise.name!r} gives a matrix of shape {added.shape}; the data have {len(prior)} classes."
        )
    return float(1 - prior @ np.diag(added))


def alpha_for_matrix(T: ArrayLike) -> tuple[float, Matrix]:
    """Return the least noise level alpha, and the Q of added labels, whose distribution over all labels is T.

    Solves (I + alpha Q)/(1 + alpha) = T. Q = ((1 + alpha) T − I)/alpha has no negative entry from
    alpha = 1/min T[c, c] − 1 on; there the most confused class adds none of its own label.
    ``Dilution(data, alpha, noise=matrix(Q), label_mode="replaced")`` draws the one label of each image from
    the row of its class in T: class-conditional noise.

    Parameters
    ----------
    T
        Shape (classes, classes), T[true, noisy], no negative entry, each row summing to 1, the diagonal
        above 0.

    Returns
    -------
    tuple of float and ndarray
        alpha, and Q[true, noisy], float64, shape (classes, classes).

    Raises
    ------
    InputError
        If T is no transition matrix, or a class never keeps its own label.
    """
    overall = checked_matrix(T)
    kept = np.diag(overall)
    alpha = 1 / float(kept.min()) - 1 if kept.min() > 0 else math.inf
    if alpha > _LARGEST:
        raise InputError(
            f"the matrix of all labels has {kept.min():g} at [{kept.argmin()}, {kept.argmin()}]; some labels "
            "of each class must be right, since noise is added to right ones. Give the diagonal more."
        )
    if alpha == 0:
        return 0.0, np.eye(len(overall))
    added = np.maximum((1 + alpha) * overall - np.eye(len(overall)), 0) / alpha
    return alpha, checked_matrix(added / added.sum(axis=1, keepdims=True))


def level_of(alpha: float | None, eta: float | None, classes: int) -> float:
    """Return the noise level that one of alpha and eta names, eta being the rate of uniform noise.

    Raises
    ------
    InputError
        If it is no noise level, or no level reaches the rate.
    """
    level = alpha if eta is None else equivalent_alpha(eta, classes)
    if level is None or not 0 <= level < math.inf:
        name, value = ("alpha", alpha) if eta is None else ("eta", eta)
        raise InputError(
            f"{name} is {value}; with {classes} classes alpha must be 0 or more and eta in [0, "
            f"{1 - 1 / classes:.3g}): beyond, labels say nothing."
        )
    return float(level)


def equivalent_alpha(rate: float, classes: int) -> float:
    """Return the noise level α at which uniform noise has a rate; infinite where no α reaches it."""
    largest = (classes - 1) / classes
    return rate / (largest - rate) if rate < largest else math.inf
