"""The function that computes a fitted model's features of images: a published network, or one of the user."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dilution.errors import DataError, InputError
from dilution.fitting.named_code import trust_remedy
from dilution.models.efficientnet_lite import WEIGHTS_SHA256
from dilution.training.image_features import (
    EFFICIENTNET,
    INSTALL,
    ExtractFeatures,
    efficientnet_features,
    features_of_images,
    is_installed,
)
from dilution.utils.references import is_reference, resolve


@dataclass(frozen=True, repr=False)
class Extractor:
    """A function of images whose features a model learned.

    Parameters
    ----------
    name
        ``"efficientnet-lite0"``, ``"module:function"``, or the name of another function.
    function
        The function: of uint8 images, shape (b, channels, height, width); it returns shape (b, n_features).
    n_features
        Number of features.
    sha256
        SHA-256 of the weights of a published network, in hex. None: the function is the user's.
    """

    name: str
    function: ExtractFeatures
    n_features: int
    sha256: str | None = None

    def __repr__(self) -> str:
        return f"Extractor({self.name}, {self.n_features} features)"

    @classmethod
    def of_function(cls, name: str, function: ExtractFeatures, n_features: int) -> "Extractor":
        """Return the extractor of a function with a name."""
        return cls(name, function, n_features, WEIGHTS_SHA256 if name == EFFICIENTNET else None)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the features as an image: (n_features, 1, 1)."""
        return self.n_features, 1, 1

    def __call__(self, images: Tensor) -> Tensor:
        """Return features as rows of a table: float32, shape (b, n_features, 1, 1).

        Raises
        ------
        InputError
            If the function raises, or returns something else than so many finite numbers per image.
        """
        values = features_of_images(images, self.function, self.name)
        if values.shape[1] != self.n_features:
            raise InputError(
                f"features is {self.name!r}, which returned {values.shape[1]} features per image; the model "
                f"was fitted to {self.n_features}. Name the function of the fit, unchanged."
            )
        return torch.from_numpy(values)[:, :, None, None]

    def to_dict(self) -> dict[str, Any]:
        """Return what a file keeps of it: everything but the function."""
        return {"name": self.name, "n_features": self.n_features, "sha256": self.sha256}


def open_extractor(
    name: str, n_features: int, sha256: str | None, given: str | Callable[..., Any] | None, file: str
) -> Extractor:
    """Return the extractor that a model file names.

    Parameters
    ----------
    name, n_features, sha256
        As in the file.
    given
        For a function of the user: its name as in the file, which is imported, or the function itself.
    file
        The file, for messages.

    Raises
    ------
    InputError
        If the weights of the published network are not installed, or a function of the user is not named.
    DataError
        If the installed weights are others than those of the fit.
    """
    if sha256 is not None:
        if name != EFFICIENTNET or sha256 != WEIGHTS_SHA256:
            raise DataError(
                f"the model in {file} takes features of {name} with the weights {sha256[:12]}…; this version "
                f"of dilution has {EFFICIENTNET} with {WEIGHTS_SHA256[:12]}…. Fit the model again."
            )
        if not is_installed():
            raise InputError(
                f"the model in {file} takes features of {name}, whose weights are not installed. Install "
                f"them: {INSTALL}"
            )
        return Extractor(name, efficientnet_features, n_features, sha256)
    if callable(given):
        return Extractor(name, given, n_features)
    if given is None or given != name or not is_reference(name):
        remedy = trust_remedy(file, "features", name, "the function")
        other = "" if given is None else f", and features is {given!r}"
        raise InputError(
            f"the model in {file} takes features of {name!r}{other}; a function of your own is one that a "
            f"file cannot run by itself. {remedy}"
        )
    function: ExtractFeatures = resolve(name, "features")
    return Extractor(name, function, n_features)
