"""The noise models by name."""

from collections.abc import Callable

from dilution.noise.single_label import observed
from dilution.noise.transition import LabelNoise, matrix, structured, uniform
from dilution.utils.docstrings import returned

NOISES: dict[str, Callable[..., LabelNoise]] = {
    "uniform": uniform,
    "structured": structured,
    "matrix": matrix,
    "observed": observed,
}
"""Functions that return a noise model, by the name that runs, studies and figures use."""


def list_noises() -> dict[str, str]:
    """Return the names of the noise models, each with a one-line description."""
    return {name: returned(function) for name, function in NOISES.items()}
