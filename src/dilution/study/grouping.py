"""Packs: runs of one shape, which train together as one program."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from dilution.study.run_spec import Run
from dilution.training.config import TrainConfig


@dataclass(frozen=True)
class Shape:
    """What the runs of a pack have in common.

    Parameters
    ----------
    dataset, fingerprint
        The data, and so the shape of the images.
    network
        Name of the network.
    settings
        How to train, with the budget in steps and without the rate, which may differ in a pack.
    own
        Empty; or the key of a run whose number of steps is known only once its data are open.
    """

    dataset: str
    fingerprint: str
    model: str
    settings: TrainConfig
    own: str = ""


def shape_of(run: Run) -> Shape:
    """Return the shape of a run; runs of equal shapes can train together."""
    settings = run.settings
    own = ""
    if settings.steps is None:
        own = run.key if run.targets == "sampled" and run.label_mode == "added" and run.alpha is None else ""
        settings = settings.model_copy(update={"steps": steps_of(run), "epochs": None})
    return Shape(run.dataset, run.fingerprint, run.model, settings.model_copy(update={"lr": 1.0}), own)


def steps_of(run: Run) -> int:
    """Return the optimizer steps of a run; an estimate where only the noise rate is given."""
    return run.settings.total_steps(epoch_of(run))


def epoch_of(run: Run) -> int:
    """Return the examples or images of an epoch of a run; an estimate as above."""
    return round((run.n - run.n_val) * (labels_of(run) if run.targets == "sampled" else 1))


def labels_of(run: Run) -> float:
    """Return the examples for each clean one, that one included; an estimate as above."""
    if run.label_mode == "replaced":
        return 1.0
    if run.alpha is not None:
        return 1 + run.alpha
    return 1 / (1 - (run.eta or 0.0))


def by_shape(runs: Sequence[Run]) -> dict[Shape, list[Run]]:
    """Sort runs by their shape, in their order."""
    shapes: dict[Shape, list[Run]] = {}
    for run in runs:
        shapes.setdefault(shape_of(run), []).append(run)
    return shapes


def split(runs: Sequence[Run], packs: int) -> list[list[Run]]:
    """Divide runs into packs whose sizes differ by one at most."""
    bounds = [round(i * len(runs) / packs) for i in range(packs + 1)]
    return [list(runs[low:high]) for low, high in itertools.pairwise(bounds) if high > low]
