"""The search of the learning rate by successive halving, judged on noisy validation labels."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dilution.errors import InputError
from dilution.study.run_spec import Run
from dilution.training.recipes import ema_decay_for

TrainRuns = Callable[[str, Sequence[Run]], pd.DataFrame]
"""Function of a purpose and runs that trains the runs and returns their table.

Its column ``loss`` is the lowest cross entropy on noisy validation labels that a run reached, in nats;
infinite if it diverged. With the columns ``error_rate`` and ``deviation`` of :class:`Score` they come first.
"""


@dataclass(frozen=True)
class Score:
    """How a trial did on its noisy validation labels.

    Accuracy decides between learning rates, and the loss only between those that accuracy cannot tell apart:
    the loss grows with a model's confidence too, and so it favours rates that are too small for the noise,
    but few noisy labels make accuracy coarse (docs/log.md).

    Parameters
    ----------
    error_rate
        Lowest error rate; infinite if it diverged.
    deviation
        Standard error of the error rate, by the number of labels.
    loss
        Lowest cross entropy, in nats; infinite if it diverged.
    """

    error_rate: float
    deviation: float
    loss: float


_Judge = Callable[[str, Sequence[Run]], Iterable[tuple[float, Score]]]
"""Function of a purpose and runs that returns the learning rate and the score of each run."""


@dataclass(frozen=True)
class Halving:
    """The rule of a search.

    Parameters
    ----------
    lr_factors
        Learning rates that are tried first, as factors of that of the run.
    budget_fractions
        Shares of the budget, ascending.
    kept
        Share of the learning rates that continues after each round, the better ones.
    min_steps
        Least steps of a trial, if the budget has them: fewer favour rates that are too large later.
    seeds
        Number of seeds per learning rate, from that of the run on.
    extension_factor
        Factor between learning rates that are tried beyond an edge that won.
    max_extensions
        Largest number of such learning rates per round.
    extends_every_round
        Whether an edge that won is left in every round, or in the first one only.
    """

    lr_factors: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    budget_fractions: tuple[float, ...] = (1 / 8, 1 / 4, 1 / 2)
    kept: float = 0.5
    min_steps: int = 60
    seeds: int = 2
    extension_factor: float = 3.0
    max_extensions: int = 2
    extends_every_round: bool = False

    def lrs_around(self, lr: float) -> list[float]:
        """Return the learning rates that are tried first, for a run at this one."""
        return [_rounded(lr * factor) for factor in self.lr_factors]


DEFAULT_HALVING = Halving()


def search_lr(run: Run, train: TrainRuns, rule: Halving = DEFAULT_HALVING) -> tuple[float, pd.DataFrame]:
    """Search the learning rate by successive halving (Jamieson and Talwalkar 2016).

    Parameters
    ----------
    run
        A run with the whole budget, in steps; its learning rate is the middle of those tried.
    train
        Function that trains runs.
    rule
        The rule of the search.

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

    def judge(purpose: str, runs: Sequence[Run]) -> Iterable[tuple[float, Score]]:
        table = train(purpose, runs)
        if "error_rate" not in table:  # equal errors: the loss decides
            table = table.assign(error_rate=math.inf, deviation=0.0)
        parts = zip(table["lr"], table["error_rate"], table["deviation"], table["loss"], strict=True)
        return [(lr, Score(*map(float, score))) for lr, *score in parts]

    lr, trials = _search(run, judge, rule)
    return lr, pd.DataFrame(trials, columns=["budget_fraction", "lr", "loss"])


def _search(run: Run, judge: _Judge, rule: Halving) -> tuple[float, list[tuple[float, float, float]]]:
    """Return what :func:`search_lr` returns, the trials as tuples."""
    lrs = rule.lrs_around(run.lr)
    tried = set(lrs)
    trials = []
    for number, fraction in enumerate(rule.budget_fractions):
        means = _means(run, lrs, fraction, judge, rule)
        if number == 0 or rule.extends_every_round:
            _extend_beyond_edge(run, means, tried, fraction, judge, rule)
            tried |= set(means)
        trials += [(fraction, lr, mean.loss) for lr, mean in means.items()]
        if all(math.isinf(mean.loss) for mean in means.values()):
            raise InputError(
                f"{run.model} diverged at every learning rate that was tried, {min(means):g} to "
                f"{max(means):g}. Check the data for extreme values, or use a smaller model."
            )
        is_last = number == len(rule.budget_fractions) - 1
        survivors = 1 if is_last else max(1, math.ceil(rule.kept * len(lrs)))
        lrs = _best_first(means)[:survivors]
    return lrs[0], trials


class _MissingTrialsError(Exception):
    """A search needs runs that have not been trained."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        super().__init__(f"{len(runs)} runs are missing")
        self.runs = runs


@dataclass(frozen=True)
class Edge:
    """A chosen learning rate that is the lowest or the highest of those that were tried.

    Parameters
    ----------
    lr
        The chosen learning rate.
    lowest, highest
        Of those that were tried.
    """

    lr: float
    lowest: float
    highest: float


def edge_of(lr: float, tried: Sequence[float]) -> Edge | None:
    """Return the edge that a chosen learning rate is at; None if it lies between others that were tried.

    Beyond an edge a better one may lie: the number of learning rates that a search tries is limited.
    """
    lowest, highest = min(tried), max(tried)
    return None if lowest < lr < highest else Edge(lr, lowest, highest)


@dataclass(frozen=True)
class Resumed:
    """A search by the results so far.

    Parameters
    ----------
    lr
        The best learning rate; None if trials are missing.
    trials
        The trials that are missing, by key.
    edge
        The edge that the best learning rate is at, or None.
    """

    lr: float | None
    trials: Mapping[str, Run]
    edge: Edge | None = None


def resume_search(run: Run, scores: Mapping[str, Score], rule: Halving) -> Resumed:
    """Return what a search chooses, or the trials that it needs first.

    The search is a function of the results so far, so calling it again resumes it.

    Parameters
    ----------
    run, rule
        As for :func:`search_lr`.
    scores
        Score of each trial that has ended, by key.

    Raises
    ------
    InputError
        If the runs diverge at every learning rate.
    """

    def look_up(_: str, runs: Sequence[Run]) -> Iterable[tuple[float, Score]]:
        by_key = {trial.key: trial for trial in runs}
        if missing := {key: trial for key, trial in by_key.items() if key not in scores}:
            raise _MissingTrialsError(missing)
        return [(trial.lr, scores[key]) for key, trial in by_key.items()]

    try:
        lr, trials = _search(run, look_up, rule)
    except _MissingTrialsError as error:
        return Resumed(None, error.runs)
    return Resumed(lr, {}, edge_of(lr, [lr for _, lr, _ in trials]))


def _extend_beyond_edge(
    run: Run, means: dict[float, Score], tried: set[float], fraction: float, judge: _Judge, rule: Halving
) -> None:
    """Add the means of further learning rates, as long as the best one is at an edge."""
    lowest, highest = min(tried), max(tried)
    for _ in range(rule.max_extensions):
        best = _best_first(means)[0]
        if math.isinf(means[best].loss) or lowest < best < highest:
            break
        factor = rule.extension_factor
        further = _rounded(best / factor if best == lowest else best * factor)
        lowest, highest = min(lowest, further), max(highest, further)
        means |= _means(run, [further], fraction, judge, rule)


_TIED = 0.5  # standard errors: all rates are judged on the same labels, so a difference varies less than each


def _best_first(means: Mapping[float, Score]) -> list[float]:
    """Return the learning rates, the best one first.

    Those whose error is within half a standard error of the lowest are ranked by loss, before the others,
    which are ranked by error. Where all errors are infinite, all are ranked by loss.
    """
    best = min(means.values(), key=lambda mean: mean.error_rate)

    def rank(lr: float) -> tuple[float, bool, float]:
        mean = means[lr]
        behind = 0.0 if mean.error_rate == best.error_rate else mean.error_rate - best.error_rate
        return behind if behind > _TIED * best.deviation else 0.0, math.isnan(mean.loss), mean.loss

    return sorted(means, key=rank)


def _means(
    run: Run, lrs: Sequence[float], fraction: float, judge: _Judge, rule: Halving
) -> dict[float, Score]:
    """Return the means over seeds at a fraction of the budget, by learning rate, and their standard error."""
    trial = _at_budget_fraction(run, fraction, rule)
    runs = [
        trial.model_copy(update={"lr": lr, "seed": run.seed + seed})
        for lr in lrs
        for seed in range(rule.seeds)
    ]
    listed = ", ".join(f"{lr:g}" for lr in lrs)
    by_lr: dict[float, list[Score]] = {}
    for lr, score in judge(f"lr {listed}, {fraction:g} of the budget", runs):
        by_lr.setdefault(float(lr), []).append(score)
    return {lr: _mean_of(by_lr[lr]) for lr in sorted(by_lr)}


def _mean_of(scores: Sequence[Score]) -> Score:
    """Return the means of scores, and the standard error of that of their error rates."""
    n = len(scores)
    return Score(
        sum(score.error_rate for score in scores) / n,
        math.sqrt(sum(score.deviation * score.deviation for score in scores)) / n,
        sum(score.loss for score in scores) / n,
    )


def _at_budget_fraction(run: Run, fraction: float, rule: Halving) -> Run:
    """Return a run with a fraction of its steps; its weight average spans the same share of them.

    It has two evaluations: more would take longer than a short training itself.
    """
    steps = max(1, round((run.steps or 1) * fraction), min(rule.min_steps, run.steps or 1))
    ema_decay = ema_decay_for(steps / (run.steps or 1) / (1 - run.ema_decay)) if run.ema_decay else 0.0
    return run.model_copy(update={"steps": steps, "ema_decay": ema_decay, "n_evals": 2})


def _rounded(lr: float) -> float:
    """Return a learning rate to two digits, as results show it."""
    return float(f"{lr:.2g}")
