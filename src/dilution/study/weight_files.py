"""Files of the weights of trained runs, beside the store: one per run and kept step."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from dilution.errors import DataError, DilutionError, unknown
from dilution.study.run_spec import Run
from dilution.training import TrainResult
from dilution.training.kept_weights import KeptStep
from dilution.training.strategies import AveragedNetworks
from dilution.utils.atomic import write_atomic

SavedStep = Literal["best", "best_acc", "last"]
"""Whose weights are saved: ``"best"``, the evaluation with the lowest loss on noisy validation labels,
``"best_acc"``, that with the highest accuracy on them, or ``"last"``, the last step."""

FORMAT = "dilution weights 1"
"""What a file says that it is."""

_KEPT: dict[SavedStep, KeptStep] = {"best": "best_noisy_val", "best_acc": "best_noisy_acc", "last": "last"}


def check_saved_step(name: str | None) -> None:
    """Refuse an unknown step whose weights are to be saved; None saves none.

    Raises
    ------
    InputError
        If there is no such step.
    """
    if name is not None and name not in get_args(SavedStep):
        raise unknown("step whose weights are saved", name, get_args(SavedStep))


def weights_folder(store: Path) -> Path:
    """Return the folder of the weights of the runs of a store."""
    return store.with_name(f"{store.name}.weights")


def weight_file(store: Path, key: str, which: SavedStep) -> Path:
    """Return the file of the weights of a run, which need not exist."""
    return weights_folder(store) / f"{key}-{which}.pt"


def saved_weights(store: Path, key: str) -> dict[SavedStep, Path]:
    """Return the files of the weights of a run that exist."""
    files = {which: weight_file(store, key, which) for which in get_args(SavedStep)}
    return {which: path for which, path in files.items() if path.is_file()}


@dataclass(frozen=True)
class WeightSaver:
    """Saves the weights of runs when they are trained.

    Parameters
    ----------
    store
        The store of the runs, as an absolute path; on a cluster its folder is one that all nodes share.
    which
        Whose weights are saved.
    """

    store: Path
    which: SavedStep

    @property
    def kept_step(self) -> KeptStep:
        """The step whose weights the model of a result must have."""
        return _KEPT[self.which]

    def save(
        self, run: Run, shape: tuple[int, int, int], classes: Iterable[str], result: TrainResult
    ) -> None:
        """Write the weights of a run, whole or not at all. A diverged run and an estimator have none.

        Parameters
        ----------
        run
            The run.
        shape
            Image shape: (channels, height, width).
        classes
            Names of the classes.
        result
            Its result, with the model of :attr:`kept_step`.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        if result.state != "done" or not has_weights(result.model):
            return
        content = {
            "format": FORMAT,
            "run": run.spec,
            "which": self.which,
            "step": result.model_step,
            "shape": list(shape),
            "classes": [str(name) for name in classes],
            "networks": len(result.model.models) if isinstance(result.model, AveragedNetworks) else 1,
            "is_float": result.normalise.is_float,
            "compress": result.normalise.compress,
            "normalise": {
                name: torch.from_numpy(array) for name, array in result.normalise.to_arrays().items()
            },
            "weights": _own_memory(result.model),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        try:
            write_atomic(weight_file(self.store, run.key, self.which), buffer.getvalue())
        except DilutionError as error:
            raise DataError(f"the weights of run {run.key} are not saved: {error}") from error


def weight_saver(store: Path, which: SavedStep | None) -> WeightSaver | None:
    """Return what saves the weights of the runs of a store; None if they are not asked for."""
    return None if which is None else WeightSaver(store.resolve(), which)


def has_weights(model: nn.Module) -> bool:
    """Return whether a model has tensors of weights; a fitted estimator has none."""
    return bool(model.state_dict())


def lacking_weights(rows: Iterable[dict[str, Any]], store: Path, which: SavedStep | None) -> list[str]:
    """Return one note on the finished runs of a study that have no file of weights, with possible reasons.

    Parameters
    ----------
    rows
        Runs as rows of the store.
    store
        The store.
    which
        Whose weights were to be saved; None: there is no note.
    """
    if which is None:
        return []
    done = [row for row in rows if row["state"] == "done"]
    lacking = [row["key"] for row in done if not weight_file(store, row["key"], which).is_file()]
    if not lacking:
        return []
    return [
        f"{len(lacking):,} of {len(done):,} finished runs have no weights in {weights_folder(store)}, the "
        f"first {lacking[0]}: they were trained before without being asked to save them, are estimators, or "
        "the file could not be written. Another --store trains them again"
    ]


def _own_memory(model: nn.Module) -> dict[str, Any]:
    """Return the weights of a model, each with memory of its own: a file has all memory of what it saves."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
