"""The networks, by name."""

from dilution.models.custom import Classifier, make
from dilution.models.registry import LABELS, MODELS, build, default_model

__all__ = ["LABELS", "MODELS", "Classifier", "build", "default_model", "make"]
