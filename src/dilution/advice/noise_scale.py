"""The gradient noise scale: how many examples a batch needs before gradients agree.

B = tr Σ / |G|², with G the gradient over all examples and Σ the covariance of the gradient of one
(McCandlish, Kaplan, Amodei et al. 2018, equation 2.8). A batch smaller than B is mostly noise, a
larger one wastes images. With α noisy labels per clean one G shrinks by 1 + α and Σ does not, so B
grows as (1 + α)²: this is how label noise reduces the effective batch size (Rolnick et al. 2017,
section 5).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.advice.gradient_sums import BATCHES, GradientSums
from dilution.advice.half_trained import HalfTrainedModel
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.utils.estimate import Estimate

LEVEL = 0.95
"""Probability that an interval of an advice contains the true number."""

_MIN_BLOCKS = 3  # from which the jackknife can leave one out and still compare two


@dataclass(frozen=True)
class NoiseScale:
    """The gradient noise scale at one noise level, with 95 % intervals by the jackknife.

    A scale or its upper bound is infinite if the gradients cannot be told from zero. Examples of one group,
    such as copies, are no independent evidence: the jackknife leaves out whole groups, and with two groups
    the interval is [0, ∞].

    Parameters
    ----------
    alpha
        Noise level.
    label
        Noise scale of gradients of single labels, in examples.
    image
        Noise scale of gradients of all labels of an image, in images.
    """

    alpha: float
    label: Estimate
    image: Estimate


def measure_noise_scale(model: HalfTrainedModel, noisy: Dilution, seed: int) -> NoiseScale:
    """Measure the noise scale of a model on a diluted set, for single labels and for images.

    The same model is used at every noise level. Its probabilities of the true class are mixed with
    T as the labels are, −Σ_j w_j log Σ_i f_i T_ij (the forward correction of Patrini et al. 2017):
    otherwise the gradient would mostly tell it that labels are noisy. The gradient over all
    examples is the same for labels and for images; it is estimated from images, whose gradients
    scatter less.

    Parameters
    ----------
    model
        The model.
    noisy
        The diluted set.
    seed
        Root seed of the batch order.

    Raises
    ------
    InputError
        If there are too few examples, or all are of one group.
    """
    if noisy.n < BATCHES:
        raise InputError(
            f"there are {noisy.n} clean examples; the gradient noise scale needs at least {BATCHES}. "
            f"Add examples."
        )
    transition = torch.from_numpy(noisy.overall).float()
    of_labels = GradientSums.measure(model, noisy, "sampled", transition, seed)
    of_images = GradientSums.measure(model, noisy, "pooled", transition, seed)
    return NoiseScale(noisy.alpha, label=_ratio(of_labels, of_images), image=_ratio(of_images, of_images))


def _ratio(scatter: GradientSums, signal: GradientSums) -> Estimate:
    """Return tr Σ / |G|² with its interval; tr Σ is measured on `scatter`, and |G|² on `signal`."""
    from scipy.stats import t as student  # lazily: it takes a while to import

    blocks = np.arange(len(scatter.sizes))
    trace = scatter.estimates(blocks)[1]
    blocks = np.arange(len(signal.sizes))
    square = signal.estimates(blocks)[0]
    margin = math.inf
    if len(blocks) >= _MIN_BLOCKS:
        left_out = np.array([signal.estimates(blocks[blocks != block])[0] for block in blocks])
        error = jackknife_error(square, left_out, signal.sizes)
        # tr Σ is known far better
        margin = float(student.ppf((1 + LEVEL) / 2, len(blocks) - 1)) * error

    def scale(square: float) -> float:
        return trace / square if square > 0 else math.inf

    return Estimate(scale(square), scale(square + margin), scale(square - margin))


def jackknife_error(value: float, left_out: NDArray[np.float64], sizes: NDArray[np.int64]) -> float:
    """Return the standard error of an estimate by the jackknife over blocks that may differ in size.

    This is the delete-m_j jackknife of Busing, Meijer and van der Leeden (1999). With equal blocks it is
    √((g − 1)/g Σ (θ_j − θ̄)²), where θ_j is the estimate without block j.

    Parameters
    ----------
    value
        The estimate from all blocks.
    left_out
        The estimates without each block, float64, shape (blocks,).
    sizes
        Examples of each block, int64, shape (blocks,).
    """
    ratio = sizes.sum() / sizes
    pseudovalues = ratio * value - (ratio - 1) * left_out
    mean = len(sizes) * value - ((1 - 1 / ratio) * left_out).sum()
    return math.sqrt(float(np.mean((pseudovalues - mean) ** 2 / (ratio - 1))))
