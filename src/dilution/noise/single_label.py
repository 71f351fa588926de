"""Sets with one label per image: labels that replace the clean ones, and labels as they were observed."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError, unknown
from dilution.noise.label_sampling import IndependentSampler, StratifiedSampler
from dilution.noise.summary import count_labels, empirical_noise
from dilution.noise.transition import LabelNoise, Matrix
from dilution.utils import rng

LabelMode = Literal["added", "replaced"]
"""Whether noisy labels are added to the clean label of an image, or one label replaces it."""


def observed() -> LabelNoise:
    """Return noise that uses labels as they were observed: one per image, ``Arrays.observed``.

    No noise is drawn, so neither alpha nor eta is given. The true labels are used for clean
    validation and to count wrong labels.
    """
    return ObservedNoise()


@dataclass(frozen=True, repr=False)
class ObservedNoise(LabelNoise):
    """Observed labels, as :func:`observed` returns them. Their matrix is counted on the data."""

    name: str = "observed"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        """Raise an error: observed labels are part of the data, and none is added.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            f"observed labels have no matrix of added labels (requested for {classes} classes, alpha "
            f"{alpha:g}, seed {seed}); they are part of the data, and "
            "dilution.Dilution(data, noise=dilution.observed()).noise_summary() counts them."
        )

    def __repr__(self) -> str:
        return "observed()"


def observed_labels(data: Arrays, rows: Tensor) -> Tensor:
    """Return the observed labels of rows of the data: int64, shape (len(rows),).

    Raises
    ------
    InputError
        If the data have none.
    """
    if data.observed is None:
        raise InputError(
            "noise is 'observed', and these data have no observed labels beside the true ones. Provide them: "
            "noisy_labels in a .npz file or to from_numpy, a column noisy_label in a CSV file; or use data "
            "that have them, such as cifar10n/worse."
        )
    return data.observed[rows]


def observed_transition(true: Tensor, labels: Tensor, classes: int) -> Matrix:
    """Return T[true, noisy] counted over observed labels: float64, shape (classes, classes).

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


def resolve_label_mode(label_mode: str | None, image_source: str | Arrays, *, observed: bool) -> LabelMode:
    """Return the label mode of a set, with the default resolved.

    Parameters
    ----------
    label_mode
        The user's value; None means the default of the noise.
    image_source
        Image source.
    observed
        Whether the noise is :func:`observed`.

    Raises
    ------
    InputError
        If the mode is unknown, or cannot be combined with the noise or the image source.
    """
    if label_mode == "added" or (label_mode is None and not observed):
        if observed:
            raise InputError(
                "label_mode is 'added' and noise is 'observed'; the observed label of an image replaces its "
                "true one. Leave label_mode out."
            )
        return "added"
    if label_mode not in (None, "replaced"):
        raise unknown("value of label_mode", str(label_mode), get_args(LabelMode))
    if image_source != "same":
        source = repr(image_source) if isinstance(image_source, str) else "another data set"
        raise InputError(
            f"image_source is {source} and labels are replaced; a replaced label belongs to its own image, "
            "so no other images are needed. Give image_source='same', or label_mode='added'."
        )
    return "replaced"


def check_observed(alpha: float | None, eta: float | None, stratified: bool) -> None:
    """Refuse settings that draw labels: observed labels are not drawn.

    Raises
    ------
    InputError
        If alpha, eta or stratified is given.
    """
    for name, value in {"alpha": alpha, "eta": eta, "stratified": stratified or None}.items():
        if value is not None:
            raise InputError(
                f"{name} is {value!r} and noise is 'observed'; observed labels are used as they are, and "
                f"none is drawn. Leave {name} out, or choose a noise model such as uniform()."
            )
