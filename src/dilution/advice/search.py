"""Successive halving over trainings, judged on noisy validation labels: the test set chooses nothing."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dilution.study.spec import Run
from dilution.training.recipes import average_for

RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Rates that are tried, times that of the built-in recipe."""

_SHARES = (1 / 8, 1 / 4, 1 / 2)  # of the budget: after each the better half goes on
_SEEDS = 2
_FINAL_SEEDS = 3

Trainer = Callable[[str, Sequence[Run]], pd.DataFrame]
"""Function of a name and runs → their table, with the column ``loss``: the least cross entropy on noisy
validation labels that a run reached, in nats; infinite where it diverged."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison of two ways to train said.

    Parameters
    ----------
    setting
        The setting they differ in.
    kept, other
        Its value in the recipe, and the one it was compared with.
    gain, error
        By how much the loss of the one kept is less, in nats, and the standard error of that over seeds.
    """

    setting: str
    kept: Any
    other: Any
    gain: float
    error: float


def at_budget(run: Run, share: float) -> Run:
    """Return a run with a share of its steps, the average of its weights reaching back as large a share.

    It is looked at twice: short trainings would spend more on evaluations than on learning.
    """
    steps = max(1, round((run.steps or 1) * share))
    averaging = average_for(share / (1 - run.averaging)) if run.averaging else 0.0
    return run.model_copy(update={"steps": steps, "averaging": averaging, "evaluations": 2})


def best_rate(run: Run, train: Trainer) -> tuple[float, pd.DataFrame]:
    """Search the learning rate by successive halving (Jamieson and Talwalkar 2016).

    Parameters
    ----------
    run
        A training with the whole budget, in steps; its rate is the middle of what is tried.
    train
        What trains runs.

    Returns
    -------
    rate, trials
        The best rate, and one row a rung and rate: ``share`` (of the budget), ``rate``, ``loss`` (mean over
        seeds).
    """
    rates = [float(f"{run.rate * factor:.2g}") for factor in RATES]
    trials = []
    for rung, share in enumerate(_SHARES):
        runs = [
            at_budget(run, share).model_copy(update={"rate": rate, "seed": run.seed + seed})
            for rate in rates
            for seed in range(_SEEDS)
        ]
        found = train(f"rates, {share:g} of the budget", runs).groupby("rate")["loss"].mean()
        trials.append(pd.DataFrame({"share": share, "rate": found.index, "loss": found.to_numpy()}))
        kept = max(1, math.ceil(len(rates) / 2)) if rung < len(_SHARES) - 1 else 1
        rates = [float(rate) for rate in found.sort_values(kind="stable").index[:kept]]
    return rates[0], pd.concat(trials, ignore_index=True)


def confirm(run: Run, others: Mapping[str, Any], train: Trainer) -> tuple[Run, list[Verdict], pd.DataFrame]:
    """Compare a recipe at the whole budget with others that differ in one setting.

    What theory or habit proposes is kept unless the other is better by more than one standard error.

    Parameters
    ----------
    run
        The training proposed.
    others
        For each setting the value to compare with.
    train
        What trains runs.

    Returns
    -------
    run, verdicts, table
        The training with the better value of each setting; what the comparisons said; and the table of its
        own runs, one a seed.
    """
    candidates = [run, *(run.model_copy(update={name: value}) for name, value in others.items())]
    table = train("whole budget", [seeded for each in candidates for seeded in _seeds(each)])
    losses = table.set_index("key")["loss"]
    base = np.array([losses[each.key] for each in _seeds(run)])
    changes, verdicts = {}, []
    for (name, value), other in zip(others.items(), candidates[1:], strict=True):
        theirs = np.array([losses[each.key] for each in _seeds(other)])
        gains = theirs - base
        gain, error = _mean(gains), _error(gains)
        if gain < -error:
            changes[name] = value
            verdicts.append(Verdict(name, value, getattr(run, name), -gain, error))
        else:
            verdicts.append(Verdict(name, getattr(run, name), value, gain, error))
    chosen = run.model_copy(update=changes)
    if len(changes) > 1:  # not trained together yet
        table = train("whole budget, all changes", list(_seeds(chosen)))
    keys = {each.key for each in _seeds(chosen)}
    return chosen, verdicts, table[table["key"].isin(keys)]


def _seeds(run: Run) -> list[Run]:
    return [run.model_copy(update={"seed": run.seed + seed}) for seed in range(_FINAL_SEEDS)]


def _mean(gains: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    return float(gains.mean()) if np.isfinite(gains).all() else math.inf


def _error(gains: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    return float(gains.std(ddof=1) / math.sqrt(len(gains))) if np.isfinite(gains).all() else 0.0
