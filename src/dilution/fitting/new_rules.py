"""What a fitted model takes, and the errors on data of another kind."""

from typing import Any, Protocol

import torch

from dilution.data.arrays import InputEncoding
from dilution.data.formats.image_encoding import ImageEncoding
from dilution.data.formats.table_encoding import TableEncoding
from dilution.errors import InputError


class InputRule(Protocol):
    """What a model takes; attributes are those of :class:`dilution.fitting.FittedModel`."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Image shape."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the pixels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def encoding(self) -> InputEncoding | None:
        """How tables or files become images."""


def check_takes_images(rule: InputRule, name: str) -> None:
    """Raise InputError if a model does not take files of images."""
    if rule.dtype == torch.uint8 and not isinstance(rule.encoding, TableEncoding):
        return
    if isinstance(rule.encoding, TableEncoding):
        needs = f"a table with the columns {columns_of(rule.encoding)}"
    else:
        needs = f"arrays of shape (n, {', '.join(map(str, rule.shape))})"
    raise InputError(f"{name} holds images, and the model was fitted to {needs}. Pass such data.")


def image_encoding(rule: InputRule) -> ImageEncoding | None:
    """Return how files of images become images of a model; None: it was fitted to arrays."""
    return rule.encoding if isinstance(rule.encoding, ImageEncoding) else None


def no_array(data: Any, encoding: TableEncoding) -> InputError:
    """Return the error on an array for a model of a table."""
    return InputError(
        f"the data are a {type(data).__name__}, and the model was fitted to a table with the columns "
        f"{columns_of(encoding)}. Pass a DataFrame with these columns."
    )


def no_table(name: str, rule: InputRule) -> InputError:
    """Return the error on a table for a model of an array."""
    return InputError(
        f"{name} is a table, and the model was fitted to {noun_of(rule)} of shape (n, "
        f"{', '.join(map(str, rule.shape))}) without names of columns. Pass an array, or name a .npy file."
    )


def noun_of(rule: InputRule) -> str:
    """Return what a model takes, for messages: features or images."""
    return "features" if rule.shape[1:] == (1, 1) and rule.dtype != torch.uint8 else "images"


def columns_of(encoding: TableEncoding) -> str:
    """Return the columns of a table, for messages."""
    from dilution.data.formats.table_options import list_columns

    return list_columns([column.name for column in encoding.columns])
