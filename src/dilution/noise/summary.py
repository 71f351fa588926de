"""The noise of a diluted set, expected and counted: noise level, noise rate, transition matrix."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dilution.noise.transition import Matrix


@dataclass(frozen=True, repr=False)
class NoiseSummary:
    """The expected noise of a set beside the noise counted over all of its labels.

    Parameters
    ----------
    alpha_expected, alpha_empirical
        Noisy labels per clean label; they differ when n·alpha is not a whole number. With replaced
        labels alpha determines the distribution P and cannot be counted: both values are the alpha
        of the set. NaN with observed labels, which have no alpha.
    noise_rate_expected, noise_rate_empirical
        Noise rate η: expected share of wrong labels, and the share counted.
    transition_expected, transition_empirical
        P[true, noisy], float64, shape (classes, classes). The counted row of a class without
        examples is NaN.
    """

    alpha_expected: float
    alpha_empirical: float
    noise_rate_expected: float
    noise_rate_empirical: float
    transition_expected: Matrix
    transition_empirical: Matrix

    def __repr__(self) -> str:
        """Return the levels and rates, without the matrices."""
        return (
            f"NoiseSummary(alpha_expected={self.alpha_expected:.4g}, "
            f"alpha_empirical={self.alpha_empirical:.4g}, "
            f"noise_rate_expected={self.noise_rate_expected:.4g}, "
            f"noise_rate_empirical={self.noise_rate_empirical:.4g}, classes={len(self.transition_expected)})"
        )


def count_labels(true: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count the labels of each true class: int64, shape (classes, classes), [true, label]."""
    return torch.bincount(true * classes + labels, minlength=classes**2).reshape(classes, classes)


def empirical_noise(counts: Tensor) -> tuple[float, Matrix]:
    """Return the noise rate and T[true, noisy] of label counts; the row of a class without labels is NaN."""
    table = counts.double().cpu().numpy()
    with np.errstate(invalid="ignore"):  # 0/0 for a class without examples, documented as NaN
        return float(1 - np.trace(table) / table.sum()), table / table.sum(axis=1, keepdims=True)
