"""The networks, by name."""

from dilution.nets.registry import LABELS, NETWORKS, build

__all__ = ["LABELS", "NETWORKS", "build"]
