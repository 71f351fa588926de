"""The virtual set: n clean examples and alpha·n noisy ones, computed and not stored."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dilution.data import Arrays
from dilution.errors import InputError, unknown
from dilution.noise.image_sources import ExternalImages, FreshImages, ImageSource, SameImages, WhiteNoise
from dilution.noise.label_sampling import IndependentLabels, LabelDraw, StratifiedLabels
from dilution.noise.noise_level import noise_level
from dilution.noise.single_label import (
    LabelMode,
    Observed,
    check_observed,
    observed_labels,
    observed_matrix,
    replaced_labels,
    resolve_label_mode,
)
from dilution.noise.summary import NoiseSummary, shares, tally
from dilution.noise.transition import LabelNoise, Matrix, checked_matrix, uniform
from dilution.utils import rng

_CHUNK = 1 << 15  # labels drawn at once where all of them are counted: few enough for the cache


class Dilution(Dataset[tuple[Tensor, int]]):
    """A clean data set diluted with noisy examples, as a map-style data set.

    Examples 0 … n − 1 are the clean ones; example n + k is noisy example k. Each is a function of
    (seed, index), so opening costs the same at every alpha, and any worker or machine finds the same
    label at the same index in any order of access.

    With ``label_mode="replaced"`` there are the n images alone, each with one label in place of its clean one,
    as most data sets have it.

    Parameters
    ----------
    data
        Clean images and labels.
    alpha
        Noise level: noisy examples added for each clean one, any real ≥ 0. The total is
        round(n(1 + alpha)).
    eta
        Instead of `alpha`: the noise rate, the share of all labels that are wrong.
    noise
        Noise model; see :func:`uniform`, :func:`structured`, :func:`matrix`. With :func:`observed` the
        labels are ``data.observed``, and neither `alpha` nor `eta` is given.
    label_mode
        ``"added"``: noisy labels are added to the clean ones. ``"replaced"``: each image has one label,
        drawn from the row of its class in P = (I + alpha Q)/(1 + alpha), the distribution that all labels
        have with ``"added"``; so `alpha` and `eta` mean the same. It is a function of the seed and the row of
        the image in `data`, the same in any subset. Default: ``"added"``; ``"replaced"`` with observed
        labels.
    image_source
        Images of the noisy examples: ``"same"``, ``"fresh"``, ``"white_noise"``, or the `Arrays` of
        another data set. Images of another data set and white noise have no class of their own: their
        labels are drawn for the class of a partner, clean example k mod n. Only ``"same"`` goes with replaced
        labels.
    n
        Clean examples, a random subset of `data`. Default: all.
    stratified
        Draw labels without replacement, so that for each true class the count of each noisy label lies
        within one of its expectation. A replaced label then depends on which images are beside it.
    seed
        Root seed of the subset and the noise.

    Attributes
    ----------
    overall
        P[true, noisy], the distribution of all labels of an example, float64, shape (classes, classes).

    Raises
    ------
    InputError
        If a value breaks a rule above; if n is larger than the data; if no fresh images are left; if
        labels are to be the observed ones and the data have none.
    """

    def __init__(
        self,
        data: Arrays,
        alpha: float | None = None,
        *,
        eta: float | None = None,
        noise: LabelNoise | None = None,
        label_mode: LabelMode | None = None,
        image_source: str | Arrays = "same",
        n: int | None = None,
        stratified: bool = False,
        seed: int = 0,
    ) -> None:
        if not isinstance(data, Arrays):
            raise InputError(
                f"data is a {type(data).__name__}; it must be Arrays of images and labels, such as the "
                "train half of dilution.load(name)."
            )
        rng.check(seed)
        size = len(data) if n is None else n
        if not isinstance(size, Integral) or not 1 <= size <= len(data):
            raise InputError(
                f"n is {n!r}; it must be a whole number from 1 to {len(data)}, the size of the data set."
            )
        order = torch.arange(len(data))
        if size < len(data):
            order = rng.permutation(rng.stream(seed, "subset"), len(data))
        noise = uniform() if noise is None else noise
        if not isinstance(noise, LabelNoise):
            raise InputError(
                f"noise is a {type(noise).__name__}; it must be a noise model: dilution.uniform(), "
                "structured(delta, order), matrix(T), observed(), or a LabelNoise of your own."
            )
        if len(data.classes) < 2:
            raise InputError(f"the data have {len(data.classes)} class; noise needs at least 2 to confuse.")
        clean_rows = order[:size]
        if isinstance(noise, Observed):
            check_observed(alpha, eta, stratified)
            level = math.nan
        else:
            level = noise_level(_prior(data, clean_rows), alpha, eta, noise, seed)
        self._open(
            data,
            clean_rows=clean_rows,
            fresh_rows=order[size:],
            alpha=level,
            noise=noise,
            label_mode=resolve_label_mode(label_mode, image_source, observed=isinstance(noise, Observed)),
            image_source=image_source,
            stratified=stratified,
            seed=seed,
        )

    def _open(
        self,
        data: Arrays,
        *,
        clean_rows: Tensor,
        fresh_rows: Tensor,
        alpha: float,
        noise: LabelNoise,
        label_mode: LabelMode,
        image_source: str | Arrays,
        stratified: bool,
        seed: int,
        stream: str = "noise",
    ) -> None:
        self.data, self.alpha, self.noise, self.seed = data, alpha, noise, seed
        self.stratified, self.label_mode = stratified, label_mode
        self.classes = len(data.classes)
        self.clean_rows = clean_rows
        self._fresh_rows, self._image_source_setting = fresh_rows, image_source
        self.n = len(clean_rows)
        self.noisy = 0 if label_mode == "replaced" else round(self.n * (1 + alpha)) - self.n
        self.image_source = self._open_image_source(image_source)
        # One label for each clean image: with added labels its own, otherwise what stands in its place.
        self._given = true = data.labels[clean_rows]
        self._draw: LabelDraw | None = None
        if isinstance(noise, Observed):
            self._given = observed_labels(data, clean_rows)
            self.overall = observed_matrix(true, self._given, self.classes)
        else:
            added = _added(noise, self.classes, alpha, seed)
            self.overall = noise.overall(self.classes, alpha, seed)
            if label_mode == "replaced":
                overall = checked_matrix(self.overall)
                self._given = replaced_labels(
                    data, clean_rows, overall, stratified=stratified, seed=seed, stream=stream
                )
            else:
                self._draw = self._label_draw(added, stream)

    def hold_out(self, count: int) -> "tuple[Dilution, Dilution]":
        """Set clean examples aside for validation, with noise of the same kind.

        Parameters
        ----------
        count
            Clean examples to set aside, 0 < count < n.

        Returns
        -------
        training, validation
            Two dilutions over disjoint images. The validation half always shows the same images, its
            noisy labels come from a seed stream of its own, and its images are no one's fresh ones. The
            training half is a set of its own too: noisy label k belongs to its clean example k mod n, so a
            image that keeps its clean label gets other noisy ones than here. Replaced labels stay what they
            are here in the training half (unless stratified, which counts anew) and are drawn from that
            stream of its own in the validation half; observed labels stay in both.

        Raises
        ------
        InputError
            If nothing would be left on one of the two sides.
        """
        if not isinstance(count, Integral) or not 0 < count < self.n:
            raise InputError(
                f"n_val is {count!r}; it must be a whole number from 1 to n − 1 = {self.n - 1}, since "
                "these examples are set aside from the n clean ones."
            )
        # Drawn at random: the rows of a data set may be sorted by class.
        drawn = rng.permutation(rng.stream(self.seed, "validation"), self.n)
        set_aside, kept = drawn[:count].sort().values, drawn[count:].sort().values
        training = self._part(self.clean_rows[kept], self._image_source_setting, "noise")
        return training, self._part(self.clean_rows[set_aside], "same", "validation noise")

    def _part(self, rows: Tensor, image_source: str | Arrays, stream: str) -> "Dilution":
        """Return a set of the same kind over some of the clean images."""
        part = Dilution.__new__(Dilution)
        part._open(
            self.data,
            clean_rows=rows,
            fresh_rows=self._fresh_rows,
            alpha=self.alpha,
            noise=self.noise,
            label_mode=self.label_mode,
            image_source=image_source,
            stratified=self.stratified,
            seed=self.seed,
            stream=stream,
        )
        return part

    def to(self, device: torch.device) -> "Dilution":
        """Return the same set on a device: indices are taken, labels and images computed there.

        All of it is integer arithmetic on tables that are made before they are moved, so that the
        labels have the same bits everywhere.
        """
        if device == self.data.device:
            return self
        there = _moved(self, device)
        there.image_source = _moved(self.image_source, device)
        there._draw = None if self._draw is None else _moved(self._draw, device)
        return there

    def __len__(self) -> int:
        return self.n + self.noisy

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return example `index`: image float32 (channels, height, width) in [0, 1], and its label."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside a dilution of {len(self)} examples")
        at = torch.tensor([int(index) % len(self)])
        return self.images(at)[0].float() / self.data.unit, int(self.labels(at))

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """Return a batch at once; ``DataLoader`` asks for it in place of single examples."""
        at = torch.tensor(indices)
        images, labels = self.images(at).float() / self.data.unit, self.labels(at)
        return list(zip(images, labels.tolist(), strict=True))

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return (self[j] for j in range(len(self)))

    def labels(self, index: Tensor) -> Tensor:
        """Return the labels of examples: int64, shape of `index` (int64, values in [0, len)).

        Raises
        ------
        IndexError
            If an index is outside.
        """
        flat = self._checked(index).reshape(-1)
        k = flat - self.n
        given = self._given[flat.clamp(max=self.n - 1)]
        if self._draw is None or self.noisy == 0:
            return given.reshape(index.shape)
        noisy = self._added_labels(self._draw, k.clamp(min=0))
        return torch.where(k < 0, given, noisy).reshape(index.shape)

    def source(self, index: Tensor) -> Tensor:
        """Return the row of each example's image in the set it is from; −1 for white noise.

        That set is the clean data, except for noisy examples (index ≥ n) of an external image source.
        """
        flat = self._checked(index).reshape(-1)
        k = flat - self.n
        clean = self.clean_rows[flat.clamp(max=self.n - 1)]
        return torch.where(k < 0, clean, self.image_source.rows(k.clamp(min=0))).reshape(index.shape)

    def true_labels(self, index: Tensor) -> Tensor:
        """Return the class that each label was drawn for: int64, shape of `index`."""
        flat = self._checked(index).reshape(-1)
        k = flat - self.n
        rows = torch.where(
            k < 0,
            self.clean_rows[flat.clamp(max=self.n - 1)],
            self.image_source.partners(k.clamp(min=0)),
        )
        return self.data.labels[rows].reshape(index.shape)

    def images(self, index: Tensor) -> Tensor:
        """Return images, uint8 of shape (len(index), channels, height, width)."""
        k = self._checked(index) - self.n
        if isinstance(self.image_source, SameImages | FreshImages):
            return self.data.take(self.source(index))
        images = self.data.take(self.clean_rows[index.clamp(max=self.n - 1)])
        noisy = (k >= 0).nonzero()[:, 0]
        images[noisy] = self.image_source.images(k[noisy])
        return images

    def _checked(self, index: Tensor) -> Tensor:
        if not isinstance(index, Tensor) or index.is_floating_point() or index.is_complex():
            kind = index.dtype if isinstance(index, Tensor) else type(index).__name__
            raise InputError(f"index is {kind}; it must be a tensor of int64, such as torch.arange(10).")
        if index.numel():
            least, largest = index.aminmax()
            if least < 0 or largest >= len(self):
                raise IndexError(
                    f"indices from {least} to {largest} are not all in a dilution of {len(self)} examples"
                )
        return index

    def histogram(self, place: Tensor) -> Tensor:
        """Count all labels that clean images carry: the one each comes with, and the added ones.

        Parameters
        ----------
        place
            Places among the n clean images, int64, shape (b,), values in [0, n).

        Returns
        -------
        Tensor
            int64, shape (b, classes). Each row sums to 1 + alpha where n·alpha is a multiple of n.

        Raises
        ------
        InputError
            If the noisy examples do not show the same images: then an image has one label only.
        """
        if not isinstance(self.image_source, SameImages):
            raise InputError(
                f"image_source={self.image_source.name!r} gives each noisy label an image of its own; only "
                "image_source='same' can pool the labels of an image. Use targets='sampled'."
            )
        counts = place.new_zeros(len(place), self.classes)
        counts.scatter_add_(1, self.labels(place)[:, None], place.new_ones(len(place), 1))
        if self._draw is None:
            return counts
        laps = -(-self.noisy // self.n)
        at_once = max(1, _CHUNK // max(1, len(place)))
        for first in range(0, laps, at_once):
            lap = torch.arange(first, min(first + at_once, laps), device=place.device)
            k = place[:, None] + lap * self.n
            exists = k < self.noisy
            drawn = self._added_labels(self._draw, k.clamp(max=self.noisy - 1).reshape(-1))
            counts.scatter_add_(1, drawn.reshape(k.shape), exists.long())
        return counts

    def expected_noise_summary(self) -> NoiseSummary:
        """Return the noise asked for, as what an infinite number of labels would deliver.

        For observed labels that is the noise counted over the n images; the row of a class without
        images says that its labels are right.
        """
        matrix = self.overall
        rate = float(_prior(self.data, self.clean_rows) @ (1 - np.diag(matrix)))
        return NoiseSummary(self.alpha, self.alpha, rate, rate, matrix, matrix)

    def noise_summary(self, counts: Tensor | None = None) -> NoiseSummary:
        """Set the noise that all labels carry beside the noise that was asked for.

        Parameters
        ----------
        counts
            How often each label was drawn for each class, int64, shape (classes, classes), if it is known
            already. Default: all labels are drawn and counted.
        """
        if counts is None:
            counts = self.clean_rows.new_zeros(self.classes, self.classes)
            for start in range(0, len(self), _CHUNK):
                index = torch.arange(start, min(start + _CHUNK, len(self)), device=counts.device)
                counts += tally(self.true_labels(index), self.labels(index), self.classes)
        rate, matrix = shares(counts)
        asked = self.expected_noise_summary()
        if self.label_mode == "added":
            asked = replace(asked, alpha_empirical=self.noisy / self.n)
        return replace(asked, noise_rate_empirical=rate, transition_empirical=matrix)

    def _open_image_source(self, image_source: str | Arrays) -> ImageSource:
        if isinstance(image_source, Arrays):
            return ExternalImages(self.data, self.clean_rows, image_source, self.seed)
        if image_source == "same":
            return SameImages(self.data, self.clean_rows)
        if image_source == "fresh":
            return FreshImages(self.data, self._fresh_rows, self.noisy)
        if image_source == "white_noise":
            return WhiteNoise(self.data, self.clean_rows, self.seed)
        if not isinstance(image_source, str):
            raise InputError(
                f"image_source is a {type(image_source).__name__}; it must be 'same', 'fresh', 'white_noise' or the "
                "Arrays of another data set, such as its train half."
            )
        raise unknown("image source", image_source, ("same", "fresh", "white_noise"))

    def _added_labels(self, draw: LabelDraw, k: Tensor) -> Tensor:
        return draw.labels(k, self.data.labels[self.image_source.partners(k)])

    def _label_draw(self, added: Matrix, stream: str) -> LabelDraw:
        key = rng.stream(self.seed, stream)
        if not self.stratified:
            return IndependentLabels(added, key)
        source = self.image_source
        period = len(source.fresh_rows) if isinstance(source, FreshImages) else self.n
        cycle = self.data.labels[source.partners(torch.arange(period))]
        rounding_key = rng.stream(self.seed, f"{stream} rounding")
        return StratifiedLabels(added, cycle, self.noisy, key, rounding_key)


_T = TypeVar("_T")


def _moved(thing: _T, device: torch.device) -> _T:
    """Return a copy whose tensors and `Arrays` are on a device."""
    there = copy.copy(thing)
    for name, value in vars(thing).items():
        if isinstance(value, Tensor | Arrays):
            object.__setattr__(there, name, value.to(device))  # some are frozen
    return there


def _added(noise: LabelNoise, classes: int, alpha: float, seed: int) -> Matrix:
    """Return what the noise model adds, checked: the model may be a user's own."""
    added = checked_matrix(noise.added(classes, alpha, seed))
    if len(added) != classes:
        raise InputError(
            f"noise {noise.name!r} gives a matrix of {len(added)} rows; the data have {classes} classes."
        )
    return added


def _prior(data: Arrays, rows: Tensor) -> Matrix:
    """Return the share of each class among rows of the data; float64, shape (classes,)."""
    return torch.bincount(data.labels[rows], minlength=len(data.classes)).double().cpu().numpy() / len(rows)
