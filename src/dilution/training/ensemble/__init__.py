"""Ensembles: replicas of one model architecture that compute their gradients in one call."""

from collections.abc import Sequence

import torch
from torch import nn

from dilution.training.ensemble.base import Ensemble, LossWithGradient
from dilution.training.ensemble.sequential import SequentialEnsemble
from dilution.training.ensemble.stacked import StackedEnsemble, is_stackable
from dilution.utils.rng_state import RngState

__all__ = [
    "Ensemble",
    "LossWithGradient",
    "SequentialEnsemble",
    "StackedEnsemble",
    "is_stackable",
    "make_ensemble",
]


def make_ensemble(
    models: Sequence[nn.Module],
    dtype: torch.dtype = torch.float32,
    rng_states: Sequence[RngState] | None = None,
    *,
    stacks: bool = True,
) -> Ensemble:
    """Return the ensemble of models that is fastest for their architecture.

    Linear layers are stacked, also those of a single replica: its matrix products are then
    bit-identical for any number of other replicas. Convolutions run one replica after the other, on a
    GPU side by side: as one grouped convolution they take longer (docs/log.md).

    Parameters
    ----------
    models
        Models of one architecture. The ensemble may copy or share their weights.
    dtype
        Precision of matrix products and convolutions, ``torch.float32`` or ``torch.bfloat16``.
        Weights and their gradients are always float32.
    rng_states
        Random numbers for the layers of each replica; required for layers that draw any, such as
        Dropout.
    stacks
        Whether layers may be stacked. If not, each parameter of the ensemble is one of a model.
    """
    if stacks and all(is_stackable(model) for model in models):
        return StackedEnsemble(models, dtype)
    return SequentialEnsemble(models, dtype, rng_states)
