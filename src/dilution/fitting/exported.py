"""Fitted models as programs of torch.export, which run with torch alone, without this package."""

import copy
import io
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dilution.errors import InputError
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.fitted_model import FittedModel, Member, Network
from dilution.fitting.forest import Forest
from dilution.fitting.linear import ARRAYS as LINEAR_ARRAYS
from dilution.fitting.linear import Linear
from dilution.fitting.linear_head import LEAST_LENGTH, LinearHead
from dilution.training.image_features import efficientnet, scale_images
from dilution.utils.atomic import write_atomic
from dilution.utils.references import describe_exception

SUFFIX = ".pt2"
"""Extension of such programs."""


def export_model(model: FittedModel, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a fitted model as a program of torch.export, and return its path.

    ``torch.export.load(path).module()`` takes images as the model does, of any number, and returns the
    probability of each class, float64 of shape (b, classes). It does not read tables or files of images.

    Parameters
    ----------
    model
        A model of networks, trees and linear models. Of a model on features of the published network the
        program computes these too, from images of one size.
    path
        The file, which must end in ``.pt2``.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If a member is of another kind or cannot be traced, the features are those of a function of the user
        or of a network that is not installed, the extension is another one, or the file exists.
    DilutionError
        If the file cannot be written.
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise InputError(
            f"{target} must end in {SUFFIX}, as programs of torch.export do. Pass "
            f"{target.with_suffix(SUFFIX)}."
        )
    if not overwrite and (target.exists() or target.is_symlink()):
        raise InputError(f"{target} exists; it is not replaced. Choose another name, or pass overwrite=True.")
    if model.extractor is not None and model.extractor.sha256 is None:
        raise InputError(
            f"the model takes features of {model.extractor.name}, which a program of torch.export would not "
            "compute: a function of arrays cannot be traced. Save the model as it is, or fit it to the "
            "numbers that the function returns; the program then takes such numbers."
        )
    program = _Average(model).eval()
    images = torch.zeros(2, *model.shape, dtype=model.dtype)
    content = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # those of torch about its own serialisation
        dimensions = ({0: torch.export.Dim("examples")},)
        try:
            exported = torch.export.export(program, (images,), dynamic_shapes=dimensions)
        except Exception as error:  # torch raises nearly any for a network of the user
            reason = describe_exception(error).partition("\n")[0].rstrip(".")
            raise InputError(
                f"the model is {model.model!r}, which torch.export cannot trace ({reason}); its forward must "
                "not depend on values or on the number of images. Change it, or save the model as it is."
            ) from error
        torch.export.save(exported, content)
    return write_atomic(target, content.getvalue())


class _Average(nn.Module):
    """The mean of the probabilities of the members of a model."""

    def __init__(self, model: FittedModel) -> None:
        super().__init__()
        self.extractor = nn.Identity() if model.extractor is None else _PublishedFeatures()
        dtype = model.dtype if model.extractor is None else torch.float32
        self.members = nn.ModuleList(_module(member, dtype) for member in model.members)
        self._shares = tuple(model.shares)

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of each class, float64 of shape (b, classes)."""
        inputs = self.extractor(images)
        parts = [share * member(inputs) for share, member in zip(self._shares, self.members, strict=True)]
        return torch.stack(parts).sum(dim=0) / sum(self._shares)


class _PublishedFeatures(nn.Module):
    """Features of images by the published network, as rows of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.network = efficientnet().requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features, float32, shape (b, features, 1, 1)."""
        features: Tensor = self.network(scale_images(images))
        return features[:, :, None, None]


def _module(member: Member, dtype: torch.dtype) -> nn.Module:
    if isinstance(member, Network):
        return _NormalisedNetwork(member, is_float=dtype.is_floating_point)
    if isinstance(member, BoostedTrees):
        return _SummedTrees(member)
    if isinstance(member, Forest):
        return _AveragedTrees(member)
    if isinstance(member, LinearHead):
        return _Regression(member)
    if isinstance(member, Linear):
        return _TableRegression(member)
    raise InputError(
        f"a member of the model is a {type(member).__name__}; networks, boosted trees and forests become a "
        "program of torch.export. Fit one of these."
    )


class _NormalisedNetwork(nn.Module):
    """A network with the normalisation of its images."""

    def __init__(self, member: Network, *, is_float: bool) -> None:
        super().__init__()
        self.network = copy.deepcopy(member.module)
        self._is_float, self._compress = is_float, member.normalise.compress
        for name, values in member.normalise.to_arrays().items():
            self.register_buffer(f"_{name}", torch.from_numpy(values)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Return the softmax of the logits."""
        scale, shift, mean = (getattr(self, f"_{name}") for name in ("scale", "shift", "mean"))
        inputs = (images - mean) * scale if self._is_float else images.float() * scale + shift
        logits: Tensor = self.network(inputs.asinh() if self._compress else inputs)
        return logits.double().softmax(dim=1)


class _Regression(nn.Module):
    """Logistic regression on features of length 1."""

    def __init__(self, head: LinearHead) -> None:
        super().__init__()
        self._takes_roots = bool(head.takes_roots)
        self.register_buffer("_weights", torch.from_numpy(head.weights))
        self.register_buffer("_bias", torch.from_numpy(head.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Return the softmax of the logits."""
        values = images.flatten(1).double()
        values = values.clamp(min=0).sqrt() if self._takes_roots else values
        lengths = values.square().sum(dim=1, keepdim=True).sqrt().clamp(min=LEAST_LENGTH)
        weights, bias = (getattr(self, f"_{name}") for name in ("weights", "bias"))
        logits: Tensor = (values / lengths) @ weights + bias
        return logits.softmax(dim=1)


class _TableRegression(nn.Module):
    """Logistic regression on compressed features."""

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        for name in LINEAR_ARRAYS:
            self.register_buffer(f"_{name}", torch.from_numpy(getattr(linear, name)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the softmax of the logits."""
        mean, scale, weights, bias = (getattr(self, f"_{name}") for name in LINEAR_ARRAYS)
        values = ((images.flatten(1).double() - mean) * scale).asinh()
        logits: Tensor = values @ weights.T + bias
        return logits.softmax(dim=1)


class _Trees(nn.Module):
    """Leaves of all trees at once: each row descends as many levels as the deepest tree has."""

    def __init__(self, trees: BoostedTrees | Forest, dtype: torch.dtype) -> None:
        super().__init__()
        self._depth, self._dtype = _depth(trees.children), dtype
        self.register_buffer("_features", torch.from_numpy(trees.features.astype(np.int64)))
        self.register_buffer("_thresholds", torch.from_numpy(trees.thresholds))
        self.register_buffer("_children", torch.from_numpy(trees.children.astype(np.int64)))
        self.register_buffer("_roots", torch.from_numpy(trees.roots.astype(np.int64).reshape(-1)))

    def leaves(self, images: Tensor) -> Tensor:
        """Return the leaf of each row in each tree: int64, shape (b, trees)."""
        features, thresholds, children, roots = (
            getattr(self, f"_{name}") for name in ("features", "thresholds", "children", "roots")
        )
        values = images.flatten(1).to(self._dtype)
        nodes: Tensor = roots.expand(values.shape[0], -1)  # len would fix the number of rows
        for _ in range(self._depth):
            own = values.gather(1, features[nodes].clamp(min=0))
            nodes = children[nodes, (own > thresholds[nodes]).long()]
        return nodes


class _SummedTrees(_Trees):
    """Boosted trees."""

    def __init__(self, trees: BoostedTrees) -> None:
        super().__init__(trees, torch.float64)
        self._n_classes, self._n_scores = trees.n_classes, len(trees.baseline)
        self.register_buffer("_values", torch.from_numpy(trees.values))
        self.register_buffer("_baseline", torch.from_numpy(trees.baseline))
        columns = np.zeros((len(trees.columns), trees.n_classes))
        columns[np.arange(len(trees.columns)), trees.columns] = 1
        self.register_buffer("_columns", torch.from_numpy(columns))

    def forward(self, images: Tensor) -> Tensor:
        """Return the softmax of the summed scores."""
        values, baseline, columns = (getattr(self, f"_{name}") for name in ("values", "baseline", "columns"))
        scores = values[self.leaves(images)].unflatten(1, (-1, self._n_scores)).sum(dim=1) + baseline
        if self._n_scores == 1:
            scores = torch.cat([torch.zeros_like(scores), scores], dim=1)
        probabilities: Tensor = scores.softmax(dim=1) @ columns
        return probabilities


class _AveragedTrees(_Trees):
    """A forest."""

    def __init__(self, forest: Forest) -> None:
        super().__init__(forest, torch.float32)
        self.register_buffer("_values", torch.from_numpy(forest.values.astype(np.float64)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of the class shares."""
        total = self._values[self.leaves(images)].sum(dim=1)  # type: ignore[index]
        return total / total.sum(dim=1, keepdim=True)


def _depth(children: NDArray[np.int32]) -> int:
    """Return the number of levels below the roots; children lie behind their parents."""
    height = np.zeros(len(children), dtype=np.int64)
    for node in range(len(children) - 1, -1, -1):
        left, right = children[node]
        if left != node:
            height[node] = 1 + max(height[left], height[right])
    return int(height.max(initial=0))
