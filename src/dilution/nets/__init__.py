"""The networks, by name."""

from dilution.nets.registry import LABELS, NETWORKS, build
from dilution.nets.together import Together, together

__all__ = ["LABELS", "NETWORKS", "Together", "build", "together"]
