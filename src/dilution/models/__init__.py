"""Models by name."""

from dilution.models.custom import Classifier, call_factory, errors_of_model
from dilution.models.model_objects import can_be_sent, importable_name, name_model
from dilution.models.own_names import canonical_name, names_factory
from dilution.models.registry import (
    DISPLAY_NAMES,
    MODELS,
    build_model,
    count_weights,
    default_model,
    list_models,
)

__all__ = [
    "DISPLAY_NAMES",
    "MODELS",
    "Classifier",
    "build_model",
    "call_factory",
    "can_be_sent",
    "canonical_name",
    "count_weights",
    "default_model",
    "errors_of_model",
    "importable_name",
    "list_models",
    "name_model",
    "names_factory",
]
