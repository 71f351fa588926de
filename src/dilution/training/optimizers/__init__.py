"""Optimizers by name, with parameters, and ``module:factory`` of the user."""

from dilution.training.optimizers.base import OptimizerSetting
from dilution.training.optimizers.builtin import SGD, Adadelta, Adam, AdamW
from dilution.training.optimizers.group_optimizer import (
    GroupOptimizer,
    is_own,
    load_optimizer,
    make_optimizer,
)
from dilution.training.optimizers.own import OwnOptimizer
from dilution.training.optimizers.registry import OPTIMIZERS, list_optimizers, resolve_optimizer

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adam",
    "AdamW",
    "GroupOptimizer",
    "OptimizerSetting",
    "OwnOptimizer",
    "is_own",
    "list_optimizers",
    "load_optimizer",
    "make_optimizer",
    "resolve_optimizer",
]
