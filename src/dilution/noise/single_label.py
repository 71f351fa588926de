"""Sets of one label a picture: labels drawn in place of the clean ones, and labels as they were observed."""

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

Labelling = Literal["added", "replaced"]
"""Whether noisy labels are added to the clean one of a picture, or one label stands in its place."""


def observed() -> LabelNoise:
    """Labels as they were observed, ``Arrays.observed``: one for each picture, in place of the true one.

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
    """Draw for each picture the one label that stands in place of its clean one.

    Parameters
    ----------
    data
        Clean pictures and labels.
    rows
        Rows of the data, int64, shape (n,).
    overall
        P[true, noisy], float64, shape (classes, classes).
    stratified
        Draw without replacement, so that the counts of these rows are exact to one. Otherwise the label of a
        picture is a function of its row in the data, whichever rows are beside it.
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


def labelling(labels: str | None, images: str | Arrays, *, observed: bool) -> Labelling:
    """Return which labels a set has.

    Parameters
    ----------
    labels
        As asked for; None leaves it to the noise.
    images
        Picture source.
    observed
        Whether the noise is :func:`observed`.

    Raises
    ------
    InputError
        If it is unknown, or does not go with the noise or the pictures.
    """
    if labels == "added" or (labels is None and not observed):
        if observed:
            raise InputError(
                "labels is 'added' and noise is 'observed'; the observed label of a picture stands in place "
                "of its true one. Leave labels out."
            )
        return "added"
    if labels not in (None, "replaced"):
        raise unknown("value of labels", str(labels), get_args(Labelling))
    if images != "same":
        source = repr(images) if isinstance(images, str) else "another data set"
        raise InputError(
            f"images is {source} and labels are replaced; a replaced label is on its own picture, so there "
            "are no others. Give images='same', or labels='added'."
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
