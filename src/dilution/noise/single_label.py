"""Sets of one label an image: labels drawn in place of the clean ones, and labels as they were observed."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError, unknown
from dilution.noise.label_sampling import IndependentLabels, StratifiedLabels
from dilution.noise.summary import shares, tally
from dilution.noise.transition import LabelNoise, Matrix
from dilution.utils import rng

LabelMode = Literal["added", "replaced"]
"""Whether noisy labels are added to the clean one of an image, or one label stands in its place."""


def observed() -> LabelNoise:
    """Labels as they were observed, ``Arrays.observed``: one for each image, in place of the true one.

    No noise is drawn, so no alpha or eta is given. The true labels serve for clean validation and for
    counting which labels are wrong.
    """
    return Observed()


@dataclass(frozen=True)
class Observed(LabelNoise):
    """What :func:`observed` returns. Its matrix is counted where the data are known."""

    name: str = "observed"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        """Refuse: observed labels are the data's own, and none is added.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            f"observed labels have no matrix of added labels (asked for {classes} classes, alpha {alpha:g}, "
            f"seed {seed}); they are what the data hold. Dilution(data, noise=observed()).delivered() counts "
            "them."
        )


def observed_labels(data: Arrays, rows: Tensor) -> Tensor:
    """Return the observed labels of rows of the data: int64, shape (len(rows),).

    Raises
    ------
    InputError
        If the data have none.
    """
    if data.observed is None:
        raise InputError(
            "noise is 'observed', and these data have no observed labels beside the true ones. Give them: "
            "noisy_labels in a .npz file or to from_numpy, a column noisy_label in a CSV file; or take data "
            "that have them, such as cifar10n/worse."
        )
    return data.observed[rows]


def observed_matrix(true: Tensor, labels: Tensor, classes: int) -> Matrix:
    """Count T[true, noisy] of observed labels: float64, shape (classes, classes).

    Nothing is known of a class without examples; its row says that its label is right.
    """
    _, matrix = shares(tally(true, labels, classes))
    return np.where(np.isnan(matrix), np.eye(classes), matrix)


def replaced_labels(
    data: Arrays, rows: Tensor, overall: Matrix, *, stratified: bool, seed: int, stream: str
) -> Tensor:
    """Draw for each image the one label that stands in place of its clean one.

    Parameters
    ----------
    data
        Clean images and labels.
    rows
        Rows of the data, int64, shape (n,).
    overall
        P[true, noisy], float64, shape (classes, classes).
    stratified
        Draw without replacement, so that the counts of these rows are exact to one. Otherwise the label of a
        image is a function of its row in the data, whichever rows are beside it.
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
        return IndependentLabels(overall, key).labels(rows, true)
    rounding_key = rng.stream(seed, f"{stream} rounding")
    return StratifiedLabels(overall, true, len(rows), key, rounding_key).labels(torch.arange(len(rows)), true)


def resolve_label_mode(label_mode: str | None, image_source: str | Arrays, *, observed: bool) -> LabelMode:
    """Return which labels a set has.

    Parameters
    ----------
    label_mode
        As asked for; None leaves it to the noise.
    image_source
        Image source.
    observed
        Whether the noise is :func:`observed`.

    Raises
    ------
    InputError
        If it is unknown, or does not go with the noise or the images.
    """
    if label_mode == "added" or (label_mode is None and not observed):
        if observed:
            raise InputError(
                "label_mode is 'added' and noise is 'observed'; the observed label of an image stands in place "
                "of its true one. Leave label_mode out."
            )
        return "added"
    if label_mode not in (None, "replaced"):
        raise unknown("value of label_mode", str(label_mode), get_args(LabelMode))
    if image_source != "same":
        source = repr(image_source) if isinstance(image_source, str) else "another data set"
        raise InputError(
            f"image_source is {source} and labels are replaced; a replaced label is on its own image, so there "
            "are no others. Give image_source='same', or label_mode='added'."
        )
    return "replaced"


def check_observed(alpha: float | None, eta: float | None, stratified: bool) -> None:
    """Refuse settings of a draw: observed labels are not drawn.

    Raises
    ------
    InputError
        If alpha, eta or stratified is given.
    """
    for name, value in {"alpha": alpha, "eta": eta, "stratified": stratified or None}.items():
        if value is not None:
            raise InputError(
                f"{name} is {value!r} and noise is 'observed'; observed labels are as noisy as they are, and "
                f"none is drawn. Leave {name} out, or choose a noise model such as uniform()."
            )
