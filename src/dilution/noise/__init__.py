"""Label noise: transition matrices, picture sources, and the virtual set made from them."""

from dilution.noise.delivered import Delivered
from dilution.noise.dilution import Dilution
from dilution.noise.given import observed
from dilution.noise.images import channel_moments
from dilution.noise.labels import LabelNoise, matrix, structured, uniform
from dilution.noise.level import alpha_for_matrix, alpha_for_rate, equivalent_alpha, level_of

__all__ = [
    "Delivered",
    "Dilution",
    "LabelNoise",
    "alpha_for_matrix",
    "alpha_for_rate",
    "channel_moments",
    "equivalent_alpha",
    "level_of",
    "matrix",
    "observed",
    "structured",
    "uniform",
]
