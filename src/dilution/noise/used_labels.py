"""The labels that a training uses, per image of the data, and files of them for others to train on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data import Arrays, check_label_target
from dilution.errors import InputError
from dilution.noise.dilution import Dilution
from dilution.noise.image_sources import FreshImages, SameImages
from dilution.noise.single_label import replaced_labels
from dilution.utils.atomic import write_atomic
from dilution.utils.regular_file import check_regular, expand_home

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("not used", "training", "validation")
"""What an image is used for, by its number in ``used_for``."""

SUFFIXES = (".npy", ".pt", ".csv", ".npz")

_CHUNK = 1 << 16  # examples whose labels are computed at once


@dataclass(frozen=True, repr=False)
class UsedLabels:
    """The labels that a training uses, with validation examples held out.

    Parameters
    ----------
    data
        The training images, with their true labels.
    used_for
        What each image is used for, as a number of :data:`PARTS`: int64, shape (rows,).
    table
        One row per image and label, sorted: ``row``, the image's row in the data (−1 for white noise);
        ``images``, the data that it is a row of, ``"train"`` or the image source; ``used_for``,
        ``"training"`` or ``"validation"``; ``label``, the true class, and ``noisy_label``, the class that is
        trained on, both numbers of classes; ``count``, how often the image has this label.
    single
        The label of each image where it has one: int64, shape (rows,). Images that are not used have the one
        that the noise gives them. None with added labels.
    undrawn
        Number of images that are not used and whose label `single` has from nowhere but the data: stratified
        noise draws labels for the images that are used only.
    """

    data: Arrays
    used_for: NDArray[np.int64]
    table: pd.DataFrame
    single: NDArray[np.int64] | None
    undrawn: int = 0

    def __repr__(self) -> str:
        """Return the summary."""
        return f"UsedLabels({self.answer})"

    @cached_property
    def noise_rate(self) -> float:
        """Share of the training labels that are wrong; NaN without one."""
        used = self.table[self.table["used_for"] == "training"]
        wrong = used.loc[used["label"] != used["noisy_label"], "count"].sum()
        return float(wrong / used["count"].sum()) if len(used) else float("nan")

    @property
    def answer(self) -> str:
        """How many labels there are, how many are wrong, and what images are used for, in one sentence."""
        counts = np.bincount(self.used_for, minlength=len(PARTS))
        labels = int(self.table.loc[self.table["used_for"] == "training", "count"].sum())
        parts = f"{counts[1]:,} images for training, {counts[2]:,} for validation, {counts[0]:,} not used"
        return f"{labels:,} training labels, {self.noise_rate:.2%} of them wrong; {parts}"

    def save(self, path: str | Path) -> Path:
        """Write the labels to a file, and return its path; a file that exists is not replaced.

        Parameters
        ----------
        path
            ``.npy`` (int64) and ``.pt`` (tensor of int64): one label per image, in the order of the data.
            ``.csv``: with one label per image the columns ``row``, ``label``, ``noisy_label``, ``used_for``,
            in the order of the data; with several the columns of :attr:`table`, names of classes in place of
            numbers. ``.npz``: the columns of :attr:`table` as arrays, and ``classes``. The setting `labels`
            of a run reads the first three where an image has one label.

        Raises
        ------
        InputError
            If the name ends otherwise, the file exists, or images have several labels and the file holds one
            each.
        DilutionError
            If the file cannot be written.
        """
        path = check_target(path)
        suffix, buffer = path.suffix.lower(), io.BytesIO()
        if suffix == ".npz":
            columns = {name: _array(self.table[name]) for name in self.table}
            np.savez_compressed(
                buffer, allow_pickle=False, classes=np.array(self.data.classes, dtype=str), **columns
            )
        elif suffix == ".csv":
            from dilution.utils.csv_cells import csv_bytes  # imports pandas, which takes a while

            buffer.write(csv_bytes(self._several() if self.single is None else self._one_each(self.single)))
        elif self.single is None:
            raise InputError(
                f"{path} holds one label per image, and images of this run have several: noisy labels were "
                f"added to the clean ones. Write to {path.with_suffix('.npz')} instead, or to a .csv file."
            )
        elif suffix == ".npy":
            np.save(buffer, self.single, allow_pickle=False)
        else:
            torch.save(torch.from_numpy(self.single.copy()), buffer)
        return write_atomic(path, buffer.getvalue())

    def _several(self) -> pd.DataFrame:
        names = np.asarray(self.data.classes, dtype=object)
        return self.table.assign(**{name: names[self.table[name]] for name in ("label", "noisy_label")})

    def _one_each(self, labels: NDArray[np.int64]) -> pd.DataFrame:
        import pandas as pd

        names = np.asarray(self.data.classes, dtype=object)
        return pd.DataFrame(
            {
                "row": np.arange(len(labels)),
                "label": names[self.data.labels.cpu().numpy()],
                "noisy_label": names[labels],
                "used_for": np.asarray(PARTS, dtype=object)[self.used_for],
            }
        )


def used_labels(noisy: Dilution, n_val: int) -> UsedLabels:
    """Return the labels that a training on a noisy set uses, with n_val examples held out for validation.

    They are those of :meth:`Dilution.hold_out`, by which :func:`dilution.train` and studies divide a set.
    Three kinds of labels differ from the set's own ones: added labels, since label k belongs to clean example
    k mod n of the smaller set; stratified ones, since the counts are over fewer images; and those of
    validation images, which come from a random stream of their own. Observed labels differ nowhere.

    Parameters
    ----------
    noisy
        The noisy set.
    n_val
        Clean examples held out for validation; 0 if none are.

    Raises
    ------
    InputError
        If `n_val` is not a whole number from 0 to n − 1.
    """
    import pandas as pd

    parts = {"training": noisy}
    if n_val != 0:
        parts["training"], parts["validation"] = noisy.hold_out(n_val)
    data = noisy.data
    used_for = np.zeros(len(data), dtype=np.int64)
    for name, part in parts.items():
        used_for[part.clean_rows.cpu().numpy()] = PARTS.index(name)
    table = pd.concat([_count(part, name) for name, part in parts.items()], ignore_index=True)
    table = table.sort_values(["images", "row", "used_for", "noisy_label"], ignore_index=True)
    if noisy.label_mode == "added":
        return UsedLabels(data, used_for, table, None)
    single = _labels_of_all(noisy)
    for part in parts.values():
        single[part.clean_rows] = part.own_labels
    undrawn = int((used_for == 0).sum()) if noisy.stratified else 0
    return UsedLabels(data, used_for, table, single.cpu().numpy(), undrawn)


def check_target(path: str | Path) -> Path:
    """Return the path of a file of labels of a run that can be written.

    Raises
    ------
    InputError
        If the name does not end in one of :data:`SUFFIXES`, or there is a file or a link of this name.
    """
    path = expand_home(path)
    if path.suffix.lower() != ".npz":
        return check_label_target(path)
    check_regular(path)
    if path.is_symlink() or path.exists():
        raise InputError(f"{path} exists; labels are not overwritten. Remove it, or write to another file.")
    return path


def _labels_of_all(noisy: Dilution) -> Tensor:
    """Return a label for every image of the data: the one that the noise gives it, in any subset of them."""
    data = noisy.data
    if noisy.row_labels is not None:
        return noisy.row_labels.clone()
    if noisy.stratified:  # its draws are over the images that are used
        return data.labels.clone()
    rows = torch.arange(len(data), device=data.device)
    return replaced_labels(data, rows, noisy.overall, stratified=False, seed=noisy.seed, stream="noise")


def _count(part: Dilution, used_for: str) -> pd.DataFrame:
    """Return one row per image and label of a set, with the number of such examples."""
    import pandas as pd

    in_train = isinstance(part.image_source, SameImages | FreshImages)
    codes = []
    for start in range(0, len(part), _CHUNK):
        index = torch.arange(start, min(start + _CHUNK, len(part)), device=part.data.device)
        is_train = (index < part.n) | in_train
        image = 2 * (part.source(index) + 1) + is_train
        codes.append((image * part.classes + part.true_labels(index)) * part.classes + part.labels(index))
    distinct, counts = np.unique(torch.cat(codes).cpu().numpy(), return_counts=True)
    pairs, noisy = np.divmod(distinct, part.classes)
    places, true = np.divmod(pairs, part.classes)
    rows, in_train_split = np.divmod(places, 2)
    images = np.where(in_train_split == 1, "train", part.image_source.name)
    columns = {"row": rows - 1, "images": images, "used_for": used_for, "label": true, "noisy_label": noisy}
    return pd.DataFrame(columns | {"count": counts})


def _array(column: pd.Series[Any]) -> NDArray[Any]:
    """Return a column as an array that a file without pickle can hold."""
    is_text = not np.issubdtype(np.asarray(column).dtype, np.integer)
    array: NDArray[Any] = column.to_numpy(dtype=str if is_text else np.int64)
    return array
