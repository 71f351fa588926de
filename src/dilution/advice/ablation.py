"""Comparisons at the whole budget: settings with their alternatives, the last step with the best one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.errors import InputError
from dilution.study.halving import TrainRuns
from dilution.study.run_spec import Run

_SEEDS = 3

Losses = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Two values of a setting, compared.

    Parameters
    ----------
    setting
        Name of the setting.
    chosen, other
        The value that the recipe has, and the one it was compared with.
    gain
        How much lower the loss with the chosen value is, in nats; infinite if the other one diverged.
    error
        Standard error of the gain over seeds.
    """

    setting: str
    chosen: Any
    other: Any
    gain: float
    error: float


@dataclass(frozen=True)
class CheckpointChoice:
    """The checkpoint of a training to keep.

    Parameters
    ----------
    step
        ``"last"``, or ``"at_best_noisy_val"``: the step with the lowest loss on noisy validation labels.
    gain
        Accuracy on noisy validation labels at the last step, minus that at the other one.
    error
        Standard error of the gain over seeds.
    """

    step: Literal["last", "at_best_noisy_val"]
    gain: float
    error: float


def choose_checkpoint(histories: pd.DataFrame) -> CheckpointChoice:
    """Return the checkpoint to keep: the last step, unless the other one is significantly more accurate.

    Significant is more than a standard error over seeds, as in the whole search. The noisy
    validation labels have also chosen the other step, which favours it slightly.

    The cross entropy on noisy labels also measures the model's confidence. Late in a training it may
    increase together with the accuracy, so its minimum may come too early. Accuracy on noisy labels
    does not depend on confidence, but is too coarse to choose among many steps.

    Parameters
    ----------
    histories
        Evaluations of runs that differ in the seed: ``key``, ``val_loss_noisy``, ``val_acc_noisy``,
        in the order of their steps.
    """
    at_best = histories.loc[histories.groupby("key")["val_loss_noisy"].idxmin()].set_index("key")
    last = histories.groupby("key")["val_acc_noisy"].last()
    gains = (last - at_best["val_acc_noisy"]).to_numpy(dtype=np.float64)
    error = float(gains.std(ddof=1) / math.sqrt(len(gains)))
    step: Literal["last", "at_best_noisy_val"] = "at_best_noisy_val" if gains.mean() < -error else "last"
    return CheckpointChoice(step, float(gains.mean()), error)


def compare_settings(
    run: Run, alternatives: Mapping[str, Any], train: TrainRuns
) -> tuple[Run, list[Comparison], pd.DataFrame]:
    """Compare a run at the whole budget with runs that differ in one setting, and keep the better values.

    The proposed value of a setting is kept unless its alternative is better by more than a standard error
    over seeds.

    Parameters
    ----------
    run
        The run proposed.
    alternatives
        Name of each setting → the value to compare with.
    train
        Function that trains runs.

    Returns
    -------
    run, comparisons, table
        The run with the better values, the comparisons that led to it, and the table of its own
        runs, one per seed.

    Raises
    ------
    InputError
        If the best run diverged.
    """
    candidates = [run.model_copy(update={name: value}) for name, value in alternatives.items()]
    seeded = [copy for candidate in (run, *candidates) for copy in _with_seeds(candidate)]
    table = train("whole budget", seeded)
    base, best = _losses(table, run), run
    changes, comparisons = {}, []
    for (name, value), candidate in zip(alternatives.items(), candidates, strict=True):
        losses = _losses(table, candidate)
        gain, error = _gain(losses, base)
        if gain < -error:
            changes[name] = value
            comparisons.append(Comparison(name, value, getattr(run, name), -gain, error))
            best = candidate if losses.mean() < _losses(table, best).mean() else best
        else:
            comparisons.append(Comparison(name, getattr(run, name), value, gain, error))
    if len(changes) > 1:  # not trained together yet, and not certain to be better than the best of them
        joined = run.model_copy(update=changes)
        table = pd.concat([table, train("whole budget, all changes", _with_seeds(joined))])
        best = joined if _losses(table, joined).mean() <= _losses(table, best).mean() else best
    if not np.isfinite(_losses(table, best)).all():
        raise InputError(
            f"{run.model} diverged at learning rate {run.lr:g} with the whole budget. Use more data, a "
            "smaller model, or another --seed."
        )
    keys = {copy.key for copy in _with_seeds(best)}
    used = [
        comparison for comparison in comparisons if comparison.chosen == getattr(best, comparison.setting)
    ]
    return best, used, table[table["key"].isin(keys)]


def _with_seeds(run: Run) -> list[Run]:
    return [run.model_copy(update={"seed": run.seed + seed}) for seed in range(_SEEDS)]


def _losses(table: pd.DataFrame, run: Run) -> Losses:
    """Return the loss of a run per seed."""
    by_key = table.set_index("key")["loss"]
    return np.array([by_key[copy.key] for copy in _with_seeds(run)], dtype=np.float64)


def _gain(other: Losses, base: Losses) -> tuple[float, float]:
    """Return how much higher the other losses are, with the standard error; ± infinite if one diverged."""
    if np.isfinite(other).all() and np.isfinite(base).all():
        gains = other - base
        return float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
    more_diverged = (~np.isfinite(other)).sum() - (~np.isfinite(base)).sum()
    return (math.inf if more_diverged >= 0 else -math.inf), 0.0
