"""The noise level alpha: validated, and computed from a noise rate eta or from the matrix of all labels."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dilution.errors import InputError, short_repr
from dilution.noise.transition import LabelNoise, Matrix, check_transition_matrix
from dilution.utils.finite_numbers import is_finite_number
from dilution.utils.whole_numbers import check_digits

LARGEST_ALPHA = 1e9
"""Beyond this noise level the examples of a diluted set cannot be numbered."""


def check_noise_level(alpha: object, eta: object) -> None:
    """Refuse a noise level alpha and a noise rate eta unless exactly one is given and lies in its range.

    Raises
    ------
    InputError
        If neither or both are given, or the one given breaks the rule of :func:`check_alpha` or
        ``check_eta``.
    """
    if (alpha is None) == (eta is None):
        count = "neither" if alpha is None else "both"
        raise InputError(
            f"{count} of alpha and eta given; give one: alpha (noisy labels added for each clean one) or "
            "eta (share of wrong labels)."
        )
    if alpha is None:
        check_eta(eta)
    else:
        check_alpha(alpha)


def check_alpha(alpha: object, name: str = "alpha") -> float:
    """Return a noise level as a float if it is a finite number from 0 to `LARGEST_ALPHA`.

    Parameters
    ----------
    alpha
        Noise level: noisy labels added for each clean one.
    name
        Name of the setting, for the message.

    Raises
    ------
    InputError
        If it is no such number.
    """
    value = _finite(alpha, name)
    if value is None:
        raise InputError(
            f"{name} is {short_repr(alpha)}; it must be a finite number, noisy labels added for each "
            "clean one, such as 20."
        )
    if value < 0:
        raise InputError(f"{name} is {alpha}; it must be ≥ 0. {name}=0 is no noise at all.")
    if value > LARGEST_ALPHA:
        raise InputError(
            f"{name} is {value:g}; it must be at most {LARGEST_ALPHA:.0e}: examples of a larger set cannot "
            "be numbered."
        )
    return value


def check_eta(eta: object) -> float:
    """Return a noise rate as a float if it is a finite number in [0, 1).

    Raises
    ------
    InputError
        If it is no such number.
    """
    value = _finite(eta, "eta")
    if value is None:
        raise InputError(
            f"eta is {short_repr(eta)}; it must be a finite number, a share of wrong labels, such as 0.4."
        )
    if not 0 <= value < 1:
        raise InputError(f"eta is {eta}; it must lie in [0, 1): a share of wrong labels, such as 0.4.")
    return value


def _finite(value: object, name: str) -> float | None:
    """Return a finite real number as a float, and None for everything else."""
    if isinstance(value, int):
        check_digits(name, value)
    return float(value) if is_finite_number(value) else None


def noise_level(alpha: float | None, eta: float | None, noise: LabelNoise, prior: Matrix, seed: int) -> float:
    """Return `alpha`, or the noise level at which the noise model has the noise rate `eta`.

    Parameters
    ----------
    alpha, eta
        Noise level or noise rate; exactly one is given.
    noise
        Noise model.
    prior
        Share of each class among the examples, shape (classes,), summing to 1.
    seed
        Root seed, for models that draw their matrix.

    Raises
    ------
    InputError
        If the values break a rule of :func:`check_noise_level`, or no noise level has the rate
        `eta`.
    """
    check_noise_level(alpha, eta)
    if eta is None:
        return check_alpha(alpha)
    return check_alpha(alpha_for_eta(float(eta), noise, prior, seed))


def uniform_noise_level(alpha: float | None, eta: float | None, classes: int) -> float:
    """Return `alpha`, or the noise level at which uniform noise has the noise rate `eta`.

    Raises
    ------
    InputError
        If the values break a rule of :func:`check_noise_level`, or no noise level has the rate
        `eta`.
    """
    check_noise_level(alpha, eta)
    if eta is None:
        return check_alpha(alpha)
    level = equivalent_alpha(check_eta(eta), classes)
    if level > LARGEST_ALPHA:
        raise InputError(
            f"eta is {eta}; with {classes} classes it must lie in [0, {1 - 1 / classes:.3g}): at that rate "
            "labels carry no information. Give a smaller eta, or alpha instead."
        )
    return level


def alpha_for_eta(eta: float, noise: LabelNoise, prior: Sequence[float] | Matrix, seed: int) -> float:
    """Return the noise level alpha at which a share `eta` of all labels is expected to be wrong.

    Solves eta = alpha / (1 + alpha) · w, with w the share of *added* labels that are wrong: for
    uniform noise over m classes w = (m − 1)/m.

    Parameters
    ----------
    eta
        Noise rate, in [0, w).
    noise
        Noise model.
    prior
        Share of each class among the examples, shape (classes,), summing to 1.
    seed
        Root seed, for models that draw their matrix.

    Raises
    ------
    InputError
        If eta is negative, not a number, or at least w, which no alpha reaches; or if w changes
        with alpha.
    """
    prior = np.asarray(prior, dtype=np.float64)
    # The diagonal of Q does not depend on alpha for the noise models of this package, so alpha = 1 serves.
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
            "alpha, so the noise rate does not determine alpha. Give alpha instead."
        )
    return alpha


def _wrong_share(noise: LabelNoise, prior: Matrix, alpha: float, seed: int) -> float:
    """Return the expected share of added labels that are wrong."""
    added = noise.added(len(prior), alpha, seed)
    if added.shape != (len(prior), len(prior)):
        raise InputError(
            f"noise {noise.name!r} gives a matrix of shape {added.shape}; the data have {len(prior)} classes."
        )
    return float(1 - prior @ np.diag(added))


def alpha_for_matrix(T: ArrayLike) -> tuple[float, Matrix]:
    """Return the least noise level alpha, and the Q of added labels, whose distribution over all labels is T.

    Solves (I + alpha Q)/(1 + alpha) = T. Q = ((1 + alpha) T − I)/alpha has no negative entry from
    alpha = 1/min T[c, c] − 1 on; at that level Q has a zero on its diagonal for the most confused
    class. ``Dilution(data, alpha, noise=matrix(Q), label_mode="replaced")`` draws the one label of
    each image from the row of its class in T: class-conditional noise.

    Parameters
    ----------
    T
        Shape (classes, classes), T[true, noisy], no negative entry, each row summing to 1, the
        diagonal above 0.

    Returns
    -------
    tuple of float and ndarray
        alpha, and Q[true, noisy], float64, shape (classes, classes).

    Raises
    ------
    InputError
        If T is no transition matrix, or a class never keeps its own label.
    """
    overall = check_transition_matrix(T)
    diagonal = np.diag(overall)
    alpha = 1 / float(diagonal.min()) - 1 if diagonal.min() > 0 else math.inf
    if alpha > LARGEST_ALPHA:
        worst = diagonal.argmin()
        raise InputError(
            f"the matrix of all labels has {diagonal.min():g} at [{worst}, {worst}]; the diagonal must be "
            "positive, because noise is added to clean labels. Raise this entry."
        )
    if alpha == 0:
        return 0.0, np.eye(len(overall))
    added = np.maximum((1 + alpha) * overall - np.eye(len(overall)), 0) / alpha
    return alpha, check_transition_matrix(added / added.sum(axis=1, keepdims=True))


def equivalent_alpha(noise_rate: float, classes: int) -> float:
    """Return the noise level α at which uniform noise has a given noise rate; infinite where none does."""
    largest = (classes - 1) / classes
    return noise_rate / (largest - noise_rate) if noise_rate < largest else math.inf
