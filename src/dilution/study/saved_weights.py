"""Models of trained runs, from the weights that were saved when they were trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.errors import DataError, DilutionError, InputError, short_repr, unknown
from dilution.models import MODELS, build_model, names_factory
from dilution.study.run_spec import Run
from dilution.study.store import Store
from dilution.study.weight_files import FORMAT, SavedStep, check_saved_step, saved_weights
from dilution.training.evaluation import Normalise, predict_logits
from dilution.training.strategies import join_networks
from dilution.utils.strict_json import parse_json
from dilution.utils.zip_directory import check_stored, open_zip

ModelFactory = Callable[[tuple[int, int, int], int], nn.Module]
"""Function of the image shape and the number of classes that returns a model."""

_REMEDY = "Train the run again in another store, with its weights saved."
_TYPES = {
    "format": str, "run": str, "which": str, "step": int | None, "shape": list, "classes": list,
    "networks": int, "is_float": bool, "compress": bool, "normalise": dict, "weights": dict,
}  # fmt: skip
_MAX_NETWORKS = 100  # of a strategy
_MAX_DIRECTORY = 1 << 22  # bytes of the list of tensors in a file: fifty thousand


@dataclass(frozen=True, repr=False)
class SavedModel:
    """The model of a run, with the weights that were saved.

    Parameters
    ----------
    run
        The run.
    which
        ``"best"``: the weights are those of the evaluation with the lowest loss on noisy validation labels,
        whose test accuracy the table has as ``test_acc_at_best_noisy_val``; ``"best_acc"``: with the highest
        accuracy on them, ``test_acc_at_best_noisy_acc``; ``"last"``: those after the last step,
        ``test_acc_last``.
    step
        Optimizer steps after which they were saved.
    classes
        Names of the classes.
    model
        The model in evaluation mode, on the CPU.
    normalise
        The normalisation of images that the model was trained with.
    """

    run: Run
    which: SavedStep
    step: int | None
    classes: tuple[str, ...]
    model: nn.Module
    normalise: Normalise

    def __repr__(self) -> str:
        """Return the run, the step, and what the model is."""
        return f"SavedModel({self.run.model!r} of run {self.run.key}, {self.which}, step {self.step})"

    def predict(self, images: Tensor | Arrays) -> Tensor:
        """Return class probabilities, float32 of shape (b, classes), for images of the data's dtype."""
        return predict_logits(self.model, self.normalise, images).softmax(dim=1)


def load_weights(
    key: str,
    store: str | Path = "results.sqlite",
    *,
    which: SavedStep = "best",
    model: str | ModelFactory | None = None,
) -> SavedModel:
    """Return the model of a run of a store with the weights that were saved when it was trained.

    Nothing in the file is executed. A model of your own is built by your function, which must be named.

    Parameters
    ----------
    key
        Key of the run, or enough of its first characters.
    store
        The store.
    which
        ``"best"``, ``"best_acc"`` or ``"last"``, as the weights were saved.
    model
        For a model of your own: ``"module:factory"`` as in the run, which is imported, or the function
        itself.

    Returns
    -------
    SavedModel

    Raises
    ------
    InputError
        If there is no such run or no weights of it were saved, or the model is one of your own and is not
        named.
    DataError
        If the file is damaged, was changed, or is none of the run.
    StoreError
        If the store cannot be read.
    """
    check_saved_step(which)
    path = Path(store)
    with Store(path, create=False) as opened:
        row = opened.row(key)
    files = saved_weights(path, row["key"])
    if which not in files:
        other = next((name for name in files if name != which), None)
        remedy = (
            f"Its {other} ones were: which={other!r}."
            if other
            else "Run its study in another store, with --save-weights best or Execution(save_weights='best')."
        )
        raise InputError(f"no {which} weights of run {row['key']} were saved beside {path}. {remedy}")
    content = _read(files[which])
    if content["which"] != which:
        raise DataError(f"{files[which]} holds the weights of another step than {which!r}. {_REMEDY}")
    run = _run_of(content, files[which])
    if not run.has_key(row["key"]):
        raise DataError(f"{files[which]} holds the weights of run {run.key}, not of {row['key']}. {_REMEDY}")
    if model is None and names_factory(run.model):
        raise InputError(
            f"the model of run {run.key} is {run.model!r}, a function of your own, which a file cannot name "
            f"by itself. If you trust that code: dilution.load_weights({run.key!r}, {str(path)!r}, "
            f"model={run.model!r})."
        )
    return _saved_model(content, run, which, files[which], model)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a file, each part of its type."""
    try:
        with path.open("rb") as file:
            _check_archive(file, path.stat().st_size)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"the weights {path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # whatever torch raises where bytes are none of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{path} holds no weights of a run ({reason[:200]}). {_REMEDY}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} holds no weights of a run: it does not begin with {FORMAT!r}. {_REMEDY}")
    for name, kind in _TYPES.items():
        if not isinstance(content.get(name), kind):
            raise DataError(f"{path} holds no weights of a run: its {name} is missing or damaged. {_REMEDY}")
    return content


def _check_archive(file: Any, size: int) -> None:
    """Refuse an archive that is damaged, compressed, or announces more bytes than it has."""
    with open_zip(file, _MAX_DIRECTORY) as archive:
        check_stored(archive, size)
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {short_repr(damaged)} is wrong")


def _saved_model(
    content: Mapping[str, Any], run: Run, which: SavedStep, path: Path, model: str | ModelFactory | None
) -> SavedModel:
    shape, classes = content["shape"], content["classes"]
    is_shape = len(shape) == 3 and all(type(length) is int and length > 0 for length in shape)
    if not is_shape or not classes or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{path} holds no weights of a run: its shape or classes are damaged. {_REMEDY}")
    networks = content["networks"]
    if not 1 <= networks <= _MAX_NETWORKS:
        raise DataError(f"{path} holds no weights of a run: it has {networks} networks. {_REMEDY}")
    size = shape[0], shape[1], shape[2]
    empty = [_empty_model(run.model, size, len(classes), model, path) for _ in range(networks)]
    module = _with_weights(join_networks(empty), content["weights"], path)
    normalise = _normalise(content, size[0], path)
    return SavedModel(run, which, content["step"], tuple(classes), module, normalise)


def _run_of(content: Mapping[str, Any], path: Path) -> Run:
    try:
        spec = parse_json(content["run"])
        if not isinstance(spec, dict):
            raise ValueError("its settings are no table")
        return Run.of(**spec)
    except (DilutionError, ValueError, TypeError) as error:
        raise DataError(f"{path} holds no weights of a run: {error} {_REMEDY}") from None


def _empty_model(
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    model: str | ModelFactory | None,
    path: Path,
) -> nn.Module:
    """Return the model without its weights; one of this package takes no memory, whatever its size."""
    if name in MODELS and model in (None, name):
        try:
            with torch.device("meta"):
                return MODELS[name].factory(shape, classes)
        except (RuntimeError, OverflowError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"{path} holds no weights: {name} of its shape fails ({reason}).") from error
    if callable(model):
        return model(shape, classes)
    if model != name:
        raise unknown("model of this run", str(model), [name])
    return build_model(name, shape, classes, seed=0)


def _with_weights(module: nn.Module, weights: Mapping[str, Any], path: Path) -> nn.Module:
    """Return a model with weights, which must be those of the model by name, shape and type."""
    expected = module.state_dict()
    fault = next((f"lacks {name!r}" for name in expected if name not in weights), "")
    fault = fault or next((f"has {short_repr(name)} besides" for name in weights if name not in expected), "")
    for name, tensor in expected.items() if not fault else ():
        given = weights[name]
        is_tensor = isinstance(given, Tensor) and not given.is_sparse and not given.is_quantized
        if not is_tensor or given.shape != tensor.shape or given.dtype != tensor.dtype:
            fault = f"has no {tensor.dtype} of shape {tuple(tensor.shape)} as {name!r}"
            break
    # A few bytes can stand for a tensor of any shape, by strides of 0; each is copied below.
    if not fault and sum(tensor.nbytes for tensor in expected.values()) > path.stat().st_size:
        fault = "has fewer bytes than the weights of its shape"
    if fault:
        raise DataError(f"the weights in {path} do not fit the model: the file {fault}. {_REMEDY}")
    module.load_state_dict({name: weights[name].clone() for name in expected}, assign=True)
    return module.requires_grad_(True).eval()


def _normalise(content: Mapping[str, Any], channels: int, path: Path) -> Normalise:
    tensors = content["normalise"]
    for name in ("scale", "shift", "mean"):
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32 or tensor.shape != (channels,):
            raise DataError(
                f"{path} holds no weights of a run: its normalisation {name} is damaged. {_REMEDY}"
            )
    dtype = torch.float32 if content["is_float"] else torch.uint8
    arrays = {name: tensors[name].numpy() for name in ("scale", "shift", "mean")}
    return Normalise.from_arrays(arrays, dtype, compress=content["compress"])
