"""The networks, by name."""

from dilution.models.custom import Classifier, make
from dilution.models.registry import LABELS, NETWORKS, build, default_network

__all__ = ["LABELS", "NETWORKS", "Classifier", "build", "default_network", "make"]
