"""From doubtful labels to a model in a file: fitting, saving, and predictions on new data."""

from typing import TYPE_CHECKING, Any

from dilution.fitting.fit import fit
from dilution.fitting.fitted_model import BoostedTrees, FittedModel, Member, Network
from dilution.fitting.forest import Forest
from dilution.fitting.methods import METHODS
from dilution.fitting.model_file import load_model, save_model
from dilution.fitting.predictions import Predictions
from dilution.fitting.result import FitResult

if TYPE_CHECKING:
    from dilution.fitting.classifier import NoisyLabelClassifier

__all__ = [
    "METHODS",
    "BoostedTrees",
    "FitResult",
    "FittedModel",
    "Forest",
    "Member",
    "Network",
    "NoisyLabelClassifier",
    "Predictions",
    "fit",
    "load_model",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name == "NoisyLabelClassifier":  # lazily: scikit-learn takes a while to import
        from dilution.fitting.classifier import NoisyLabelClassifier

        return NoisyLabelClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
