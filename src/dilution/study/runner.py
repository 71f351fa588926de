"""From a run to its outcome: open the data, dilute, train, report."""

import math
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dilution.data import DATASETS, Arrays, DataSet, load, names_data
from dilution.errors import DilutionError, InputError, unknown
from dilution.noise import Dilution, LabelNoise, matrix, observed, structured, uniform
from dilution.study.run_spec import IMAGE_SOURCES, PROTOCOL, Run
from dilution.training import (
    Checkpoint,
    Task,
    TrainResult,
    confusability,
    device_title,
    kind_of,
    train_together,
)

Confusabilities = Mapping[str, list[list[float]]]
"""Measured confusability matrices, by the name that :func:`confusability_name` gives."""

_KEPT_CLASSES = 20  # delivered matrices of more classes are not kept with every run


_provided: dict[tuple[str, str], DataSet] = {}


def provide(name: str, fingerprint: str, data: DataSet) -> None:
    """Have :func:`open_data` return these data: they came from elsewhere."""
    _provided[name, fingerprint] = data


def open_data(name: str, fingerprint: str, root: str | None) -> DataSet:
    """Load a data set once a process; `fingerprint` tells apart two contents of one file."""
    given = _provided.get((name, fingerprint))
    return _load(name, fingerprint, root) if given is None else given


@lru_cache(maxsize=2)
def _load(name: str, fingerprint: str, root: str | None) -> DataSet:
    del fingerprint
    return load(name, root)


def learns_at_once(run: Run, root: str | None) -> bool:
    """Return whether a run is of a learner that takes no steps."""
    data = open_data(run.dataset, run.fingerprint, root).train
    return kind_of(run.model, data.shape, len(data.classes)) == "estimator"


def needs_confusability(run: Run) -> bool:
    """Return whether the noise of a run ranks classes by confusability."""
    return run.noise == "structured" and run.noise_order in ("confusing", "reverse")


def confusability_name(run: Run) -> str:
    """Return the name under which the store keeps the confusability of a run's data."""
    return f"confusability/{PROTOCOL}/{run.dataset}/{run.fingerprint}"


def measure_confusability(run: Run, root: str | None, device: str) -> list[list[float]]:
    """Measure the confusability of a run's training data; rows are true classes."""
    data = open_data(run.dataset, run.fingerprint, root).train
    table: list[list[float]] = confusability(data, device=device).tolist()
    return table


def noise_of(run: Run, confusabilities: Confusabilities) -> LabelNoise:
    """Return the noise model of a run."""
    if run.noise == "uniform":
        return uniform()
    if run.noise == "observed":
        return observed()
    if run.matrix is not None:
        return matrix(run.matrix)
    if run.delta is None or run.noise_order is None:
        raise InputError(f"structured noise needs delta and noise_order; {run.key} lacks one.")
    measured = confusabilities.get(confusability_name(run))
    return structured(run.delta, run.noise_order, None if measured is None else np.asarray(measured))


def dilute(run: Run, root: str | None, confusabilities: Confusabilities) -> tuple[DataSet, Dilution]:
    """Open the data of a run and dilute its training half."""
    data = open_data(run.dataset, run.fingerprint, root)
    images: str | Arrays = run.image_source
    if run.image_source not in IMAGE_SOURCES:
        if not names_data(run.image_source):
            raise unknown("image source", run.image_source, (*IMAGE_SOURCES, *DATASETS))
        images = open_data(run.image_source, "", root).train
    noisy = Dilution(
        data.train,
        alpha=run.alpha,
        eta=run.eta,
        noise=noise_of(run, confusabilities),
        label_mode=run.label_mode,
        image_source=images,
        n=run.n,
        stratified=run.stratified,
        seed=run.seed,
    )
    return data, noisy


@dataclass(frozen=True)
class Checkpoints:
    """Where trainings are written down, and how often: seconds between two of them."""

    folder: Path
    every: float

    def of(self, runs: Sequence[Run]) -> Checkpoint:
        """Return the checkpoint of runs that train together."""
        keys = " ".join(run.key for run in runs)
        return Checkpoint(self.folder / f"{runs[0].key}-{len(runs)}.pt", keys, self.every)

    def clear(self, keys: Iterable[str]) -> None:
        """Remove what is left of runs that have ended: they may have begun in another company."""
        ended = set(keys)
        for path in list(self.folder.iterdir()) if self.folder.is_dir() else ():
            if path.name.lstrip(".").partition("-")[0] in ended:  # .KEY-….part is half of one
                path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not there, or holds those of other runs
            self.folder.rmdir()


def execute(
    runs: Sequence[Run],
    root: str | None,
    confusabilities: Confusabilities,
    device: str = "cpu",
    checkpoints: Checkpoints | None = None,
) -> list[dict[str, Any]]:
    """Train runs of one shape together and return their outcomes, of values that JSON can hold.

    If anything goes wrong each is trained alone, so that an error ends the run it belongs to and no other:
    its outcome is then ``failed``, with the error's text.
    """
    try:
        opened = [dilute(run, root, confusabilities) for run in runs]
        tasks = [
            Task(run.model, noisy, data.test, run.seed, run.n_val, run.settings)
            for run, (data, noisy) in zip(runs, opened, strict=True)
        ]
        results = train_together(tasks, device, checkpoints.of(runs) if checkpoints else None)
    except Exception as error:  # recorded and reported with the run, not swallowed
        if len(runs) > 1:
            parts = (execute([run], root, confusabilities, device, checkpoints) for run in runs)
            return [outcome for part in parts for outcome in part]
        text = str(error) if isinstance(error, DilutionError) else traceback.format_exc(limit=-8)
        return [{"state": "failed", "error": text}]
    shared = {"group_size": len(runs), "device": device_title(device)}
    return [_outcome(task, result, shared) for task, result in zip(tasks, results, strict=True)]


def _outcome(task: Task, result: TrainResult, shared: dict[str, Any]) -> dict[str, Any]:
    """Return what the store keeps of a training."""
    noisy, test = task.noisy, task.test
    noise_summary = result.noise_summary
    measures: dict[str, Any] = {
        "alpha_expected": _number(noise_summary.alpha_expected),
        "alpha_empirical": _number(noise_summary.alpha_empirical),
        "noise_rate_expected": noise_summary.noise_rate_expected,
        "noise_rate_empirical": noise_summary.noise_rate_empirical,
        "n_available": len(noisy.data),
        "n_test": result.n_test,
        "majority_share": float(test.labels.bincount().max() / result.n_test),
        "image_note": noisy.image_source.note,
        "seconds": result.seconds,
        "diverged_at": result.diverged_at,
    }
    measures |= shared | result.summary()
    if noisy.classes <= _KEPT_CLASSES:
        measures["transition_expected"] = noise_summary.transition_expected.tolist()
        measures["transition_empirical"] = np.nan_to_num(noise_summary.transition_empirical).tolist()
    return {
        "state": result.state,
        "result": measures,
        "history": result.history.to_dict(orient="records"),
    }


def _number(value: float) -> float | None:
    """Return a number as JSON can hold it: observed labels have no alpha, which is NaN."""
    return None if math.isnan(value) else value
