"""Label noise: transition matrices, picture sources, and the virtual set made from them."""

from dilution.noise.dilution import Delivered, Dilution
from dilution.noise.images import channel_moments
from dilution.noise.labels import LabelNoise, alpha_for_rate, matrix, structured, uniform

__all__ = [
    "Delivered",
    "Dilution",
    "LabelNoise",
    "alpha_for_rate",
    "channel_moments",
    "matrix",
    "structured",
    "uniform",
]
