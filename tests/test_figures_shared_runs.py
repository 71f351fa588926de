"""Runs that figures have in common are the same runs: a store trains them once."""

import pandas as pd
import pytest

from dilution.figures import FIGURES
from dilution.figures.base import PRESETS, FigureInputs
from dilution.figures.fig9 import next_runs
from dilution.figures.threshold_search import snap
from dilution.study.measures import MEASURES

MNIST = FigureInputs("mnist", 60_000)


def keys(name, preset):
    return {run.key for run in FIGURES[name].plan(MNIST, preset)}


@pytest.mark.parametrize(("preset", "share"), [("demo", 1 / 2), ("laptop", 2 / 3), ("paper", 1 / 5)])
def test_figure_11_shares_with_figure_10_the_learning_rates_and_noise_levels_that_both_have(preset, share):
    own = keys("fig11", preset)
    assert len(own & keys("fig10", preset)) == pytest.approx(share * len(own))


def test_figures_1_and_5_share_the_runs_without_skew_at_the_paper_preset():
    uniform = {run.key for run in FIGURES["fig5"].plan(MNIST, "paper") if run.noise == "uniform"}
    assert uniform
    assert uniform <= keys("fig1", "paper")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_search_of_figure_9_requests_sizes_that_figure_8_has(preset):
    grid = {run.n for run in FIGURES["fig8"].plan(MNIST, preset)}
    assert all(snap(n, 60_000) == n for n in grid if n != 1_437)


def test_a_run_of_the_search_is_that_of_figure_8_with_the_same_n_alpha_and_seed():
    first = FIGURES["fig9"].plan(MNIST, "laptop")
    rows = [run.model_dump() | dict.fromkeys(MEASURES) for run in first]
    table = pd.DataFrame(rows).assign(test_acc_at_best_clean_val=0.5, val_acc_clean=0.5, n_available=60_000)
    requested = {run.key: run for run in next_runs(first, table)}
    grid = {(run.n, run.alpha, run.seed): run.key for run in FIGURES["fig8"].plan(MNIST, "laptop", seeds=5)}
    shared = [key for key, run in requested.items() if grid.get((run.n, run.alpha, run.seed)) == key]
    assert shared
    assert all(grid.get((run.n, run.alpha, run.seed), key) == key for key, run in requested.items())
