"""Runs that figures have in common are the same runs: a store trains them once."""

import pandas as pd
import pytest

from dilution.figures import FIGURES
from dilution.figures.base import PRESETS, Material
from dilution.figures.fig9 import more
from dilution.figures.search import snap
from dilution.study.schema import MEASURES

MNIST = Material("mnist", 60_000)


def keys(name, scale):
    return {run.key for run in FIGURES[name].plan(MNIST, scale)}


@pytest.mark.parametrize(("scale", "share"), [("demo", 1 / 2), ("laptop", 2 / 3), ("paper", 1)])
def test_figure_11_shares_with_figure_10_the_rates_and_noise_levels_that_both_have(scale, share):
    own = keys("fig11", scale)
    assert len(own & keys("fig10", scale)) == pytest.approx(share * len(own))


def test_figures_1_and_5_share_the_runs_without_skew_at_paper_scale():
    flat = {run.key for run in FIGURES["fig5"].plan(MNIST, "paper") if run.noise == "uniform"}
    assert flat
    assert flat <= keys("fig1", "paper")


@pytest.mark.parametrize("scale", PRESETS)
def test_the_search_of_figure_9_asks_for_sizes_that_figure_8_has(scale):
    grid = {run.n for run in FIGURES["fig8"].plan(MNIST, scale)}
    assert all(snap(n, 60_000) == n for n in grid if n != 1_437)


def test_a_run_that_the_search_asks_for_is_that_of_figure_8_with_the_same_n_alpha_and_seed():
    first = FIGURES["fig9"].plan(MNIST, "laptop")
    rows = [run.model_dump() | dict.fromkeys(MEASURES) for run in first]
    table = pd.DataFrame(rows).assign(test_acc_at_best_clean_val=0.5, val_acc_clean=0.5, n_available=60_000)
    asked = {run.key: run for run in more(first, table)}
    grid = {(run.n, run.alpha, run.seed): run.key for run in FIGURES["fig8"].plan(MNIST, "laptop", seeds=5)}
    shared = [key for key, run in asked.items() if grid.get((run.n, run.alpha, run.seed)) == key]
    assert shared
    assert all(grid.get((run.n, run.alpha, run.seed), key) == key for key, run in asked.items())
