"""The runs that a figure still needs, from the store alone: of its learning rates, and of its own search."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dilution.errors import InputError
from dilution.figures.base import Figure
from dilution.figures.paper_scale import PROVISIONAL_LR, TRIAL_SEED
from dilution.study.halving import Score
from dilution.study.results import table
from dilution.study.run_spec import Run
from dilution.study.store import Store
from dilution.training.config import default_n_val

_ENDED = ["done", "diverged"]


def recipe_name(study: str) -> str:
    """Return the name under which a store keeps the recipe of a study."""
    return f"recipe/{study}"


def plan_name(study: str) -> str:
    """Return the name under which a store keeps the planned runs of a study."""
    return f"plan/{study}"


def keep_plan(
    figure: Figure, preset: str, runs: Sequence[Run], n_available: int, store: Store, study: str
) -> list[Run]:
    """Keep the planned runs of a figure in the store; return the runs to train first.

    Parameters
    ----------
    figure, preset
        The figure and its preset. If its learning rates are not searched, the planned runs are returned.
    runs
        The planned runs, at the provisional learning rate where it is searched.
    n_available
        Number of training images.
    store, study
        The store, and the name of the study in it.
    """
    search = figure.get_preset(preset).lr_search
    if search is None:
        return list(runs)
    with store.writer():
        store.keep_artifact(plan_name(study), [run.model_dump(mode="json") for run in runs])
    return search.next_runs(runs, {}, n_available)


def results(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that are results of a figure: all but the trials that chose its learning rates."""
    return runs[runs["seed"] < TRIAL_SEED].reset_index(drop=True)


def further_runs(figure: Figure, store: Store, study: str) -> list[Run]:
    """Return the runs that a figure needs next; none while runs are unfinished or failed, and at its end.

    Parameters
    ----------
    figure
        The figure.
    store, study
        The store, and the name of the study in it: ``figure/dataset/preset``.
    """
    preset = study.rpartition("/")[2]
    search = figure.search(preset)
    planned = _planned(figure, preset, store, study)
    if search is None and not planned:
        return []
    runs = table(store, study)
    if not runs["state"].isin(_ENDED).all():
        return []
    specs = [Run.of(**row["spec"]) for row in store.rows(study)]
    if not planned:
        return [] if search is None else search(specs, runs)
    return _with_searched_lrs(figure, preset, planned, specs, runs)


def _planned(figure: Figure, preset: str, store: Store, study: str) -> list[Run]:
    """Return the planned runs of a figure whose learning rates are searched; otherwise none."""
    if figure.get_preset(preset).lr_search is None:
        return []
    if store.artifact(recipe_name(study)) is not None:  # it sets the learning rate
        return []
    return [Run.of(**settings) for settings in store.artifact(plan_name(study)) or []]


def trial_scores(ended: pd.DataFrame) -> dict[str, Score]:
    """Return how runs did on their noisy validation labels, by key.

    Runs of which it is not known are left out: tables of earlier versions have no ``val_acc_noisy``.

    Parameters
    ----------
    ended
        Runs that have ended, one row each.
    """
    is_done = ended["state"] == "done"
    errors = (1 - ended["val_acc_noisy"]).where(is_done, math.inf)
    losses = ended["val_loss_noisy"].where(is_done, math.inf).fillna(math.inf)  # unknown: ranked last
    added = ended["alpha"].fillna(0.0).where(ended["label_mode"] == "added", 0.0).astype(float)
    labels = ended["n_val"].fillna(ended["n"].map(default_n_val)) * (1 + added)
    deviations = np.sqrt((errors * (1 - errors)).where(is_done, 0.0).clip(lower=0.0) / labels.clip(lower=1))
    parts = zip(ended["key"], errors, deviations, losses, strict=True)
    return {key: Score(*map(float, score)) for key, *score in parts if not math.isnan(score[0])}


def lr_edges(figure: Figure, store: Store, study: str) -> str:
    """Return how many searches of a figure chose a learning rate at an edge, as text; empty if none did.

    Parameters
    ----------
    figure, store, study
        As for :func:`further_runs`.
    """
    preset = study.rpartition("/")[2]
    lr_search = figure.get_preset(preset).lr_search
    planned = _planned(figure, preset, store, study)
    if lr_search is None or not planned:
        return ""
    runs = table(store, study)
    ended = runs[runs["state"].isin(_ENDED)]
    return lr_search.describe_edges(planned, trial_scores(ended), _n_available(runs, planned))


def _n_available(runs: pd.DataFrame, planned: Sequence[Run]) -> int:
    """Return the number of training images, of which results of early versions do not tell."""
    known = runs["n_available"].max()
    return max(run.n for run in planned) if pd.isna(known) else int(known)


def _with_searched_lrs(
    figure: Figure, preset: str, planned: Sequence[Run], runs: Sequence[Run], frame: pd.DataFrame
) -> list[Run]:
    """Return the next trials of learning rates, or the next runs at those that were chosen."""
    lr_search, search = figure.get_preset(preset).lr_search, figure.search(preset)
    if lr_search is None:
        return []
    trained = {run.key for run in runs}
    scores, n_available = trial_scores(frame), _n_available(frame, planned)
    requested = lr_search.next_runs(planned, scores, n_available)
    # a trial that has ended is requested again if it is not known how well it did
    if new := [run for run in requested if run.key not in trained or run.seed >= TRIAL_SEED]:
        return new
    if search is None:
        return []
    ended = [run.model_copy(update={"lr": PROVISIONAL_LR}) for run in runs if run.seed < TRIAL_SEED]
    wanted = search(ended, results(frame))
    further = lr_search.next_runs(wanted, scores, n_available)
    return [run for run in further if run.key not in trained]


def check_trials(ended: Sequence[Run], further: Sequence[Run]) -> None:
    """Refuse to go on with a search that requests trials which have ended.

    Parameters
    ----------
    ended
        The runs of the figure so far.
    further
        The runs that :func:`further_runs` returned.

    Raises
    ------
    InputError
        If there are any: they do not have what they are judged by.
    """
    keys = {run.key for run in ended}
    unknown = [run.key for run in further if run.key in keys]
    if unknown:
        raise InputError(
            f"{len(unknown)} trials of learning rates, the first one {unknown[0]}, have ended and have no "
            "val_acc_noisy, by which the rate is chosen: they come from a table of an earlier version. Use a "
            f"new --store, and import into it that table without its rows of seeds from {TRIAL_SEED:,} on."
        )


def expected_rounds(
    figure: Figure,
    preset: str,
    planned: Sequence[Run],
    n_available: int,
    scores: Mapping[str, Score],
    *,
    searches: bool = True,
) -> list[list[Run]]:
    """Return the runs that a figure will probably train, round by round of its searches.

    The searches are played with made-up results: the learning rate in the middle of those planned is the
    best, and accuracy follows a curve in n/(1 + α) that reaches 90 % at 240.

    Parameters
    ----------
    figure, preset
        The figure and its preset.
    planned
        The planned runs, at the provisional learning rate where it is searched.
    n_available
        Number of training images.
    scores
        Scores that are known already, by key of a run.
    searches
        Whether anything is searched: a recipe sets the learning rate.
    """
    if not searches:
        return [list(planned)]
    lr_search, search = figure.get_preset(preset).lr_search, figure.search(preset)
    rounds = [list(planned) if lr_search is None else lr_search.next_runs(planned, scores, n_available)]
    runs = list(rounds[0])
    middle = float(np.mean(np.log10(sorted({run.lr for run in planned})))) if planned else 0.0
    while rounds[-1]:
        frame = pd.DataFrame([_made_up(run, n_available, scores, middle) for run in runs])
        if lr_search is not None:
            rounds.append(_with_searched_lrs(figure, preset, planned, runs, frame))
        else:
            rounds.append([] if search is None else search(runs, frame))
        runs += rounds[-1]
    return rounds[:-1]


def _made_up(run: Run, n_available: int, scores: Mapping[str, Score], middle: float) -> dict[str, Any]:
    """Return a row of results with made-up measures; a learning rate of 10^middle is the best."""
    distance = abs(math.log10(run.lr) - middle)
    logit = math.log(9) + 1.5 * math.log(run.n / (240 * (1 + (run.alpha or 0.0))))
    accuracy = 1 / (1 + math.exp(-logit))
    score = scores.get(run.key, Score(0.5 + 0.1 * distance, 0.0, 1 + distance))
    return {
        **run.model_dump(),
        "key": run.key,
        "state": "done",
        "n_available": n_available,
        "n_test": 10_000,
        "test_acc_at_best_clean_val": accuracy,
        "val_acc_clean": accuracy - 0.01 * distance,
        "val_acc_noisy": 1 - score.error_rate,
        "val_loss_noisy": score.loss,
    }
