"""Noise that gives each example its one label: labels that were observed, or that depend on the image."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise.transition import LabelNoise, Matrix


class PerExampleNoise(LabelNoise):
    """A noise model without a matrix of its own: the matrix is counted on its labels.

    Subclass it for noise that depends on the image. Neither alpha nor eta is given.
    """

    @abstractmethod
    def labels(self, data: Arrays, seed: int) -> Tensor:
        """Return the label of each example: int64, shape (len(data),), on the CPU.

        The labels are a function of the arguments alone.

        Parameters
        ----------
        data
            Images and true labels.
        seed
            Root seed of the draws.
        """

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        """Raise an error: such noise gives each example one label, and none is added.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            f"{self.name} labels have no matrix of added labels (requested for {classes} classes, alpha "
            f"{alpha:g}, seed {seed}); each example has one label, and "
            "dilution.Dilution(data, noise=noise).noise_summary() counts them."
        )


def observed() -> LabelNoise:
    """Return noise that uses labels as they were observed: one per image, ``Arrays.observed``.

    No noise is drawn, so neither alpha nor eta is given. The true labels are used for clean
    validation and to count wrong labels.
    """
    return ObservedNoise()


@dataclass(frozen=True, repr=False)
class ObservedNoise(PerExampleNoise):
    """Observed labels, as :func:`observed` returns them. Their matrix is counted on the data."""

    name: str = "observed"

    def labels(self, data: Arrays, seed: int) -> Tensor:  # noqa: ARG002
        """Return the observed labels.

        Raises
        ------
        InputError
            If the data have none.
        """
        if data.observed is None:
            raise InputError(
                "noise is 'observed', and these data have no observed labels beside the true ones. Provide "
                "them: noisy_labels in a .npz file or to from_numpy, a column noisy_label in a CSV file; or "
                "use data that have them, such as cifar10n/worse; or name a file of labels of a built-in "
                "data set, such as digits#labels=theirs.npy."
            )
        return data.observed

    def __repr__(self) -> str:
        return "observed()"
