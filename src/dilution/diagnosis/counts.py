"""Limits of what a diagnosis repeats: folds, repeats, bootstrap samples."""

from dilution.utils.rng import check_seed
from dilution.utils.whole_numbers import check_count

LIMITS = {"folds": (2, 1_000_000), "repeats": (1, 1_000), "n_bootstrap": (1, 100_000)}
"""Least and largest value. Beyond the largest, random errors are far smaller than those of the models."""


def check_counts(seed: int = 0, **counts: int) -> None:
    """Refuse counts that would never end, before anything is computed.

    Parameters
    ----------
    seed
        Root seed.
    **counts
        Values of the settings in :data:`LIMITS`.

    Raises
    ------
    InputError
        If a count lies outside its limits, or the seed is none.
    """
    check_seed(seed)
    for name, value in counts.items():
        check_count(name, value, *LIMITS[name])
