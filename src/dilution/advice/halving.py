"""Successive halving over trainings, judged on noisy validation labels: the test set chooses nothing."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from dilution.errors import InputError
from dilution.study.run_spec import Run
from dilution.training.recipes import ema_decay_for

RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Rates that are tried, times that of the built-in recipe."""

_SHARES = (1 / 8, 1 / 4, 1 / 2)  # of the budget: after each the better half goes on
_FEWEST = 60  # steps of a trial, where the budget has them: fewer favour rates that are too large later
_FURTHER = 3.0  # factor by which rates beyond an edge that won are apart
_EXTENSIONS = 2
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


@dataclass(frozen=True)
class Kept:
    """Which weights of a training are kept.

    Parameters
    ----------
    step
        ``"last"``, or ``"noisy"``: those of the step with the least loss on noisy validation labels.
    gain, error
        Which share of the noisy validation labels the last step names more than the other, and the standard
        error of that over seeds.
    """

    step: Literal["last", "noisy"]
    gain: float
    error: float


def kept_step(histories: pd.DataFrame) -> Kept:
    """Return which weights to keep: the last, unless others name more noisy validation labels.

    More, that is, by more than a standard error over seeds, as in all of the search. These labels have also
    chosen the other step, which favours it a little.

    The cross entropy on noisy labels also counts how sure a network is of itself. Late in a training that
    grows where accuracy grows too, so that the least of it may come too early. The share of labels that are
    named says nothing of sureness, but is too coarse to choose among many steps.

    Parameters
    ----------
    histories
        Evaluations of trainings that differ in the seed: ``key``, ``val_loss_noisy``,
        ``val_acc_noisy``, the last of each training last.
    """
    least = histories.loc[histories.groupby("key")["val_loss_noisy"].idxmin()].set_index("key")
    last = histories.groupby("key")["val_acc_noisy"].last()
    gains = (last - least["val_acc_noisy"]).to_numpy(dtype=np.float64)
    error = float(gains.std(ddof=1) / math.sqrt(len(gains)))
    return Kept("noisy" if gains.mean() < -error else "last", float(gains.mean()), error)


def at_budget(run: Run, share: float) -> Run:
    """Return a run with a share of its steps, the average of its weights reaching back as large a share.

    It is looked at twice: short trainings would spend more on evaluations than on learning.
    """
    steps = max(1, round((run.steps or 1) * share), min(_FEWEST, run.steps or 1))
    ema_decay = ema_decay_for(steps / (run.steps or 1) / (1 - run.ema_decay)) if run.ema_decay else 0.0
    return run.model_copy(update={"steps": steps, "ema_decay": ema_decay, "n_evals": 2})


def best_lr(run: Run, train: Trainer) -> tuple[float, pd.DataFrame]:
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
    rates = [float(f"{run.lr * factor:.2g}") for factor in RATES]
    losses = pd.Series(dtype=float)
    trials = []
    for rung, share in enumerate(_SHARES):
        losses = _losses(run, rates, share, train)
        for _ in range(_EXTENSIONS if rung == 0 else 0):
            best = losses.idxmin()
            if math.isinf(losses[best]) or best not in (losses.index.min(), losses.index.max()):
                break
            further = best / _FURTHER if best == losses.index.min() else best * _FURTHER
            losses = pd.concat([losses, _losses(run, [float(f"{further:.2g}")], share, train)])
        trials.append(pd.DataFrame({"share": share, "lr": losses.index, "loss": losses.to_numpy()}))
        if math.isinf(losses.min()):
            raise InputError(
                f"trainings of {run.model} diverged at every rate that was tried, {losses.index.min():g} "
                f"to {losses.index.max():g}. Check the data for extreme values, or train a smaller network."
            )
        kept = max(1, math.ceil(len(rates) / 2)) if rung < len(_SHARES) - 1 else 1
        rates = [float(rate) for rate in losses.sort_values(kind="stable").index[:kept]]
    return rates[0], pd.concat(trials, ignore_index=True)


def _losses(run: Run, rates: Sequence[float], share: float, train: Trainer) -> "pd.Series[float]":
    """Return the mean loss over seeds of trainings with a share of the budget, by rate."""
    runs = [
        at_budget(run, share).model_copy(update={"lr": rate, "seed": run.seed + seed})
        for rate in rates
        for seed in range(_SEEDS)
    ]
    listed = ", ".join(f"{rate:g}" for rate in rates)
    found = train(f"rates {listed}, {share:g} of the budget", runs)
    return found.groupby("lr")["loss"].mean()


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
    base = _by_seed(table, run)
    best, changes, verdicts = run, {}, []
    for (name, value), other in zip(others.items(), candidates[1:], strict=True):
        theirs = _by_seed(table, other)
        gain, error = _gain(theirs, base)
        if gain < -error:
            changes[name] = value
            verdicts.append(Verdict(name, value, getattr(run, name), -gain, error))
            best = other if theirs.mean() < _by_seed(table, best).mean() else best
        else:
            verdicts.append(Verdict(name, getattr(run, name), value, gain, error))
    if len(changes) > 1:  # not trained together yet, and not sure to be better than the best of them
        joined = run.model_copy(update=changes)
        table = pd.concat([table, train("whole budget, all changes", list(_seeds(joined)))])
        best = joined if _by_seed(table, joined).mean() <= _by_seed(table, best).mean() else best
    if not np.isfinite(_by_seed(table, best)).all():
        raise InputError(
            f"trainings of {run.model} diverged at rate {run.lr:g} with the whole budget. Give more "
            "data, a smaller network, or another --seed."
        )
    keys = {each.key for each in _seeds(best)}
    agreed = [each for each in verdicts if each.kept == getattr(best, each.setting)]
    return best, agreed, table[table["key"].isin(keys)]


def _seeds(run: Run) -> list[Run]:
    return [run.model_copy(update={"seed": run.seed + seed}) for seed in range(_FINAL_SEEDS)]


def _by_seed(table: pd.DataFrame, run: Run) -> "np.ndarray[Any, np.dtype[np.float64]]":
    losses = table.set_index("key")["loss"]
    return np.array([losses[each.key] for each in _seeds(run)], dtype=np.float64)


def _gain(
    theirs: "np.ndarray[Any, np.dtype[np.float64]]", base: "np.ndarray[Any, np.dtype[np.float64]]"
) -> tuple[float, float]:
    """Return by how much more the others lose, with its standard error; ±infinite where one side diverged."""
    if np.isfinite(theirs).all() and np.isfinite(base).all():
        gains = theirs - base
        return float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
    diverged = (~np.isfinite(theirs)).sum() - (~np.isfinite(base)).sum()
    return (math.inf if diverged >= 0 else -math.inf), 0.0
