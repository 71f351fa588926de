"""From a run to its outcome: open the data, dilute, train, report."""

import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from dilution.data import DATASETS, Arrays, DataSet, load
from dilution.errors import DilutionError, InputError, unknown
from dilution.noise import Dilution, LabelNoise, matrix, structured, uniform
from dilution.study.spec import PROTOCOL, Run
from dilution.training import confusability, train

Confusabilities = Mapping[str, list[list[float]]]
"""Measured confusability matrices, by the name that :func:`confusability_name` gives."""

IMAGE_SOURCES = ("same", "fresh", "white_noise")
"""Picture sources that are no data set."""

_KEPT_CLASSES = 20  # delivered matrices of more classes are not kept with every run


@lru_cache(maxsize=2)
def open_data(name: str, fingerprint: str, root: str | None) -> DataSet:
    """Load a data set once a process; `fingerprint` tells apart two contents of one file."""
    del fingerprint
    return load(name, root)


def needs_confusability(run: Run) -> bool:
    """Return whether the noise of a run ranks classes by confusability."""
    return run.noise == "structured" and run.noise_order in ("confusing", "reverse")


def confusability_name(run: Run) -> str:
    """Return the name under which the store keeps the confusability of a run's data."""
    return f"confusability/{PROTOCOL}/{run.dataset}/{run.fingerprint}"


def measure_confusability(run: Run, root: str | None) -> list[list[float]]:
    """Measure the confusability of a run's training data; rows are true classes."""
    data = open_data(run.dataset, run.fingerprint, root).train
    table: list[list[float]] = confusability(data).tolist()
    return table


def noise_of(run: Run, confusabilities: Confusabilities) -> LabelNoise:
    """Return the noise model of a run."""
    if run.noise == "uniform":
        return uniform()
    if run.matrix is not None:
        return matrix(run.matrix)
    if run.delta is None or run.noise_order is None:
        raise InputError(f"structured noise needs delta and noise_order; {run.key} lacks one.")
    measured = confusabilities.get(confusability_name(run))
    return structured(run.delta, run.noise_order, None if measured is None else np.asarray(measured))


def dilute(run: Run, root: str | None, confusabilities: Confusabilities) -> tuple[DataSet, Dilution]:
    """Open the data of a run and dilute its training half."""
    data = open_data(run.dataset, run.fingerprint, root)
    images: str | Arrays = run.images
    if run.images not in IMAGE_SOURCES:
        if run.images not in DATASETS and not run.images.endswith(".npz"):
            raise unknown("picture source", run.images, (*IMAGE_SOURCES, *DATASETS))
        images = load(run.images, root).train
    noisy = Dilution(
        data.train,
        alpha=run.alpha,
        eta=run.eta,
        noise=noise_of(run, confusabilities),
        images=images,
        n=run.n,
        stratified=run.stratified,
        seed=run.seed,
    )
    return data, noisy


def execute(run: Run, root: str | None, confusabilities: Confusabilities) -> dict[str, Any]:
    """Train a run and return its outcome, of values that JSON can hold.

    Any exception ends this run and no other: the outcome is then ``failed``, with the error's text.
    """
    try:
        data, noisy = dilute(run, root, confusabilities)
        result = train(
            run.network,
            noisy,
            test=data.test,
            seed=run.seed,
            validation=run.validation,
            settings=run.settings,
        )
    except DilutionError as error:
        return {"state": "failed", "error": str(error)}
    except Exception:  # recorded and reported with the run, not swallowed
        return {"state": "failed", "error": traceback.format_exc(limit=-8)}
    delivered = result.delivered
    measures: dict[str, Any] = {
        "alpha_used": delivered.alpha_requested,
        "alpha_delivered": delivered.alpha_delivered,
        "rate_requested": delivered.rate_requested,
        "rate_delivered": delivered.rate_delivered,
        "n_test": result.n_test,
        "majority": float(data.test.labels.bincount().max() / result.n_test),
        "image_note": noisy.image_source.note,
        "seconds": result.seconds,
        "diverged_at": result.diverged_at,
    } | result.summary()
    if noisy.classes <= _KEPT_CLASSES:
        measures["matrix_requested"] = delivered.matrix_requested.tolist()
        measures["matrix_delivered"] = np.nan_to_num(delivered.matrix_delivered).tolist()
    return {
        "state": result.state,
        "result": measures,
        "history": result.history.to_dict(orient="records"),
    }
