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
from scipy.stats import t as student
from torch import Tensor, nn

from dilution.advice.half_trained import HalfTrainedModel
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import BatchSampler
from dilution.training.config import Targets
from dilution.utils.estimate import Estimate

LEVEL = 0.95
"""Probability that an interval of an advice contains the true number."""

_MAX_BATCH_SIZE = 128
_GROUPS = 16  # sums of gradients that are kept: the jackknife leaves out each in turn
_BATCHES = 128  # gradients that are measured


@dataclass(frozen=True)
class NoiseScale:
    """The gradient noise scale at one noise level, with 95 % intervals by the jackknife.

    A scale or its upper bound is infinite if the gradients cannot be told from zero.

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
        If there are too few examples.
    """
    if noisy.n < _BATCHES:
        raise InputError(
            f"there are {noisy.n} clean examples; the gradient noise scale needs at least {_BATCHES}. "
            f"Add examples."
        )
    transition = torch.from_numpy(noisy.overall).float()
    of_labels = _GradientSums.measure(model, noisy, "sampled", transition, seed)
    of_images = _GradientSums.measure(model, noisy, "pooled", transition, seed)
    return NoiseScale(noisy.alpha, label=_ratio(of_labels, of_images), image=_ratio(of_images, of_images))


@dataclass(frozen=True)
class _GradientSums:
    """Sums over the gradients of batches, in groups.

    Parameters
    ----------
    batch_size
        Examples per batch.
    batches
        Batches per group.
    products
        Inner products of the groups' sums of gradients, shape (groups, groups).
    squares
        Sum of the squared gradients of each group, shape (groups,).
    """

    batch_size: int
    batches: int
    products: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def measure(
        cls, model: HalfTrainedModel, noisy: Dilution, targets: Targets, transition: Tensor, seed: int
    ) -> "_GradientSums":
        # One pass at most: gradients of disjoint images agree only in what other images would show too.
        batch_size = min(_MAX_BATCH_SIZE, max(2, noisy.n // _BATCHES))
        per_group = min(_BATCHES, noisy.n // batch_size) // _GROUPS
        weights = [weight for weight in model.module.parameters() if weight.requires_grad]
        sums: list[Tensor] = []
        squares = np.zeros(_GROUPS)
        sampler = BatchSampler(noisy, targets, batch_size, seed=seed)
        for number, batch in enumerate(sampler.batches(per_group * _GROUPS)):
            for weight in weights:
                weight.grad = None
            with model.computing():
                logits = model.module(model.prepare(batch.images))
            logits.backward(
                forward_corrected_gradient(logits.detach().float(), batch.targets, transition).to(
                    logits.dtype
                )
            )
            gradient = torch.cat(
                [(w.grad if w.grad is not None else torch.zeros_like(w)).flatten() for w in weights]
            )
            squares[number // per_group] += float(gradient.double() @ gradient.double())
            if number % per_group == 0:
                sums.append(gradient)
            else:
                sums[-1] += gradient
        return cls(batch_size, per_group, _inner_products(sums), squares)

    def estimates(self, groups: NDArray[np.int64]) -> tuple[float, float]:
        """Return |G|² and tr Σ of one example from some groups, both without bias."""
        count = self.batches * len(groups)
        square_of_sum = float(self.products[np.ix_(groups, groups)].sum())
        sum_of_squares = float(self.squares[groups].sum())
        signal = (square_of_sum - sum_of_squares) / (count * (count - 1))
        trace = self.batch_size * (sum_of_squares - square_of_sum / count) / (count - 1)
        return signal, trace


def _inner_products(sums: list[Tensor]) -> NDArray[np.float64]:
    products = np.zeros((_GROUPS, _GROUPS))
    for row, gradient in enumerate(sums):  # one in float64 at a time: all would take as much memory again
        double = gradient.double()
        for column in range(row, _GROUPS):
            products[row, column] = products[column, row] = float(double @ sums[column].double())
    return products


def _ratio(scatter: _GradientSums, signal: _GradientSums) -> Estimate:
    """Return tr Σ / |G|² with its interval; tr Σ is measured on `scatter`, and |G|² on `signal`."""
    groups = np.arange(_GROUPS)
    trace = scatter.estimates(groups)[1]
    left_out = np.array([signal.estimates(groups[groups != group])[0] for group in groups])
    error = math.sqrt((_GROUPS - 1) / _GROUPS * float(((left_out - left_out.mean()) ** 2).sum()))
    square = signal.estimates(groups)[0]
    margin = float(student.ppf((1 + LEVEL) / 2, _GROUPS - 1)) * error  # tr Σ is known far better

    def scale(square: float) -> float:
        return trace / square if square > 0 else math.inf

    return Estimate(scale(square), scale(square + margin), scale(square - margin))


def forward_corrected_gradient(logits: Tensor, targets: Tensor, transition: Tensor) -> Tensor:
    """Return the gradient of the forward-corrected loss with respect to the logits.

    The loss is −(1/b) Σ_i Σ_j w_ij log Σ_k f_k(x_i) T_kj; its gradient is
    f_k (Σ_j w_j − Σ_j T_kj w_j / g_j)/b with g = f T.

    Parameters
    ----------
    logits
        float32, shape (b, classes).
    targets
        Labels, int64 of shape (b,), or weights, float32 of shape (b, classes).
    transition
        T[true, noisy], float32 of shape (classes, classes).
    """
    weights = (
        targets if targets.ndim == 2 else nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    )
    probs = logits.softmax(dim=1)
    ratio = (weights / (probs @ transition).clamp_min(torch.finfo(torch.float32).tiny)) @ transition.T
    return probs * (weights.sum(dim=1, keepdim=True) - ratio) / len(logits)
