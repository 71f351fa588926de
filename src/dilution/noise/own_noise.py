"""Noise models of the user: their errors, and draws that cannot be repeated, are said in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from dilution.errors import DilutionError, InputError
from dilution.noise.transition import LabelNoise
from dilution.utils.references import describe_exception


def is_own_noise(noise: LabelNoise) -> bool:
    """Return whether a noise model is of a class of the user."""
    return not type(noise).__module__.startswith("dilution.")


def check_named(noise: LabelNoise) -> None:
    """Refuse a noise model without a name.

    Raises
    ------
    InputError
        If it has no `name`, or one that is not text.
    """
    if not isinstance(getattr(noise, "name", None), str):
        kind = type(noise).__name__
        raise InputError(
            f"noise is a {kind} without a name, which messages and results need; set it in the class: name = "
            f'"{kind.lower()}".'
        )


@contextmanager
def errors_in_words(noise: LabelNoise) -> Iterator[None]:
    """Raise what a noise model of the user raises as an InputError; errors of this library stay as they are.

    Raises
    ------
    InputError
        In place of any exception that the noise model raises.
    """
    try:
        yield
    except DilutionError:
        raise
    except Exception as error:
        if not is_own_noise(noise):
            raise
        raise InputError(
            f"noise {noise.name!r}, of the class {type(noise).__name__}, raised {describe_exception(error)}. "
            "Its methods are called as labels(data, seed), or as added(classes, alpha, seed), and must work "
            "for these data."
        ) from error


def check_repeats(noise: LabelNoise, is_equal: bool) -> None:
    """Refuse a noise model that gives other values when it is called again.

    Raises
    ------
    InputError
        If the values are not equal: no run could be trained again.
    """
    if not is_equal:
        raise InputError(
            f"noise {noise.name!r} gives other values for the same data and seed each time; a run with it "
            "could not be trained again. Draw with numpy.random.default_rng(seed), made in the method."
        )
