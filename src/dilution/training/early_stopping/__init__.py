"""Early stopping by name, with parameters, and ``module:function`` of the user."""

from dilution.training.early_stopping.base import EarlyStopping, Stops
from dilution.training.early_stopping.builtin import CleanVal, NoisyVal, NoisyValAccuracy, NoStopping
from dilution.training.early_stopping.own import OwnEarlyStopping
from dilution.training.early_stopping.registry import (
    EARLY_STOPPING,
    NONE,
    list_early_stopping,
    resolve_early_stopping,
)

__all__ = [
    "EARLY_STOPPING",
    "NONE",
    "CleanVal",
    "EarlyStopping",
    "NoStopping",
    "NoisyVal",
    "NoisyValAccuracy",
    "OwnEarlyStopping",
    "Stops",
    "list_early_stopping",
    "resolve_early_stopping",
]
