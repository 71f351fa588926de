"""Label noise: transition matrices, noise levels, image sources, and the diluted set made from them."""

from dilution.noise.channel_moments import channel_moments
from dilution.noise.dilution import Dilution
from dilution.noise.image_sources import IMAGE_SOURCES
from dilution.noise.noise_level import (
    alpha_for_eta,
    alpha_for_matrix,
    check_alpha,
    check_noise_level,
    equivalent_alpha,
    uniform_noise_level,
)
from dilution.noise.registry import NOISES, list_noises
from dilution.noise.single_label import observed
from dilution.noise.summary import NoiseSummary
from dilution.noise.transition import LabelNoise, matrix, structured, uniform

__all__ = [
    "IMAGE_SOURCES",
    "NOISES",
    "Dilution",
    "LabelNoise",
    "NoiseSummary",
    "alpha_for_eta",
    "alpha_for_matrix",
    "channel_moments",
    "check_alpha",
    "check_noise_level",
    "equivalent_alpha",
    "list_noises",
    "matrix",
    "observed",
    "structured",
    "uniform",
    "uniform_noise_level",
]
