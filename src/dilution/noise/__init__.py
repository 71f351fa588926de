"""Label noise: transition matrices, image sources, and the virtual set made from them."""

from dilution.noise.dilution import Dilution
from dilution.noise.image_sources import channel_moments
from dilution.noise.noise_level import alpha_for_matrix, alpha_for_rate, equivalent_alpha, level_of
from dilution.noise.single_label import observed
from dilution.noise.summary import NoiseSummary
from dilution.noise.transition import LabelNoise, matrix, structured, uniform

__all__ = [
    "Dilution",
    "LabelNoise",
    "NoiseSummary",
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
