"""A fitted model: networks and boosted trees whose probabilities are averaged."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dilution.data.arrays import InputEncoding
from dilution.errors import DataError, InputError, short_repr
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.extractor import Extractor
from dilution.fitting.label_types import LabelType, labels_of
from dilution.training.evaluation import Normalise, predict_logits

if TYPE_CHECKING:
    from dilution.fitting.predictions import Predictions

_SHARE_ROUNDING = 1e-6

__all__ = ["BoostedTrees", "FittedModel", "Member", "Network"]


class Member(Protocol):
    """One of the models whose probabilities are averaged."""

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (b, classes), for images of one batch."""


@dataclass(frozen=True, repr=False)
class Network:
    """A trained network with the normalisation of its images.

    Parameters
    ----------
    module
        The network; a copy in evaluation mode, on the CPU, is kept.
    normalise
        The normalisation that it was trained with, such as :attr:`dilution.training.TrainResult.normalise`.
    """

    module: nn.Module
    normalise: Normalise

    def __post_init__(self) -> None:
        module = copy.deepcopy(self.module).cpu().eval().requires_grad_(requires_grad=False)
        object.__setattr__(self, "module", module)
        object.__setattr__(self, "normalise", self.normalise.to(torch.device("cpu")))

    def __repr__(self) -> str:
        n_weights = sum(weights.numel() for weights in self.module.parameters())
        return f"Network({type(self.module).__name__}, {n_weights:,} weights)"

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the softmax of the logits."""
        logits = predict_logits(self.module, self.normalise, images)
        probabilities: NDArray[np.float64] = logits.double().softmax(dim=1).numpy()
        return probabilities


@dataclass(frozen=True, repr=False)
class FittedModel:
    """A fitted model with all that a prediction needs.

    Parameters
    ----------
    model
        Name of the model, as in :func:`dilution.list_models`, or ``"module:factory"``.
    shape
        Image shape (channels, height, width); rows of features have the shape (features, 1, 1).
    dtype
        Type of the pixels: ``torch.uint8`` for images, ``torch.float32`` for features.
    classes
        Names of the classes.
    members
        The models whose probabilities are averaged.
    method
        How label noise was dealt with: ``"plain"``, ``"forward"``, ``"prune"`` or ``"reweight"``.
    encoding
        How rows of a table or files of images become images, as :attr:`dilution.Arrays.encoding`; None: the
        model was fitted to arrays.
    facts
        What else is known of the fit, such as the number of examples: values that JSON can hold.
    shares
        Share of each member in the average, above 0, which sum to 1. Default: equal ones.
    extractor
        Function of images whose features the members take, as rows of a table. None: they take the images.
    label_type
        Type of the labels that :meth:`predict` returns: ``"text"``, ``"integer"``, ``"boolean"`` or
        ``"float"``, that of the labels in the memory of the program that fitted the model.

    Raises
    ------
    InputError
        If there is no member, there are fewer than two classes, or the shares break their rule.
    """

    model: str
    shape: tuple[int, int, int]
    dtype: torch.dtype
    classes: tuple[str, ...]
    members: Sequence[Member]
    method: str = "plain"
    encoding: InputEncoding | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    shares: Sequence[float] = ()
    extractor: Extractor | None = None
    label_type: LabelType = "text"

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members or len(self.classes) < 2:
            raise InputError(
                f"there are {len(self.members)} members and {len(self.classes)} classes; a fitted model "
                "needs at least one member and two classes. Pass members= and classes=."
            )
        shares = tuple(self.shares) or (1 / len(self.members),) * len(self.members)
        object.__setattr__(self, "shares", shares)
        is_valid = all(0 < share <= 1 for share in shares) and abs(sum(shares) - 1) < _SHARE_ROUNDING
        if len(shares) != len(self.members) or not is_valid:
            raise InputError(
                f"the shares of {len(self.members)} members are {short_repr(shares)}; they must be one "
                "number above 0 per member and sum to 1. Leave them out for equal ones."
            )

    def __repr__(self) -> str:
        from dilution.fitting.member_names import describe_members

        return f"FittedModel({describe_members(self)}, {self.method}, {len(self.classes)} classes)"

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (b, classes), for images as in training.

        Parameters
        ----------
        images
            Of type `dtype`, shape (b, channels, height, width).

        Raises
        ------
        InputError
            If type or shape are others, or a probability is no number.
        """
        if images.dtype != self.dtype or tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"images are {images.dtype} of shape {tuple(images.shape)}; this model was fitted to "
                f"{self.dtype} of shape (n, {', '.join(map(str, self.shape))}). Convert them, or use "
                "predict_proba, which converts arrays and files as in training."
            )
        total = np.zeros((len(images), len(self.classes)))
        if self.extractor is not None:
            images = self.extractor(images)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            for member, share in zip(self.members, self.shares, strict=True):
                total += share * member.probabilities(images)
        if not np.isfinite(total).all():
            row = int(np.flatnonzero(~np.isfinite(total).all(axis=1))[0])
            raise InputError(
                f"the model predicts probabilities that are no numbers for example {row}: its weights, or "
                "the values of the example, are too large. Check the values, or fit the model again."
            )
        return total / sum(self.shares)

    def predictions(
        self,
        data: Any,
        *,
        label: str | None = None,
        ids: Any = None,
        split: str | None = None,
        root: str | Path | None = None,
    ) -> "Predictions":
        """Return labels and probabilities of new data, with notes on what was converted or skipped.

        Parameters
        ----------
        data
            Data as :func:`dilution.fit` takes them, whose labels may be missing, and further: one image
            file, a list of image files, an array or a ``.npy`` file. They must be of the kind that the model
            was fitted to; columns of a table may be in any order.
        label
            Column of a table with labels to compare with. Default: that of the training data, if it is there.
        ids
            Column of ids of a table, or one id per example.
        split
            ``"train"`` or ``"test"`` of a named data set, pack or function. Default: train, as in the fit.
        root
            Folder of downloaded data, as for :func:`dilution.load`.

        Raises
        ------
        InputError
            If the data are of another kind, shape, type or range than the training data.
        DataError
            If a file cannot be read.
        """
        from dilution.fitting.new_data import open_new_data
        from dilution.fitting.predictions import predict_examples

        return predict_examples(self, open_new_data(data, self, label=label, ids=ids, split=split, root=root))

    def predict_proba(self, data: Any) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (n, classes), in the order of the data.

        Parameters and errors are those of :meth:`predictions`, whose result has the notes too.

        Raises
        ------
        DataError
            If an image cannot be read: :meth:`predictions` leaves it out.
        """
        predictions = self.predictions(data)
        if len(predictions.positions) < predictions.n_given:
            missing = predictions.n_given - len(predictions.positions)
            raise DataError(
                f"{missing:,} of {predictions.n_given:,} images cannot be read: "
                f"{'; '.join(predictions.notes)}. Remove them, or use predictions(data), which leaves "
                "them out."
            )
        return predictions.probabilities

    def predict(self, data: Any) -> NDArray[Any]:
        """Return the most probable class of each example, shape (n,), in the type `label_type`.

        Parameters and errors are those of :meth:`predict_proba`.
        """
        return labels_of(self.classes, self.label_type, self.predict_proba(data))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model to a file and return its path: :func:`dilution.fitting.model_file.save_model`."""
        from dilution.fitting.model_file import save_model

        return save_model(self, path, overwrite=overwrite)

    def export(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a program for torch alone, as :func:`dilution.fitting.exported.export_model` does."""
        from dilution.fitting.exported import export_model

        return export_model(self, path, overwrite=overwrite)
