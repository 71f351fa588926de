"""Sets with one label per image: how it is drawn, and which settings go with it."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError, unknown
from dilution.noise.label_sampling import IndependentSampler, StratifiedSampler
from dilution.noise.summary import count_labels, empirical_noise
from dilution.noise.transition import Matrix
from dilution.utils import rng

LabelMode = Literal["added", "replaced"]
"""Whether noisy labels are added to the clean label of an image, or one label replaces it."""


def counted_transition(true: Tensor, labels: Tensor, classes: int) -> Matrix:
    """Return T[true, noisy] counted over the labels of examples: float64, shape (classes, classes).

    The row of a class without examples is that of clean labels.
    """
    _, transition = empirical_noise(count_labels(true, labels, classes))
    return np.where(np.isnan(transition), np.eye(classes), transition)


def replaced_labels(
    data: Arrays, rows: Tensor, overall: Matrix, *, stratified: bool, seed: int, stream: str
) -> Tensor:
    """Draw the one label of each image that replaces its clean label.

    Parameters
    ----------
    data
        Clean images and labels.
    rows
        Rows of the data, int64, shape (n,).
    overall
        P[true, noisy], float64, shape (classes, classes).
    stratified
        Draw without replacement, so that the counts over these rows are within one of their
        expectation. Otherwise the label of an image is a function of its row in the data,
        independent of the other rows.
    seed
        Root seed.
    stream
        Name of the stream of the draws.

    Returns
    -------
    Tensor
        int64, shape (n,).
    """
    true, key = data.labels[rows], rng.stream(seed, stream)
    if not stratified:
        return IndependentSampler(overall, key).sample(rows, true)
    rounding_key = rng.stream(seed, f"{stream} rounding")
    sampler = StratifiedSampler(overall, true, len(rows), key, rounding_key)
    return sampler.sample(torch.arange(len(rows)), true)


def check_label_mode(label_mode: object) -> None:
    """Refuse what is no label mode; None is the default.

    Raises
    ------
    InputError
        If it is unknown.
    """
    if label_mode is not None and label_mode not in get_args(LabelMode):
        raise unknown("value of label_mode", str(label_mode), get_args(LabelMode))


def resolve_label_mode(
    label_mode: str | None,
    image_source: str | Arrays,
    *,
    default: LabelMode = "added",
    per_example: str | None = None,
) -> LabelMode:
    """Return the label mode of a set, with the default resolved.

    Parameters
    ----------
    label_mode
        The user's value; None means the default of the noise.
    image_source
        Image source.
    default
        Default of the noise.
    per_example
        Name of the noise if it gives each example its one label, as ``"observed"`` does.

    Raises
    ------
    InputError
        If the mode is unknown, or cannot be combined with the noise or the image source.
    """
    mode = default if label_mode is None else label_mode
    if mode == "added":
        if per_example is not None:
            raise InputError(
                f"label_mode is 'added' and noise is {per_example!r}; the {per_example} label of an image "
                "replaces its true one. Leave label_mode out."
            )
        return "added"
    if mode != "replaced":
        raise unknown("value of label_mode", str(label_mode), get_args(LabelMode))
    if image_source != "same":
        source = repr(image_source) if isinstance(image_source, str) else "another data set"
        raise InputError(
            f"image_source is {source} and labels are replaced; a replaced label belongs to its own image, "
            "so no other images are needed. Give image_source='same', or label_mode='added'."
        )
    return "replaced"


def check_no_draw(noise: str, alpha: float | None, eta: float | None, stratified: bool) -> None:
    """Refuse settings of draws beside noise that gives each example its one label.

    Raises
    ------
    InputError
        If alpha, eta or stratified is given.
    """
    for name, value in {"alpha": alpha, "eta": eta, "stratified": stratified or None}.items():
        if value is not None:
            raise InputError(
                f"{name} is {value!r} and noise is {noise!r}; {noise} labels are used as they are, and "
                f"none is drawn. Leave {name} out, or choose a noise model such as uniform()."
            )


def check_no_level(noise: str, alpha: float | None, eta: float | None) -> None:
    """Refuse a noise level or rate beside noise that sets the distribution of all labels by itself.

    Raises
    ------
    InputError
        If alpha or eta is given.
    """
    for name, value in {"alpha": alpha, "eta": eta}.items():
        if value is not None:
            raise InputError(
                f"{name} is {value!r} and noise is {noise!r}, which sets the distribution of all labels by "
                f"itself. Leave {name} out, and give the rate as a parameter of the noise."
            )
