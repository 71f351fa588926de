"""Fitted models in files: a description as JSON and the weights as arrays; nothing in a file is executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from dilution.data.formats.table_encoding import TableEncoding
from dilution.errors import DataError, InputError
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.checked_zip import CheckedZip, is_checked_zip
from dilution.fitting.estimator_learner import FittedEstimator, cannot_save
from dilution.fitting.extractor import open_extractor
from dilution.fitting.fitted_model import FittedModel, Member, Network
from dilution.fitting.forest import ARRAYS as FOREST_ARRAYS
from dilution.fitting.forest import Forest
from dilution.fitting.label_types import can_convert
from dilution.fitting.linear import ARRAYS as LINEAR_ARRAYS
from dilution.fitting.linear import Linear
from dilution.fitting.linear_head import ARRAYS as HEAD_ARRAYS
from dilution.fitting.linear_head import LinearHead
from dilution.fitting.model_content import (
    Content,
    ForestEntry,
    LinearEntry,
    LinearHeadEntry,
    MemberEntry,
    NetworkEntry,
    TreesEntry,
)
from dilution.fitting.named_code import trust_remedy
from dilution.models.convnet import channels_last
from dilution.models.own_names import names_factory
from dilution.models.registry import MODELS, ModelFactory, build_model
from dilution.training.evaluation import Normalise
from dilution.training.image_features import ExtractFeatures
from dilution.utils.atomic import write_atomic
from dilution.utils.version import versions

SCHEMA_VERSION = 1
"""Version of the content; it increases where older programs could not read a file."""

_NORMALISE = ("scale", "shift", "mean")
_TREES = ("features", "thresholds", "children", "values", "roots", "baseline", "columns")
_DTYPES = {"uint8": torch.uint8, "float32": torch.float32}
_TENSOR_TYPES = "fiub"  # kinds of NumPy's types
_SHARE_ROUNDING = 1e-6
_REMEDY = "Fit the model again."


def save_model(model: FittedModel, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a fitted model to a file and return its path.

    Parameters
    ----------
    model
        The model.
    path
        The file, such as ``model.dilution``. An undamaged model file of that name is replaced.
    overwrite
        Whether any other file of that name may be replaced.

    Raises
    ------
    InputError
        If there is another file, a weight is not finite, or the facts are no JSON.
    DilutionError
        If the file cannot be written.
    """
    target = Path(path)
    if not overwrite and (target.is_symlink() or target.exists()) and not is_checked_zip(target):
        raise InputError(
            f"{target} exists and is no model file; it is not replaced. Choose another name, or --overwrite "
            "(overwrite=True) to replace it."
        )
    arrays: dict[str, NDArray[Any]] = {}
    entries = [_describe(member, f"weights/{number}", arrays) for number, member in enumerate(model.members)]
    content = {
        "schema_version": SCHEMA_VERSION,
        "versions": versions(),
        "model": model.model,
        "shape": list(model.shape),
        "dtype": str(model.dtype).removeprefix("torch."),
        "classes": list(model.classes),
        "method": model.method,
        "encoding": None if model.encoding is None else model.encoding.to_dict(),
        "facts": dict(model.facts),
        "members": [entry.model_dump() for entry in entries],
        "shares": list(model.shares),
        "features": None if model.extractor is None else model.extractor.to_dict(),
        "label_type": model.label_type,
    }
    try:
        written = CheckedZip(content, arrays).to_bytes()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the facts of the model cannot be written as JSON ({error}); they must be numbers, texts, lists "
            "and dicts. Leave others out."
        ) from error
    return write_atomic(target, written)


def load_model(
    path: str | Path,
    *,
    model: str | ModelFactory | None = None,
    features: str | ExtractFeatures | None = None,
) -> FittedModel:
    """Return the fitted model in a file.

    Nothing in the file is executed. A network of your own is built by your function, which must be named; so
    must be a function of your own that computes features.

    Parameters
    ----------
    path
        A file that :func:`save_model` or ``dilution fit`` wrote.
    model
        For a network of your own: ``"module:factory"`` as in the file, which is imported, or the function
        itself. Others are built by this package.
    features
        For features by a function of your own: ``"module:function"`` as in the file, which is imported, or
        the function itself.

    Raises
    ------
    DataError
        If the file is missing, damaged, was changed, was written by a newer version, or is no model file.
    InputError
        If the model or the function of features is one of your own and is not named, its weights do not fit
        the one named, or the weights of a published network are not installed.
    """
    source = Path(path)
    checked = CheckedZip.read(source)
    content = _parse(checked.text, source)
    _check_encoding(content, source)
    extractor, taken = None, content
    if content.features is not None:
        described = content.features
        extractor = open_extractor(
            described.name, described.n_features, described.sha256, features, str(source)
        )
        taken = content.model_copy(update={"shape": extractor.shape, "dtype": "float32"})
    if not can_convert(content.classes, content.label_type):
        raise DataError(
            f"{source} is no model file: {content.label_type} labels do not have names such as "
            f"{content.classes[0]!r}. {_REMEDY}"
        )
    arrays = dict(checked.arrays)
    members = [
        _member(entry, f"weights/{number}", arrays, taken, model, source)
        for number, entry in enumerate(content.members)
    ]
    if arrays:
        raise DataError(
            f"{source} is no model file: it has arrays of no use, such as {next(iter(arrays))!r}."
        )
    if len(content.shares) != len(members) or abs(sum(content.shares) - 1) > _SHARE_ROUNDING:
        raise DataError(f"{source} is no model file: the shares of its members do not sum to 1. {_REMEDY}")
    return FittedModel(
        content.model,
        content.shape,
        _DTYPES[content.dtype],
        content.classes,
        members,
        content.method,
        content.encoding,
        content.facts,
        content.shares,
        extractor,
        content.label_type,
    )


def _describe(member: Member, folder: str, arrays: dict[str, NDArray[Any]]) -> MemberEntry:
    """Return the entry of a member, and add its arrays."""
    if isinstance(member, BoostedTrees):
        arrays |= {f"{folder}/{name}": getattr(member, name) for name in _TREES}
        return TreesEntry(kind="boosted trees")
    if isinstance(member, Forest):
        arrays |= {f"{folder}/{name}": getattr(member, name) for name in FOREST_ARRAYS}
        return ForestEntry(kind="forest")
    if isinstance(member, LinearHead):
        arrays |= {f"{folder}/{name}": getattr(member, name) for name in HEAD_ARRAYS}
        return LinearHeadEntry(kind="linear head")
    if isinstance(member, Linear):
        arrays |= {f"{folder}/{name}": getattr(member, name) for name in LINEAR_ARRAYS}
        return LinearEntry(kind="linear")
    if isinstance(member, FittedEstimator):
        raise InputError(cannot_save(member.name))
    if not isinstance(member, Network):
        raise InputError(
            f"a member of the model is a {type(member).__name__}; a file holds networks and boosted trees. "
            "Pickle this model yourself, with joblib for instance, or fit one of those."
        )
    state = member.module.state_dict()
    for number, (name, tensor) in enumerate(state.items()):
        arrays[f"{folder}/{number}"] = _to_array(tensor, name)
    for name, array in member.normalise.to_arrays().items():
        arrays[f"{folder}/{name}"] = array
    as_rows = [name for name, tensor in state.items() if _is_channels_last(tensor)]
    return NetworkEntry(
        kind="network",
        tensors=list(state),
        channels_last=as_rows,
        compress=member.normalise.compress,
    )


def _to_array(tensor: Tensor, name: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = tensor.numpy(force=True)
    except (TypeError, RuntimeError) as error:
        raise InputError(
            f"{name!r} of the model is {tensor.dtype}, which NumPy does not have; a file holds plain arrays. "
            "Convert the model with .float()."
        ) from error
    if array.dtype.kind not in _TENSOR_TYPES or (array.dtype.kind == "f" and not np.isfinite(array).all()):
        raise InputError(
            f"{name!r} of the model holds values that are no finite real numbers; such a model predicts "
            "nothing. Train it with a smaller learning rate."
        )
    return array


def _is_channels_last(tensor: Tensor) -> bool:
    """Return whether a tensor is stored as (b, h, w, c), which may change the last bits of a convolution."""
    return (
        tensor.ndim == 4 and tensor.stride() == channels_last(tensor).stride() and not tensor.is_contiguous()
    )


def _parse(text: Mapping[str, Any], path: Path) -> Content:
    """Return the description of a model, checked."""
    version = text.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise DataError(
            f"{path} was written by a newer version of dilution (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}). Update dilution with `pip install --upgrade dilution`."
        )
    try:
        return Content.model_validate(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its beginning"
        raise DataError(
            f"{path} is no model file: {place} in its model.json: {first['msg']}. {_REMEDY}"
        ) from error


def _check_encoding(content: Content, path: Path) -> None:
    """Raise DataError if the features of a table are others than those of the model."""
    encoding = content.encoding
    if content.features is not None and (content.dtype != "uint8" or isinstance(encoding, TableEncoding)):
        raise DataError(f"{path} is no model file: its features are of what are no images. {_REMEDY}")
    if not isinstance(encoding, TableEncoding):
        return
    if content.shape != (encoding.n_features, 1, 1) or content.dtype != "float32":
        raise DataError(
            f"{path} is no model file: the table in it becomes {encoding.n_features} features, and the model "
            f"takes {content.dtype} of shape {content.shape}. {_REMEDY}"
        )


def _member(
    entry: MemberEntry,
    folder: str,
    arrays: dict[str, NDArray[Any]],
    content: Content,
    model: str | ModelFactory | None,
    path: Path,
) -> Member:
    """Return a member; its arrays are taken out of `arrays`."""
    if isinstance(entry, NetworkEntry):
        names: tuple[str, ...] = (*map(str, range(len(entry.tensors))), *_NORMALISE)
    elif isinstance(entry, LinearHeadEntry | LinearEntry):
        names = HEAD_ARRAYS if isinstance(entry, LinearHeadEntry) else LINEAR_ARRAYS
    else:
        names = _TREES if isinstance(entry, TreesEntry) else FOREST_ARRAYS
    try:
        own = {name: arrays.pop(f"{folder}/{name}") for name in names}
    except KeyError as error:
        raise DataError(f"{path} is no model file: it lacks the array {error}. {_REMEDY}") from error
    if isinstance(entry, LinearHeadEntry | LinearEntry):
        return _linear(LinearHead if isinstance(entry, LinearHeadEntry) else Linear, own, content, path)
    if not isinstance(entry, NetworkEntry):
        return _trees(own, content, path, is_forest=isinstance(entry, ForestEntry))
    channels = content.shape[0]
    for name in _NORMALISE:
        array = own[name]
        if array.shape != (channels,) or array.dtype != np.float32 or not np.isfinite(array).all():
            raise DataError(
                f"{path} is no model file: {name} is {array.dtype} of shape {array.shape} and must be finite "
                f"float32 of shape ({channels},). {_REMEDY}"
            )
    state = {
        name: _to_tensor(own[str(number)], is_channels_last=name in entry.channels_last, path=path)
        for number, name in enumerate(entry.tensors)
    }
    module = _with_weights(_empty_module(content, model, path), state, path)
    normalise = Normalise.from_arrays(own, _DTYPES[content.dtype], compress=entry.compress)
    return Network(module, normalise)


def _trees(
    arrays: dict[str, NDArray[Any]], content: Content, path: Path, *, is_forest: bool
) -> BoostedTrees | Forest:
    kinds = {name: "f" if name in ("thresholds", "values", "baseline") else "i" for name in arrays}
    for name, array in arrays.items():
        if array.dtype.kind != kinds[name]:
            raise DataError(f"{path} is no model file: {name} of its trees is {array.dtype}. {_REMEDY}")
    try:
        trees = Forest(**arrays) if is_forest else BoostedTrees(**arrays, n_classes=len(content.classes))
    except InputError as error:
        raise DataError(f"{path} is no model file: {error}") from error
    if isinstance(trees, Forest) and trees.n_classes != len(content.classes):
        raise DataError(
            f"{path} is no model file: its forest has {trees.n_classes} classes, and the model has "
            f"{len(content.classes)}. {_REMEDY}"
        )
    if trees.n_features > np.prod(content.shape):
        raise DataError(
            f"{path} is no model file: its trees need {trees.n_features} features, and the model has "
            f"{int(np.prod(content.shape))}. {_REMEDY}"
        )
    return trees


def _linear(
    kind: type[LinearHead] | type[Linear], arrays: dict[str, NDArray[Any]], content: Content, path: Path
) -> LinearHead | Linear:
    try:
        head = kind(**arrays)
    except InputError as error:
        raise DataError(f"{path} is no model file: {error} {_REMEDY}") from error
    needed = int(np.prod(content.shape)), len(content.classes)
    if (head.n_features, head.n_classes) != needed:
        raise DataError(
            f"{path} is no model file: its linear model takes {head.n_features} features and has "
            f"{head.n_classes} classes in place of {needed[0]} and {needed[1]}. {_REMEDY}"
        )
    return head


def _to_tensor(array: NDArray[Any], *, is_channels_last: bool, path: Path) -> Tensor:
    try:
        tensor = torch.from_numpy(array)
    except (TypeError, ValueError) as error:  # ValueError: bytes in the order of another machine
        raise DataError(f"{path} is no model file: its weights are {array.dtype}. {_REMEDY}") from error
    return channels_last(tensor) if is_channels_last and tensor.ndim == 4 else tensor


def _empty_module(content: Content, model: str | ModelFactory | None, path: Path) -> nn.Module:
    """Return the network without its weights: one of this package takes no memory, whatever its size."""
    name, n_classes = content.model, len(content.classes)
    if name in MODELS and model in (None, name):
        try:
            with torch.device("meta"):
                return MODELS[name].factory(content.shape, n_classes)
        except (RuntimeError, OverflowError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"{path} is no model file: {name} of its shape fails ({reason}). {_REMEDY}"
            ) from error
    if callable(model):
        return model(content.shape, n_classes)
    if model is None or model != name or not names_factory(name):
        remedy = trust_remedy(str(path), "model", name, "the function that makes it")
        given = "" if model is None else f", and model is {model!r}"
        raise InputError(
            f"the model in {path} is {name!r}{given}; a network of your own is built by your function, which "
            f"a file cannot name by itself. {remedy}"
        )
    return build_model(name, content.shape, n_classes, seed=0)


def _with_weights(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Return a network with weights, which must be those of the network by name, shape and type."""
    expected = module.state_dict()
    fault = next((f"lacks {name!r}" for name in expected if name not in state), "")
    fault = fault or next((f"has {name!r} besides" for name in state if name not in expected), "")
    for name, tensor in expected.items() if not fault else ():
        given = state[name]
        if given.shape != tensor.shape or given.dtype != tensor.dtype:
            fault = (
                f"has {name!r} as {given.dtype} of shape {tuple(given.shape)} in place of {tensor.dtype} of "
                f"shape {tuple(tensor.shape)}"
            )
            break
        if given.is_floating_point() and not given.isfinite().all():
            fault = f"has values in {name!r} that are not finite"
            break
    if fault:
        raise DataError(f"the weights in {path} do not fit the model: the file {fault}. {_REMEDY}")
    module.load_state_dict(dict(state), assign=True)
    return module.eval()
