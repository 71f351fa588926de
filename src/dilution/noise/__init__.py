"""Label noise: transition matrices, noise levels, image sources, and the diluted set made from them."""

from dilution.noise.channel_moments import channel_moments
from dilution.noise.class_flips import asymmetric
from dilution.noise.class_maps import CLASS_MAPS
from dilution.noise.dilution import Dilution
from dilution.noise.fixed_transition import pair_flip, symmetric, transition
from dilution.noise.image_sources import IMAGE_SOURCES
from dilution.noise.locally_concentrated import locally_concentrated, locally_concentrated_features
from dilution.noise.model_dependent import idn, pmd
from dilution.noise.noise_level import (
    alpha_for_eta,
    alpha_for_matrix,
    check_alpha,
    check_noise_level,
    equivalent_alpha,
    uniform_noise_level,
)
from dilution.noise.part_dependent import part_dependent
from dilution.noise.per_example import PerExampleNoise, observed
from dilution.noise.registry import (
    LEVEL_NOISES,
    MODEL_NOISES,
    NOISES,
    canonical_noise,
    list_noises,
    noise_named,
    noise_parameters,
    takes_level,
)
from dilution.noise.summary import NoiseSummary
from dilution.noise.transition import LabelNoise, matrix, structured, uniform
from dilution.noise.used_labels import UsedLabels, used_labels

__all__ = [
    "CLASS_MAPS",
    "IMAGE_SOURCES",
    "LEVEL_NOISES",
    "MODEL_NOISES",
    "NOISES",
    "Dilution",
    "LabelNoise",
    "NoiseSummary",
    "PerExampleNoise",
    "UsedLabels",
    "alpha_for_eta",
    "alpha_for_matrix",
    "asymmetric",
    "canonical_noise",
    "channel_moments",
    "check_alpha",
    "check_noise_level",
    "equivalent_alpha",
    "idn",
    "list_noises",
    "locally_concentrated",
    "locally_concentrated_features",
    "matrix",
    "noise_named",
    "noise_parameters",
    "observed",
    "pair_flip",
    "part_dependent",
    "pmd",
    "structured",
    "symmetric",
    "takes_level",
    "transition",
    "uniform",
    "uniform_noise_level",
    "used_labels",
]
