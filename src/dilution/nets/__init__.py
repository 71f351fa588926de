"""The networks, by name."""

from dilution.nets.draws import Draws
from dilution.nets.own import Classifier, make
from dilution.nets.registry import LABELS, NETWORKS, build, default_network
from dilution.nets.together import Together, manner, together

__all__ = [
    "LABELS",
    "NETWORKS",
    "Classifier",
    "Draws",
    "Together",
    "build",
    "default_network",
    "make",
    "manner",
    "together",
]
