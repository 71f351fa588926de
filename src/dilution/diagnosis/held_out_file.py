"""The file of held-out predictions and noise fits beside a diagnosis, from which later commands go on."""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import softmax

from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.diagnosis.label_issues import VERIFIED_WRONG
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit
from dilution.diagnosis.result import Diagnosis
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.errors import DataError
from dilution.utils.estimate import Estimate
from dilution.utils.npz_size import RefusedArraysError, check_arrays_fit, load_arrays
from dilution.utils.regular_file import check_regular
from dilution.utils.strict_json import parse_json

NAME = "held_out.npz"
"""Name of the file in the folder of a diagnosis."""

MAX_VALUES = 50_000_000
"""Probabilities that are written at most: 400 MB. Of larger data there is no such file."""

_FITS = ("transition", "beta", "bias", "prior", "anchors")  # of NoiseFit, one entry per fit
_FIRST = ("fit", "alternative")  # whose probabilities of the true classes are written too
_ROUNDING = 1e-6
_DAMAGED = (
    *(OSError, ValueError, EOFError, NotImplementedError, RuntimeError, KeyError, MemoryError),
    *(zlib.error, zipfile.BadZipFile, RefusedArraysError),
)
_REMEDY = "Diagnose the data again."


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    examples_sha256: str
    model: str
    n_models: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=0)]
    loss: float
    baseline_loss: float
    n_bootstrap: Annotated[int, Field(ge=1, le=1_000_000)]
    min_per_class: int
    excess: tuple[float, float, float] | None


@dataclass(frozen=True)
class SavedPredictions:
    """What the file holds.

    Parameters
    ----------
    examples_sha256
        Checksum of the examples, as :func:`examples_checksum` returns it.
    cross_validation
        Held-out predictions.
    verified
        Verified classes, −1 where there is none; int64, shape (n,).
    fit, alternative, bootstrap_fits
        The noise fits. None beyond 100 classes, where they are fitted again.
    n_bootstrap
        Number of bootstrap samples.
    min_per_class, excess
        As of :class:`Diagnosis`.
    """

    examples_sha256: str
    cross_validation: CrossValidation
    verified: Ints
    fit: NoiseFit | None
    alternative: NoiseFit | None
    bootstrap_fits: tuple[NoiseFit, ...]
    n_bootstrap: int
    min_per_class: int
    excess: Estimate | None


def examples_checksum(classes: tuple[str, ...], labels: Ints, positions: Ints, ids: list[str]) -> str:
    """Return the SHA-256 of the noisy labels, positions and ids of all examples, in hex."""
    digest = hashlib.sha256(json.dumps([list(classes), ids]).encode())
    for values in (labels, positions):
        digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
    return digest.hexdigest()


def held_out_bytes(diagnosis: Diagnosis) -> bytes | None:
    """Return the content of the file; None if there are too many probabilities."""
    held_out = diagnosis.cross_validation
    if held_out.pred_probs.size > MAX_VALUES:
        return None
    issues = diagnosis.label_issues.sort_values("index")
    facts = _Facts(
        examples_sha256=examples_checksum(
            diagnosis.classes, diagnosis.labels, issues["index"].to_numpy(), [str(i) for i in issues["id"]]
        ),
        model=held_out.model,
        n_models=held_out.n_models,
        epochs=held_out.epochs,
        loss=held_out.loss,
        baseline_loss=held_out.baseline_loss,
        n_bootstrap=len(diagnosis.bootstrap_fits),
        min_per_class=diagnosis.min_per_class,
        excess=None
        if diagnosis.excess is None
        else (diagnosis.excess.value, diagnosis.excess.low, diagnosis.excess.high),
    )
    arrays: dict[str, NDArray[Any]] = {
        "facts": np.frombuffer(facts.model_dump_json().encode(), dtype=np.uint8),
        "pred_probs": held_out.pred_probs,
        "verified": verified_classes(diagnosis),
    }
    fits = [diagnosis.fit, diagnosis.alternative_fit, *diagnosis.bootstrap_fits]
    if all(isinstance(fit, NoiseFit) for fit in fits):
        arrays |= {name: np.stack([np.asarray(getattr(fit, name)) for fit in fits]) for name in _FITS}
        for name, fit in zip(_FIRST, fits, strict=False):
            arrays[f"{name}_probs"] = fit.class_probs  # type: ignore[union-attr]
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_held_out(path: Path) -> SavedPredictions:
    """Return the content of the file.

    Parameters
    ----------
    path
        The folder of a diagnosis, or its ``diagnosis.json``.

    Raises
    ------
    DataError
        If the file is missing, damaged, or holds something else. Nothing in it is executed.
    """
    file = (path if path.is_dir() else path.parent) / NAME
    if not path.exists() or not file.exists():
        raise DataError(
            f"{path} is no folder of a diagnosis with a file {NAME}, which dilution diagnose writes unless "
            f"there are more than {MAX_VALUES:,} probabilities. Name such a folder, or leave the diagnosis "
            "out."
        )
    check_regular(file)
    try:
        with file.open("rb") as opened:
            check_arrays_fit(opened)
            arrays = load_arrays(opened)
        return _parse(arrays)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{file} is none of this version: facts: {first['msg']}. {_REMEDY}") from error
    except _DAMAGED as error:
        raise DataError(f"{file} is damaged or of another version ({error}). {_REMEDY}") from error


def _parse(arrays: dict[str, NDArray[Any]]) -> SavedPredictions:
    """Return the checked content; raise ValueError or KeyError if it breaks a rule."""
    facts = _Facts.model_validate(parse_json(arrays["facts"].astype(np.uint8).tobytes()))
    pred_probs = _probabilities(arrays["pred_probs"], "pred_probs")
    n, classes = pred_probs.shape
    verified = arrays["verified"]
    if (
        verified.dtype != np.int64
        or verified.shape != (n,)
        or not ((verified >= WRONG_CLASS_UNKNOWN) & (verified < classes)).all()
    ):
        raise ValueError("verified must be classes of all examples")
    fits: list[NoiseFit] = []
    if "transition" in arrays:
        fits = _fits(arrays, pred_probs, verified, 2 + facts.n_bootstrap)
    held_out = CrossValidation(
        pred_probs, facts.model, facts.n_models, facts.epochs, facts.loss, facts.baseline_loss
    )
    return SavedPredictions(
        facts.examples_sha256,
        held_out,
        verified,
        fits[0] if fits else None,
        fits[1] if fits else None,
        tuple(fits[2:]),
        facts.n_bootstrap,
        facts.min_per_class,
        None if facts.excess is None else Estimate(*facts.excess),
    )


def verified_classes(diagnosis: Diagnosis) -> Ints:
    """Return the verified class of each example of a diagnosis, in their order, int64, shape (n,).

    ``WRONG_CLASS_UNKNOWN`` and −1 are as for :class:`dilution.diagnosis.verified_labels.VerifiedLabels`.
    """
    issues = diagnosis.label_issues.sort_values("index")
    numbers = {name: number for number, name in enumerate(diagnosis.classes)}
    verified = np.array([numbers.get(name, -1) for name in issues["verified_label"]], dtype=np.int64)
    is_wrong = issues["state"].to_numpy() == VERIFIED_WRONG
    return np.where(is_wrong & (verified < 0), WRONG_CLASS_UNKNOWN, verified)


def _fits(arrays: dict[str, NDArray[Any]], pred_probs: Floats, verified: Ints, count: int) -> list[NoiseFit]:
    """Return the noise fits; probabilities of the true classes of bootstrap fits are computed again."""
    classes = pred_probs.shape[1]
    shapes = {
        "transition": (count, classes, classes),
        "beta": (count,),
        "bias": (count, classes),
        "prior": (count, classes),
        "anchors": (count, classes, classes),
    }
    for name, shape in shapes.items():
        values = arrays[name]
        if values.dtype != np.float64 or values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite float64 of shape {shape}")
    for name in ("transition", "prior", "anchors"):
        _probabilities(arrays[name].reshape(-1, classes), name)
    predictions = HeldOutPredictions(pred_probs, verified, verified, np.ones(len(pred_probs)))
    fits: list[NoiseFit] = []
    log_unmixed: Floats | None = None
    for number in range(count):
        transition, beta, bias, prior, anchors = (arrays[name][number] for name in _FITS)
        if number < len(_FIRST):
            probs = _probabilities(arrays[f"{_FIRST[number]}_probs"], f"{_FIRST[number]}_probs")
            if probs.shape != pred_probs.shape:
                raise ValueError(f"{_FIRST[number]}_probs must be of the shape of pred_probs")
        else:
            if log_unmixed is None or not np.array_equal(anchors, arrays["anchors"][number - 1]):
                log_unmixed = predictions.log_unmixed(anchors)
            probs = softmax(float(beta) * log_unmixed + bias, axis=1)
        fits.append(NoiseFit(transition, float(beta), bias, probs, prior, anchors))
    return fits


def _probabilities(values: NDArray[Any], name: str) -> Floats:
    """Return rows of probabilities; raise ValueError if they are none."""
    is_valid = (
        values.dtype == np.float64
        and values.ndim == 2
        and values.shape[1] >= 2
        and np.isfinite(values).all()
        and (values >= 0).all()
        and (np.abs(values.sum(axis=1) - 1) < _ROUNDING).all()
    )
    if not is_valid:
        raise ValueError(f"{name} must be rows of probabilities")
    return values
