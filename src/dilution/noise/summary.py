"""What a set delivers beside what was asked for: noise levels, noise rates, transition matrices."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dilution.noise.transition import Matrix


@dataclass(frozen=True)
class NoiseSummary:
    """Noise asked for and noise drawn, over all labels of a set.

    Parameters
    ----------
    alpha_expected, alpha_empirical
        Noisy labels for each clean one; they differ when n·alpha is not whole. With replaced labels alpha
        names the distribution P and is not counted: both are what was asked for. NaN with observed labels,
        which no alpha made.
    noise_rate_expected, noise_rate_empirical
        Noise rate η: expected share of wrong labels, and the share counted.
    transition_expected, transition_empirical
        P[true, noisy], float64, shape (classes, classes). A class without examples delivers NaN.
    """

    alpha_expected: float
    alpha_empirical: float
    noise_rate_expected: float
    noise_rate_empirical: float
    transition_expected: Matrix
    transition_empirical: Matrix


def tally(true: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count how often each label stands for each class: int64, shape (classes, classes)."""
    return torch.bincount(true * classes + labels, minlength=classes**2).reshape(classes, classes)


def shares(counts: Tensor) -> tuple[float, Matrix]:
    """Return the share of wrong labels among counts, and T[true, noisy]; a row without counts is NaN."""
    table = counts.double().cpu().numpy()
    with np.errstate(invalid="ignore"):  # 0/0 for a class without examples, documented as NaN
        return float(1 - np.trace(table) / table.sum()), table / table.sum(axis=1, keepdims=True)
