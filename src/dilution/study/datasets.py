"""The data of a run: the opened data set and its dilution."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from dilution.data import DATASETS, Arrays, DataSet, is_dataset_name, load, with_label_file
from dilution.errors import unknown
from dilution.noise import (
    IMAGE_SOURCES,
    Dilution,
    LabelNoise,
    matrix,
    noise_named,
    observed,
    structured,
    uniform,
)
from dilution.study.run_spec import PROTOCOL, Run
from dilution.training import confusability, resolve_trainable

Confusabilities = Mapping[str, list[list[float]]]
"""Measured confusability matrices, by the name that :func:`confusability_name` returns."""

_provided: dict[tuple[str, str], DataSet] = {}


def provide_data(name: str, fingerprint: str, data: DataSet) -> None:
    """Make :func:`open_data` return `data` for this name and fingerprint instead of loading it."""
    _provided[name, fingerprint] = data


def open_data(name: str, fingerprint: str, root: str | None) -> DataSet:
    """Return a data set, loaded once per process.

    Parameters
    ----------
    name
        Name of the data set, or custom data.
    fingerprint
        Fingerprint of a run, which distinguishes two contents of one file. Empty if it is not known yet: the
        content is that of now.
    root
        Folder of downloaded data.
    """
    provided = _provided.get((name, fingerprint))
    if provided is not None:
        return provided
    return _load(name, fingerprint, root) if fingerprint else load(name, root)


@lru_cache(maxsize=2)
def _load(name: str, fingerprint: str, root: str | None) -> DataSet:
    del fingerprint  # only a part of the cache key
    return load(name, root)


def takes_steps(run: Run, root: str | None) -> bool:
    """Return whether a run trains a model in optimizer steps; otherwise it fits an estimator."""
    return trains_in_steps(run, open_data(run.dataset, run.fingerprint, root).train)


def trains_in_steps(run: Run, train: Arrays) -> bool:
    """Return :func:`takes_steps` of a run with this training split."""
    return resolve_trainable(run.model, train.shape, len(train.classes)).takes_steps


def needs_confusability(run: Run) -> bool:
    """Return whether the noise of a run ranks classes by confusability."""
    return run.noise == "structured" and run.noise_order in ("confusing", "reverse")


def confusability_name(run: Run) -> str:
    """Return the artifact name under which the store keeps the confusability of a run's data."""
    return f"confusability/{PROTOCOL}/{run.dataset}/{run.fingerprint}"


def measure_confusability(run: Run, root: str | None, device: str) -> list[list[float]]:
    """Return the measured confusability of a run's training data; rows are true classes."""
    data = open_data(run.dataset, run.fingerprint, root).train
    rows: list[list[float]] = confusability(data, device=device).tolist()
    return rows


def noise_model(run: Run, confusabilities: Confusabilities) -> LabelNoise:
    """Return the noise model of a run."""
    match run.noise:
        case "uniform":
            return uniform()
        case "observed":
            return observed()
        case "matrix":
            assert run.matrix is not None, "Run checks it"
            return matrix(run.matrix)
        case "structured":
            assert run.delta is not None, "Run checks it"
            assert run.noise_order is not None, "Run sets it"
            measured = confusabilities.get(confusability_name(run))
            table = None if measured is None else np.asarray(measured)
            return structured(run.delta, run.noise_order, table)
        case _:
            return noise_named(run.noise)


def dilute(run: Run, root: str | None, confusabilities: Confusabilities) -> tuple[DataSet, Dilution]:
    """Return the data set of a run and the dilution of its train split."""
    data = open_data(run.dataset, run.fingerprint, root)
    image_source: str | Arrays = run.image_source
    if run.image_source not in IMAGE_SOURCES:
        if not is_dataset_name(run.image_source):
            raise unknown("image source", run.image_source, (*IMAGE_SOURCES, *DATASETS))
        image_source = open_data(run.image_source, run.fingerprint, root).train
    noisy = Dilution(
        with_label_file(data.train, run.labels) if run.labels else data.train,
        alpha=run.alpha,
        eta=run.eta,
        noise=noise_model(run, confusabilities),
        label_mode=run.label_mode,
        image_source=image_source,
        n=run.n,
        stratified=run.stratified,
        seed=run.seed,
    )
    return data, noisy
