"""The gradient noise scale: how many examples a batch needs before their gradients agree.

B = tr Σ / |G|², with G the gradient over all examples and Σ the covariance of that of one (McCandlish,
Kaplan, Amodei et al. 2018, equation 2.8). A batch smaller than B is mostly noise, a larger one wastes
images. With α noisy labels for each clean one G shrinks by 1 + α and Σ stays, so B grows as (1 + α)²: that
is how label noise "shrinks the effective batch" (Rolnick et al. 2017, section 5).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student
from torch import Tensor, nn

from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution
from dilution.training import BatchSampler, TrainConfig, is_custom
from dilution.training.config import PrecisionName
from dilution.training.ensemble_step import EnsembleStep
from dilution.training.evaluation import Normalise, predict_logits
from dilution.utils import rng
from dilution.utils.rng_state import RngState

_BATCH = 128
_GROUPS = 16  # sums of gradients that are kept: the interval comes from leaving each out in turn
_BATCHES = 128  # gradients that are measured
_LOOKS, _EVERY = 24, 5  # how often, and after how many steps each, the first training is looked at
_RATE = 1e-3


@dataclass(frozen=True)
class Scale:
    """The noise scale at one noise level, with 95 % intervals by the jackknife.

    Parameters
    ----------
    alpha
        Noise level.
    label, label_low, label_high
        Noise scale where a gradient is of one label, in examples.
    image, image_low, image_high
        Where it is of all labels of an image, in images.
    """

    alpha: float
    label: float
    label_low: float
    label_high: float
    image: float
    image_low: float
    image_high: float


@dataclass(frozen=True)
class Halfway:
    """A network that has learned half of what a short training teaches it, and its normalisation."""

    module: nn.Module
    prepare: Normalise
    draws: RngState | None
    precision: PrecisionName

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute as a training does: with random numbers of its own, products in its precision."""
        low = self.precision != "float32"
        casting = torch.autocast("cpu", getattr(torch, self.precision)) if low else nullcontext()
        with nullcontext() if self.draws is None else self.draws, casting:
            yield


def halfway(
    model: str, noisy: Dilution, n_val: int, seed: int, precision: PrecisionName = "float32"
) -> Halfway:
    """Train a network briefly on labels as they are, and return it as it was when half of that was learned.

    Half is of the fall of the cross entropy on held-out labels. At the first step everything agrees, at the
    last
    nothing does: noise scales are compared between.

    Parameters
    ----------
    network
        Name of the network.
    noisy
        The set without the noise that is to be added.
    validation
        Clean examples set aside.
    seed
        Root seed of weights and order.
    precision
        What products are computed in.
    """
    training, held_out = noisy.hold_out(n_val)
    prepare = Normalise(training.data, training.clean_rows)
    rows = held_out.clean_rows[: 10 * _BATCH]
    images, labels = held_out.data.take(rows), held_out.labels(torch.arange(len(rows)))
    settings = TrainConfig(
        optimizer="adam", lr=_RATE, batch_size=_BATCH, steps=_LOOKS * _EVERY, precision=precision
    )

    def trained(steps: int, look: Callable[[Halfway], None]) -> Halfway:
        """Train so many steps, and look before the first and then every few."""
        module = build_model(model, noisy.data.shape, noisy.classes, seed=seed)
        draws = RngState(rng.stream(seed, "dropout")) if is_custom(model) else None
        program = EnsembleStep([module], settings, [_RATE], None if draws is None else [draws])
        look(Halfway(program.model(0), prepare, draws, precision))
        batches = BatchSampler(training, "sampled", _BATCH, seed=seed).batches(steps)
        for step, batch in enumerate(batches, 1):
            program.step(prepare(batch.images)[None], batch.targets[None], 1.0)
            if step % _EVERY == 0:
                look(Halfway(program.model(0), prepare, draws, precision))
        return Halfway(program.model(0).train(), prepare, draws, precision)

    losses: list[float] = []

    def note(at: Halfway) -> None:
        with nullcontext() if at.draws is None else at.draws:
            found = predict_logits(at.module, prepare, images)
        losses.append(float(nn.functional.cross_entropy(found, labels)))

    trained(_LOOKS * _EVERY, note)
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not math.isfinite(losses[0]) or not finite:
        raise InputError(
            f"{model} has a loss of {losses[0]} before its first step; the gradient noise scale needs "
            "finite numbers. Check the network, and the data for extreme values."
        )
    half = (losses[0] + min(finite)) / 2
    looks = next(place for place, loss in enumerate(losses) if loss <= half)
    # Trained again, up to there: keeping the network of every look would take the memory of two dozen.
    return trained(looks * _EVERY, lambda _: None)


def noise_scale(at: Halfway, noisy: Dilution, seed: int) -> Scale:
    """Measure the noise scale of a network on a diluted set, for single labels and for images.

    The network stays the same at every noise level. What it says of the true class is mixed with T as the
    labels
    are, −Σ_j w_j log Σ_i f_i T_ij (the forward correction of Patrini et al. 2017): otherwise the gradient
    would
    mostly tell it that labels are noisy. The gradient over all examples is the same for labels and for
    images;
    it is estimated from images, whose gradients scatter less.

    Parameters
    ----------
    at
        The network.
    noisy
        The set.
    seed
        Root seed of the order.

    Returns
    -------
    Scale
        A scale is infinite where the gradients measured do not tell that over all from zero.

    Raises
    ------
    InputError
        If there are too few examples.
    """
    if noisy.n < _BATCHES:
        raise InputError(
            f"there are {noisy.n} clean examples; the gradient noise scale takes at least {_BATCHES}. "
            f"Bring more of them."
        )
    mixing = torch.from_numpy(noisy.overall).float()
    single = _Gradients.of(at, noisy, "sampled", mixing, seed)
    pooled = _Gradients.of(at, noisy, "pooled", mixing, seed)
    image = _ratio(pooled, pooled)
    label = _ratio(single, pooled)
    return Scale(noisy.alpha, *label, *image)


@dataclass(frozen=True)
class _Gradients:
    """Sums over gradients of batches: inner products of the sums of groups, and squares within each group."""

    batch: int
    each: int  # batches of a group
    products: NDArray[np.float64]  # (groups, groups)
    squares: NDArray[np.float64]  # (groups,)

    @classmethod
    def of(cls, at: Halfway, noisy: Dilution, order: str, mixing: Tensor, seed: int) -> "_Gradients":
        # One pass at most: gradients of disjoint images agree only in what other images would tell too.
        batch = min(_BATCH, max(2, noisy.n // _BATCHES))
        count = min(_BATCHES, noisy.n // batch)
        each = count // _GROUPS
        weights = [weight for weight in at.module.parameters() if weight.requires_grad]
        sums: list[Tensor] = []
        squares = np.zeros(_GROUPS)
        orderer = BatchSampler(noisy, "sampled" if order == "sampled" else "pooled", batch, seed=seed)
        for number, shown in enumerate(orderer.batches(each * _GROUPS)):
            for weight in weights:
                weight.grad = None
            with at.computing():
                out = at.module(at.prepare(shown.images))
            out.backward(mixed_slope(out.detach().float(), shown.targets, mixing).to(out.dtype))
            gradient = torch.cat(
                [(w.grad if w.grad is not None else torch.zeros_like(w)).flatten() for w in weights]
            )
            squares[number // each] += float(gradient.double() @ gradient.double())
            if number % each == 0:
                sums.append(gradient)
            else:
                sums[-1] += gradient
        products = np.zeros((_GROUPS, _GROUPS))
        for row, one in enumerate(sums):  # one in float64 at a time: all would take as much memory again
            long = one.double()
            for column in range(row, _GROUPS):
                products[row, column] = products[column, row] = float(long @ sums[column].double())
        return cls(batch, each, products, squares)

    def estimates(self, kept: NDArray[np.int64]) -> tuple[float, float]:
        """Return |G|² and tr Σ of one example, both without bias, from the groups that are kept."""
        count = self.each * len(kept)
        whole = float(self.products[np.ix_(kept, kept)].sum())
        squares = float(self.squares[kept].sum())
        signal = (whole - squares) / (count * (count - 1))
        spread = self.batch * (squares - whole / count) / (count - 1)
        return signal, spread


def _ratio(spread: _Gradients, signal: _Gradients) -> tuple[float, float, float]:
    """Return tr Σ / |G|² and its interval, from gradients that scatter and others that agree best."""
    every = np.arange(_GROUPS)
    trace = spread.estimates(every)[1]
    left_out = np.array([signal.estimates(every[every != group])[0] for group in every])
    error = math.sqrt((_GROUPS - 1) / _GROUPS * float(((left_out - left_out.mean()) ** 2).sum()))
    middle = signal.estimates(every)[0]
    reach = float(student.ppf(0.975, _GROUPS - 1)) * error  # tr Σ is known far better

    def scale(signal: float) -> float:
        return trace / signal if signal > 0 else math.inf

    return scale(middle), scale(middle + reach), scale(middle - reach)


def mixed_slope(logits: Tensor, targets: Tensor, mixing: Tensor) -> Tensor:
    """Return the gradient by the logits of −(1/b) Σ_i Σ_j w_ij log Σ_k f_k(x_i) T_kj.

    It is f_k (Σ_j w_j − Σ_j T_kj w_j / g_j)/b with g = f T.

    Parameters
    ----------
    logits
        float32, shape (b, classes).
    targets
        Labels, int64 of shape (b,), or weights, float32 of shape (b, classes).
    mixing
        T: row k is how labels of true class k are distributed, float32 of shape (classes, classes).
    """
    weights = (
        targets if targets.ndim == 2 else nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    )
    said = logits.softmax(dim=1)
    share = (weights / (said @ mixing).clamp_min(torch.finfo(torch.float32).tiny)) @ mixing.T
    return said * (weights.sum(dim=1, keepdim=True) - share) / len(logits)
