"""The diluted set: n clean examples and alpha·n noisy ones, computed and not stored."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dilution.data import Arrays
from dilution.data.arrays import check_arrays
from dilution.data.formats.memory_images import check_images_fit
from dilution.errors import InputError, short_repr
from dilution.noise.fixed_transition import FixedTransition, check_flag
from dilution.noise.for_data import checked_added, checked_labels, class_shares, noise_for_classes
from dilution.noise.group_order import whole_groups_first
from dilution.noise.image_sources import FreshImages, SameImages, open_image_source
from dilution.noise.label_sampling import IndependentSampler, LabelSampler, StratifiedSampler
from dilution.noise.noise_level import noise_level
from dilution.noise.own_noise import check_named, errors_in_words
from dilution.noise.per_example import PerExampleNoise
from dilution.noise.registry import python_call
from dilution.noise.single_label import (
    LabelMode,
    check_no_draw,
    check_no_level,
    counted_transition,
    replaced_labels,
    resolve_label_mode,
)
from dilution.noise.summary import NoiseSummary, count_labels, empirical_noise
from dilution.noise.transition import LabelNoise, Matrix, check_transition_matrix, uniform
from dilution.utils import rng
from dilution.utils.whole_numbers import is_whole_number

_CHUNK = 1 << 15  # labels computed at once when all of them are counted: few enough for the cache
_CHUNK_ON_GPU = 1 << 20  # there a call costs its launches, whatever its size
_INTEGER_TYPES = {getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}


class Dilution(Dataset[tuple[Tensor, int]]):
    """A clean data set diluted with noisy examples, as a map-style data set.

    Uniform, structured, symmetric, pair flip and locally concentrated noise name only classes that a clean or
    observed label of `data` names. A matrix or map that is given, part-dependent noise, and noise that
    follows predicted probabilities may name any class.

    Examples 0 … n − 1 are the clean ones; example n + k is noisy example k. Each is a function of
    (seed, index), so opening costs the same at every alpha, and any worker or machine computes the
    same label at the same index in any order of access.

    With ``label_mode="replaced"`` the set consists of the n images alone, each with one label that
    replaces its clean one, as in most data sets.

    Parameters
    ----------
    data
        Clean images and labels.
    alpha
        Noise level: noisy examples added for each clean one, any real ≥ 0; in total the set has
        round(n(1 + alpha)) examples.
    eta
        Noise rate, instead of `alpha`: the share of all labels that are wrong.
    noise
        Noise model; see :func:`uniform`, :func:`structured`, :func:`matrix`. With :func:`observed`
        the labels are ``data.observed``; it, other noise that depends on the image, and noise that sets the
        distribution of all labels, such as :func:`symmetric`, take neither `alpha` nor `eta`.
    label_mode
        ``"added"``: noisy labels are added to the clean ones. ``"replaced"``: each image has one
        label, drawn from the row of its class in P = (I + alpha Q)/(1 + alpha), the distribution of
        all labels with ``"added"``; so `alpha` and `eta` mean the same. A replaced label is a
        function of the seed and the row of the image in `data`, the same in any subset. Default:
        ``"added"``; ``"replaced"`` with noise that takes neither `alpha` nor `eta`.
    image_source
        Images of the noisy examples: ``"same"``, ``"fresh"``, ``"white_noise"``, or the `Arrays` of
        another data set. Images of another data set and white noise have no class of their own:
        their labels are drawn for the class of a partner, clean example k mod n. Replaced labels
        require ``"same"``.
    n
        Clean examples, a random subset of `data`. Default: all.
    stratified
        Draw labels without replacement, so that for each true class the count of each noisy label
        lies within one of its expectation. A replaced label then depends on the other images.
    seed
        Root seed of the subset and the noise.

    Attributes
    ----------
    n, n_noisy
        Numbers of clean and of noisy examples.
    overall
        P[true, noisy], the distribution of all labels of an example, float64, shape (classes,
        classes).

    Raises
    ------
    InputError
        If a value breaks a rule above; if n is larger than the data; if no fresh images are left;
        if the labels are the observed ones and the data have none.
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
        noise = uniform() if noise is None else noise
        size = _checked_size(data, n, noise, seed)
        stratified = check_flag(stratified, "stratified")
        order = torch.arange(len(data))
        if size < len(data):
            order = rng.permutation(rng.stream(seed, "subset"), len(data))
        clean_rows = order[:size]
        row_labels = own_level = None
        if isinstance(noise, PerExampleNoise):
            check_no_draw(noise.name, alpha, eta, stratified)
            row_labels = checked_labels(noise, data, seed)
        else:
            bound = noise_for_classes(noise, data)
            with errors_in_words(noise):
                own_level = bound.own_level(len(data.classes))
        mode = resolve_label_mode(
            label_mode,
            image_source,
            default="added" if row_labels is None and own_level is None else "replaced",
            per_example=None if row_labels is None else noise.name,
        )
        if row_labels is not None:
            level = math.nan
        elif own_level is not None:
            check_no_level(noise.name, alpha, eta)
            if math.isnan(own_level) and mode == "added":
                bound.added(len(data.classes), own_level, seed)  # raises: no added labels have such a matrix
            level = own_level
        else:
            with errors_in_words(noise):
                level = noise_level(alpha, eta, bound, class_shares(data, clean_rows), seed)
        self._open(
            data,
            clean_rows=clean_rows,
            fresh_rows=order[size:],
            alpha=level,
            noise=noise,
            label_mode=mode,
            image_source=image_source,
            stratified=stratified,
            seed=seed,
            row_labels=row_labels,
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
        row_labels: Tensor | None,
        stream: str = "noise",
    ) -> None:
        self.data, self.alpha, self.noise, self.seed = data, alpha, noise, seed
        self.stratified, self.label_mode = stratified, label_mode
        self.classes = len(data.classes)
        self.clean_rows = clean_rows
        self._fresh_rows, self._image_source_setting = fresh_rows, image_source
        self.n = len(clean_rows)
        self.n_noisy = self.length_for(self.n) - self.n
        self.image_source = open_image_source(
            image_source, data, clean_rows=clean_rows, fresh_rows=fresh_rows, count=self.n_noisy, seed=seed
        )
        # The label that each of the n images comes with: its clean one, or the one that replaces it.
        self._own_labels = true = data.labels[clean_rows]
        self._sampler: LabelSampler | None = None
        self._row_labels = row_labels
        if row_labels is not None:
            self._own_labels = row_labels[clean_rows]
            self.overall = counted_transition(true, self._own_labels, self.classes)
            return
        noise = noise_for_classes(noise, data)
        # A class that never keeps its label has no matrix of added labels, and replaced labels need none.
        is_fixed = isinstance(noise, FixedTransition) and label_mode == "replaced"
        added = None if is_fixed else checked_added(noise, self.classes, alpha, seed)
        with errors_in_words(noise):
            self.overall = noise.overall(self.classes, alpha, seed)
        if added is None or label_mode == "replaced":
            overall = check_transition_matrix(self.overall)
            self._own_labels = replaced_labels(
                data, clean_rows, overall, stratified=stratified, seed=seed, stream=stream
            )
        else:
            self._sampler = self._make_sampler(added, stream)

    def _make_sampler(self, added: Matrix, stream: str) -> LabelSampler:
        key = rng.stream(self.seed, stream)
        if not self.stratified:
            return IndependentSampler(added, key)
        source = self.image_source
        period = len(source.fresh_rows) if isinstance(source, FreshImages) else self.n
        cycle = self.data.labels[source.partners(torch.arange(period))]
        rounding_key = rng.stream(self.seed, f"{stream} rounding")
        return StratifiedSampler(added, cycle, self.n_noisy, key, rounding_key)

    def __repr__(self) -> str:
        """Return the settings that differ from the defaults, and the number of examples."""
        settings = {
            "n": self.n,
            "alpha": None if math.isnan(self.alpha) else float(f"{self.alpha:.6g}"),
            "noise": self.noise,
            "label_mode": None if self.label_mode == "added" else self.label_mode,
            "image_source": None if self.image_source.name == "same" else self.image_source.name,
            "stratified": self.stratified or None,
            "seed": self.seed,
            "examples": len(self),
        }
        return f"Dilution({', '.join(f'{k}={v!r}' for k, v in settings.items() if v is not None)})"

    def hold_out(self, count: int) -> "tuple[Dilution, Dilution]":
        """Split off clean examples for validation, with noise of the same kind.

        The two sets have disjoint images. In the training set noisy label k belongs to its own
        clean example k mod n, so an image that keeps its clean label gets other noisy ones than
        here. The validation set always shows the same images, its noisy labels come from a seed
        stream of its own, and its images are never used as fresh ones. Replaced labels of the
        training set stay as they are here (unless stratified, which counts anew); those of the
        validation set come from the stream of its own. Observed labels stay in both.

        Examples of one group, such as equal ones, are on one side: then the number split off is the
        largest up to `count` that whole groups in random order give, or the smallest group.

        Parameters
        ----------
        count
            Clean examples to split off, 0 < count < n.

        Returns
        -------
        training, validation
            Two dilutions.

        Raises
        ------
        InputError
            If one of the two sets would be empty, since all examples are of one group.
        """
        if not is_whole_number(count) or not 0 < count < self.n:
            raise InputError(
                f"n_val is {short_repr(count)}; it must be a whole number from 1 to n − 1 = {self.n - 1}, "
                "since these examples are split off from the n clean ones."
            )
        # Drawn at random: the rows of a data set may be sorted by class.
        order = rng.permutation(rng.stream(self.seed, "validation"), self.n)
        fresh_rows, groups = self._fresh_rows, self.data.split_groups
        if groups is not None:
            order, count = whole_groups_first(
                order, groups[self.clean_rows], self.data.labels[self.clean_rows], count
            )
            held_out_groups = groups[self.clean_rows[order[:count]]]
            fresh_rows = fresh_rows[~torch.isin(groups[fresh_rows], held_out_groups)]
        held_out, kept = order[:count].sort().values, order[count:].sort().values
        training = self._part(self.clean_rows[kept], fresh_rows, self._image_source_setting, "noise")
        return training, self._part(self.clean_rows[held_out], fresh_rows, "same", "validation noise")

    def _part(self, rows: Tensor, fresh_rows: Tensor, image_source: str | Arrays, stream: str) -> "Dilution":
        """Return a set of the same kind over some of the clean images."""
        part = Dilution.__new__(Dilution)
        part._open(
            self.data,
            clean_rows=rows,
            fresh_rows=fresh_rows,
            alpha=self.alpha,
            noise=self.noise,
            label_mode=self.label_mode,
            image_source=image_source,
            stratified=self.stratified,
            seed=self.seed,
            row_labels=self._row_labels,
            stream=stream,
        )
        return part

    def to(self, device: torch.device) -> "Dilution":
        """Return the same set on a device, where its labels and images are computed.

        Labels are bit-identical on every device: they are integer arithmetic on tables that are
        computed before they are moved.
        """
        if device == self.data.device:
            return self
        moved = _moved(self, device)
        moved.image_source = _moved(self.image_source, device)
        moved._sampler = None if self._sampler is None else _moved(self._sampler, device)
        return moved

    def length_for(self, n: int) -> int:
        """Return the number of examples that a set of the same kind has with n clean ones."""
        return n if self.label_mode == "replaced" else round(n * (1 + self.alpha))

    def __len__(self) -> int:
        return self.n + self.n_noisy

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return example `index`: image float32 (channels, height, width) in [0, 1], and its label."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside a dilution of {len(self)} examples")
        single = torch.tensor([int(index) % len(self)])
        return self.images(single)[0].float() / self.data.unit, int(self.labels(single))

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """Return a batch; ``DataLoader`` calls it instead of fetching single examples."""
        index = torch.tensor(indices)
        images, labels = self.images(index).float() / self.data.unit, self.labels(index)
        return list(zip(images, labels.tolist(), strict=True))

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return (self[index] for index in range(len(self)))

    def labels(self, index: Tensor) -> Tensor:
        """Return the labels of examples: int64, shape of `index` (int64, values in [0, len)).

        Raises
        ------
        IndexError
            If an index is out of range.
        """
        flat = self._checked(index).reshape(-1)
        k = flat - self.n
        own = self._own_labels[flat.clamp(max=self.n - 1)]
        if self._sampler is None or self.n_noisy == 0:
            return own.reshape(index.shape)
        noisy = self._added_labels(self._sampler, k.clamp(min=0))
        return torch.where(k < 0, own, noisy).reshape(index.shape)

    @property
    def own_labels(self) -> Tensor:
        """Label that each of the n images comes with, its clean one or the one that replaces it: int64."""
        return self._own_labels

    @property
    def row_labels(self) -> Tensor | None:
        """Label that the noise gives each row of the data, int64; None if it draws labels by class."""
        return self._row_labels

    def source(self, index: Tensor) -> Tensor:
        """Return the row of each example's image in the set it comes from; −1 for white noise.

        That set is the clean data, except for noisy examples (index ≥ n) with images of another
        data set.
        """
        flat = self._checked(index).reshape(-1)
        k = flat - self.n
        clean = self.clean_rows[flat.clamp(max=self.n - 1)]
        return torch.where(k < 0, clean, self.image_source.rows(k.clamp(min=0))).reshape(index.shape)

    def true_labels(self, index: Tensor) -> Tensor:
        """Return the true class of examples: int64, shape of `index`.

        An image of another data set or of white noise has the class of its partner.
        """
        flat = self._checked(index).reshape(-1)
        k = flat - self.n
        rows = torch.where(
            k < 0,
            self.clean_rows[flat.clamp(max=self.n - 1)],
            self.image_source.partners(k.clamp(min=0)),
        )
        return self.data.labels[rows].reshape(index.shape)

    def images(self, index: Tensor) -> Tensor:
        """Return images of the dtype of the data, shape (len(index), channels, height, width)."""
        index = self._checked(index)
        k = index - self.n
        if isinstance(self.image_source, SameImages | FreshImages):
            return self.data.take(self.source(index))
        images = self.data.take(self.clean_rows[index.clamp(max=self.n - 1)])
        noisy = (k >= 0).nonzero()[:, 0]
        images[noisy] = self.image_source.images(k[noisy])
        return images

    def to_arrays(self) -> Arrays:
        """Return all examples in memory: true classes as `labels`, the labels of this set as `observed`.

        Raises
        ------
        InputError
            If the images do not fit into memory.
        """
        n, data = len(self), self.data
        n_bytes = math.prod(data.shape) * (1 if data.dtype == torch.uint8 else 4)
        check_images_fit("this Dilution", n, n_bytes, f"{data.dtype} of shape {data.shape}")
        index = torch.arange(n, device=data.device)
        groups = None
        if data.groups is not None and isinstance(self.image_source, SameImages | FreshImages):
            groups = data.groups[self.source(index)].cpu()
        arrays = self.images(index).cpu(), self.true_labels(index).cpu()
        return Arrays(*arrays, data.classes, self.labels(index).cpu(), groups)

    def _checked(self, index: Tensor) -> Tensor:
        """Return an index as int64, once it is known to be one: arithmetic in fewer bits would overflow."""
        if isinstance(index, Tensor) and index.dtype == torch.bool:
            raise InputError(
                "index is torch.bool, a mask; it must be a tensor of int64. Give the places of its True "
                "values: index.nonzero()[:, 0]."
            )
        if not isinstance(index, Tensor) or index.dtype not in _INTEGER_TYPES:
            kind = index.dtype if isinstance(index, Tensor) else type(index).__name__
            raise InputError(f"index is {kind}; it must be a tensor of int64, such as torch.arange(10).")
        index = index.long()
        if index.numel():
            least, largest = index.aminmax()
            if least < 0 or largest >= len(self):
                raise IndexError(
                    f"indices from {least} to {largest} are not all in a dilution of {len(self)} examples"
                )
        return index

    def histogram(self, index: Tensor) -> Tensor:
        """Count all labels of clean images: the one that each comes with, and the added ones.

        Parameters
        ----------
        index
            Indices of clean examples, int64, shape (b,), values in [0, n).

        Returns
        -------
        Tensor
            int64, shape (b, classes). Each row sums to 1 + alpha where alpha is a whole number.

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
        own, index = self.labels(index), index.long()
        counts = index.new_zeros(len(index), self.classes)
        counts.scatter_add_(1, own[:, None], index.new_ones(len(index), 1))
        if self._sampler is None:
            return counts
        laps = -(-self.n_noisy // self.n)
        laps_per_chunk = max(1, _CHUNK // max(1, len(index)))
        for first in range(0, laps, laps_per_chunk):
            lap = torch.arange(first, min(first + laps_per_chunk, laps), device=index.device)
            k = index[:, None] + lap * self.n
            exists = k < self.n_noisy
            labels = self._added_labels(self._sampler, k.clamp(max=self.n_noisy - 1).reshape(-1))
            counts.scatter_add_(1, labels.reshape(k.shape), exists.long())
        return counts

    def _added_labels(self, sampler: LabelSampler, k: Tensor) -> Tensor:
        return sampler.sample(k, self.data.labels[self.image_source.partners(k)])

    def expected_noise_summary(self) -> NoiseSummary:
        """Return the expected noise, that of an infinite number of labels, as both expected and empirical.

        With observed labels it is the noise counted over the n images; the row of a class without
        images is that of clean labels.
        """
        transition = self.overall
        noise_rate = float(class_shares(self.data, self.clean_rows) @ (1 - np.diag(transition)))
        return NoiseSummary(self.alpha, self.alpha, noise_rate, noise_rate, transition, transition)

    def noise_summary(self, counts: Tensor | None = None) -> NoiseSummary:
        """Return the noise counted over all labels, beside the expected noise.

        Parameters
        ----------
        counts
            Labels per true class, int64, shape (classes, classes), if they were counted before.
            Default: all labels are computed and counted.
        """
        if counts is None:
            counts = self.clean_rows.new_zeros(self.classes, self.classes)
            chunk = _CHUNK_ON_GPU if counts.is_cuda else _CHUNK
            for start in range(0, len(self), chunk):
                index = torch.arange(start, min(start + chunk, len(self)), device=counts.device)
                counts += count_labels(self.true_labels(index), self.labels(index), self.classes)
        noise_rate, transition = empirical_noise(counts)
        summary = self.expected_noise_summary()
        if self.label_mode == "added":
            summary = replace(summary, alpha_empirical=self.n_noisy / self.n)
        return replace(summary, noise_rate_empirical=noise_rate, transition_empirical=transition)


_T = TypeVar("_T")


def _moved(instance: _T, device: torch.device) -> _T:
    """Return a copy of an object, its tensors and `Arrays` moved to a device."""
    moved = copy.copy(instance)
    for name, value in vars(instance).items():
        if isinstance(value, Tensor | Arrays):
            object.__setattr__(moved, name, value.to(device))  # some of the classes are frozen
    return moved


def _checked_size(data: Arrays, n: int | None, noise: LabelNoise, seed: int) -> int:
    """Return the number of clean examples, once the types of all arguments are checked."""
    check_arrays(data)
    rng.check_seed(seed)
    size = len(data) if n is None else n
    if not is_whole_number(size) or not 1 <= size <= len(data):
        raise InputError(
            f"n is {short_repr(n)}; it must be a whole number from 1 to {len(data)}, the size of the data "
            "set."
        )
    if not isinstance(noise, LabelNoise):
        call = python_call(noise) if isinstance(noise, str) else None
        if call is not None:
            raise InputError(
                f"noise is {short_repr(noise)}, a text, as studies and commands take it; in Python it is a "
                f"noise model. Give noise={call}."
            )
        raise InputError(
            f"noise is {short_repr(noise)}; it must be a noise model, such as dilution.uniform(), "
            "dilution.symmetric(rate=0.4) or dilution.structured(delta=0.5), or an instance of your own "
            "subclass of LabelNoise. dilution.list_noises() describes all."
        )
    check_named(noise)
    if len(data.classes) < 2:
        raise InputError(f"the data have {len(data.classes)} class; label noise needs at least 2.")
    return size
