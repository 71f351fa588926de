"""Noise that depends on the image by random directions of its own, without a model: part-dependent noise."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise.fixed_transition import check_flag, check_rate
from dilution.noise.per_example import PerExampleNoise
from dilution.utils import rng
from dilution.utils.finite_numbers import is_finite_number

_BATCH = 4096  # images whose products are computed at once


def part_dependent(rate: float, *, spread: float = 0.1, shared: bool = False) -> PerExampleNoise:
    """Return noise that depends on the pixels by random directions (Xia et al. 2020, algorithm 2).

    Image x of class c has a flip rate q of its own, normal around `rate` and truncated to [0, 1]. Its label
    is c with probability 1 − q, and otherwise k ≠ c with probability softmax_k(w_ck · x), with w_ck a vector
    of normal numbers per pair of classes and x the pixels in [0, 1] (features of tables as they are).

    Parameters
    ----------
    rate
        Nominal rate: mean of the flip rates before they are truncated, in [0, 1]. Truncation moves the mean
        of rates near 0 or 1 inwards: with a spread of 0.1 that of 0.1 to 0.13.
    spread
        Standard deviation of the flip rates before they are truncated, above 0.
    shared
        One set of vectors for all true classes: w_k in place of w_ck. Labels that the authors share for
        CIFAR-10 look so: nine of ten classes become the same one.

    Raises
    ------
    InputError
        If a value lies outside its range.
    """
    if not is_finite_number(spread) or spread <= 0:
        raise InputError(
            f"spread of part_dependent noise is {spread!r}; it must be a positive number, the standard "
            "deviation of the flip rates, such as 0.1."
        )
    shared = check_flag(shared, "shared of part_dependent noise")
    return _PartDependent(check_rate(rate, "part_dependent"), float(spread), shared)


@dataclass(frozen=True, repr=False)
class _PartDependent(PerExampleNoise):
    rate: float
    spread: float
    shared: bool
    name: str = "part_dependent"

    def labels(self, data: Arrays, seed: int) -> Tensor:
        n, m = len(data), len(data.classes)
        rows = torch.arange(n)
        flip_rates = self._flip_rates(rows, seed)
        draws = _uniform(rng.stream(seed, "part-dependent labels"), rows)
        true = data.labels.cpu()
        noisy = true.clone()
        size = int(np.prod(data.shape))
        for label in true.unique().tolist():
            set_name = "all" if self.shared else str(label)
            normal = rng.generator(seed, f"part-dependent directions {set_name}")
            directions = torch.randn(size, m, generator=normal)
            for part in (true == label).nonzero()[:, 0].split(_BATCH):
                x = data.take(part.to(data.device)).cpu().flatten(1).float() / data.unit
                logits = x @ directions
                logits[:, label] = -torch.inf
                probabilities = flip_rates[part, None] * logits.double().softmax(dim=1)
                probabilities[:, label] = 1 - flip_rates[part]
                ends = probabilities.cumsum(dim=1)
                ends[:, -1] = 1.0
                noisy[part] = torch.searchsorted(ends, draws[part, None], right=True)[:, 0]
        return noisy

    def _flip_rates(self, rows: Tensor, seed: int) -> Tensor:
        """Return the flip rate of each row: float64, shape of `rows`."""
        from scipy import stats  # half a second, which commands that draw no such noise need not wait

        uniform = _uniform(rng.stream(seed, "part-dependent flip rates"), rows).numpy()
        low, high = -self.rate / self.spread, (1 - self.rate) / self.spread
        rates = stats.truncnorm.ppf(uniform, low, high, loc=self.rate, scale=self.spread)
        return torch.from_numpy(np.clip(rates, 0.0, 1.0))

    def __repr__(self) -> str:
        spread = "" if self.spread == 0.1 else f", spread={self.spread:g}"
        return f"part_dependent({self.rate:g}{spread}{', shared=True' if self.shared else ''})"


def _uniform(key: int, rows: Tensor) -> Tensor:
    """Return one number per row, float64, uniform on (0, 1)."""
    return (rng.uniform_bits(key, rows).double() + 0.5) / (1 << rng.BITS)
