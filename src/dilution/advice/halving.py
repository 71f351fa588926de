"""The search of the learning rate by successive halving, judged on noisy validation labels."""

import math
from collections.abc import Callable, Sequence

import pandas as pd

from dilution.errors import InputError
from dilution.study.run_spec import Run
from dilution.training.recipes import ema_decay_for

LR_FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Learning rates that are tried, as factors of that of the built-in recipe."""

_BUDGET_FRACTIONS = (1 / 8, 1 / 4, 1 / 2)  # after each the better half continues
_MIN_STEPS = 60  # of a trial, if the budget has them: fewer favour learning rates that are too large later
_EXTENSION_FACTOR = 3.0  # between learning rates beyond an edge that won
_MAX_EXTENSIONS = 2
_SEEDS = 2

TrainRuns = Callable[[str, Sequence[Run]], pd.DataFrame]
"""Function of a purpose and runs that trains the runs and returns their table.

Its column ``loss`` is the lowest cross entropy on noisy validation labels that a run reached, in
nats; infinite if it diverged.
"""


def search_lr(run: Run, train: TrainRuns) -> tuple[float, pd.DataFrame]:
    """Search the learning rate by successive halving (Jamieson and Talwalkar 2016).

    Parameters
    ----------
    run
        A run with the whole budget, in steps; its learning rate is the middle of those tried.
    train
        Function that trains runs.

    Returns
    -------
    lr, trials
        The best learning rate, and one row per round and learning rate: ``budget_fraction``, ``lr``,
        ``loss`` (mean over seeds).

    Raises
    ------
    InputError
        If the runs diverge at every learning rate.
    """
    lrs = [float(f"{run.lr * factor:.2g}") for factor in LR_FACTORS]
    trials = []
    for number, fraction in enumerate(_BUDGET_FRACTIONS):
        losses = _mean_losses(run, lrs, fraction, train)
        if number == 0:
            losses = _extend_beyond_edge(run, losses, fraction, train)
        trials.append(
            pd.DataFrame({"budget_fraction": fraction, "lr": losses.index, "loss": losses.to_numpy()})
        )
        if math.isinf(losses.min()):
            raise InputError(
                f"{run.model} diverged at every learning rate that was tried, {losses.index.min():g} to "
                f"{losses.index.max():g}. Check the data for extreme values, or use a smaller model."
            )
        is_last = number == len(_BUDGET_FRACTIONS) - 1
        survivors = 1 if is_last else max(1, math.ceil(len(lrs) / 2))
        lrs = [float(lr) for lr in losses.sort_values(kind="stable").index[:survivors]]
    return lrs[0], pd.concat(trials, ignore_index=True)


def _extend_beyond_edge(
    run: Run, losses: "pd.Series[float]", fraction: float, train: TrainRuns
) -> "pd.Series[float]":
    """Return the losses with those of further learning rates, as long as the best one is at an edge."""
    for _ in range(_MAX_EXTENSIONS):
        best = losses.idxmin()
        if math.isinf(losses[best]) or best not in (losses.index.min(), losses.index.max()):
            break
        further = best / _EXTENSION_FACTOR if best == losses.index.min() else best * _EXTENSION_FACTOR
        losses = pd.concat([losses, _mean_losses(run, [float(f"{further:.2g}")], fraction, train)])
    return losses


def _mean_losses(run: Run, lrs: Sequence[float], fraction: float, train: TrainRuns) -> "pd.Series[float]":
    """Return the mean loss over seeds at a fraction of the budget, by learning rate."""
    trial = _at_budget_fraction(run, fraction)
    runs = [
        trial.model_copy(update={"lr": lr, "seed": run.seed + seed}) for lr in lrs for seed in range(_SEEDS)
    ]
    listed = ", ".join(f"{lr:g}" for lr in lrs)
    table = train(f"lr {listed}, {fraction:g} of the budget", runs)
    return table.groupby("lr")["loss"].mean()


def _at_budget_fraction(run: Run, fraction: float) -> Run:
    """Return a run with a fraction of its steps; its weight average spans the same share of them.

    It has two evaluations: more would take longer than a short training itself.
    """
    steps = max(1, round((run.steps or 1) * fraction), min(_MIN_STEPS, run.steps or 1))
    ema_decay = ema_decay_for(steps / (run.steps or 1) / (1 - run.ema_decay)) if run.ema_decay else 0.0
    return run.model_copy(update={"steps": steps, "ema_decay": ema_decay, "n_evals": 2})
