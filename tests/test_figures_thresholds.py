"""Thresholds of curves whose crossing is known, and the search that finds them."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.figures.threshold_search import LONG_SEARCH, SHORT_SEARCH, SMALLEST_N, next_runs, snap
from dilution.figures.thresholds import (
    LEVELS,
    _fieller,
    crossing,
    grid_crossing,
    grid_crossings,
    grid_thresholds,
    logit,
)


def accuracy(n, threshold, level=0.9, slope=1.2):
    """Return a rising curve, straight in logit against log n, that crosses `level` at n = `threshold`."""
    z = math.log(level / (1 - level)) + slope * np.log(np.asarray(n) / threshold)
    return 1 / (1 + np.exp(-z))


def searched(threshold, noise=0.0, largest=60_000, start=500, seed=0, budget=SHORT_SEARCH):
    """Run a search on invented accuracies and return the runs that it requested."""
    generator = np.random.default_rng(seed)
    runs = pd.DataFrame({"n": [start], "seed": [0]})
    runs["test_acc_at_best_clean_val"] = accuracy(runs["n"], threshold)
    for _ in range(100):
        requested = next_runs(runs, LEVELS, largest, budget)
        if not requested:
            return runs
        new = pd.DataFrame(requested, columns=["n", "seed"])
        z = logit(accuracy(new["n"], threshold)) + noise * generator.standard_normal(len(new))
        runs = pd.concat(
            [runs, new.assign(test_acc_at_best_clean_val=1 / (1 + np.exp(-z)))], ignore_index=True
        )
    pytest.fail("the search did not end")


@given(threshold=st.floats(200, 20_000), start=st.integers(40, 30_000))
@settings(max_examples=50, deadline=None)
def test_a_search_finds_the_crossing_from_any_start(threshold, start):
    runs = searched(threshold, start=start)
    for level in LEVELS:
        expected = threshold * math.exp((logit(np.array([level])) - logit(np.array([0.9])))[0] / 1.2)
        assert crossing(runs, level).n == pytest.approx(expected, rel=0.02)
    assert len(runs) <= 45
    assert runs["seed"].is_unique


def test_the_interval_of_a_noisy_search_has_its_stated_coverage():
    covered = 0
    for seed in range(60):
        fit = crossing(searched(3_000, noise=0.15, seed=seed), 0.9)
        covered += fit.low <= 3_000 <= fit.high
    assert covered >= 50  # 57 expected of 60 runs; a stopping rule based on the interval costs a little


def test_a_search_ends_if_the_level_is_out_of_reach():
    runs = searched(1e7, largest=2_000)
    assert runs["n"].max() == 2_000
    assert crossing(runs, 0.9) is None
    runs = searched(2, largest=2_000)
    assert runs["n"].min() == SMALLEST_N


def test_a_search_ends_on_a_falling_curve():
    runs = pd.DataFrame({"n": [100], "seed": [0], "test_acc_at_best_clean_val": [0.95]})
    for _ in range(100):
        requested = next_runs(runs, [0.9], 1_000)
        if not requested:
            break
        new = pd.DataFrame(requested, columns=["n", "seed"])
        runs = pd.concat(
            [runs, new.assign(test_acc_at_best_clean_val=np.where(new["n"] < 90, 0.99, 0.5))],
            ignore_index=True,
        )
    assert len(runs) < 60


def test_without_a_significant_slope_the_interval_is_unbounded():
    table = pd.DataFrame({"n": [500, 600, 700, 800], "test_acc_at_best_clean_val": [0.95, 0.85, 0.96, 0.88]})
    fit = crossing(table, 0.9)
    assert fit is None or (fit.low == 0 and math.isinf(fit.high))


def test_a_bound_that_a_hardly_significant_slope_puts_far_away_is_unbounded():
    n = np.array([4000.0, 6000, 8000, 12000, 16000, 24000])

    def bounds(slope):
        z = logit(np.array([0.88, 0.93, 0.86, 0.94, 0.87, 0.93])) + slope * np.log(n / n.mean())
        _, high = _fieller(np.log(n), z, float(logit(np.array([0.9]))[0]))
        return 1 / (1 + np.exp(-z)), high

    few, many = 0.0, 5.0  # without a significant slope, and with one
    for _ in range(60):
        middle = (few + many) / 2
        few, many = (middle, many) if math.isinf(bounds(middle)[1]) else (few, middle)
    accuracy, high = bounds(many)
    assert math.log(1000 * n.max()) < high < math.inf
    fit = crossing(pd.DataFrame({"n": n, "test_acc_at_best_clean_val": accuracy}), 0.9)
    assert math.isinf(fit.high)


@given(st.floats(1, 1e6), st.integers(100, 60_000))
def test_n_lies_on_the_grid_and_within_the_data(n, largest):
    assert SMALLEST_N <= snap(n, largest) <= largest
    assert snap(2 * n, largest) >= snap(n, largest)


def test_the_grid_crossing_is_the_last_one():
    n = [100, 200, 400, 800]
    assert grid_crossing(n, accuracy(n, 300), 0.9) == pytest.approx(300)
    assert grid_crossing(n, accuracy(n, 900), 0.9) == math.inf  # never
    assert grid_crossing(n, accuracy(n, 50), 0.9) == 0  # from the start
    assert 400 < grid_crossing(n, [0.5, 0.92, 0.85, 0.95], 0.9) < 800
    assert 400 < grid_crossing(n, [0.92, 0.95, 0.85, 0.95], 0.9) < 800


def test_a_crossing_of_the_grid_leaves_out_runs_that_are_missing():
    n = [250, 500, 1_000, 2_000]
    runs = pd.DataFrame({"alpha": 0.0, "n": n, "seed": 0, "test_acc_at_best_clean_val": accuracy(n, 400)})
    other = runs[runs["n"] < 2_000].assign(seed=1)  # its last run is missing
    crossings = grid_crossings(pd.concat([runs, other]), 0.9)
    assert crossings[0.0].tolist() == pytest.approx([400, 400])


def test_thresholds_of_a_grid_have_an_interval_over_seeds():
    rows = [
        {"alpha": 5.0, "n": n, "seed": seed, "test_acc_at_best_clean_val": float(accuracy(n, threshold))}
        for seed, threshold in enumerate([900, 1_000, 1_100])
        for n in (250, 500, 1_000, 2_000, 4_000)
    ]
    row = grid_thresholds(pd.DataFrame(rows)).set_index("level").loc[0.9]
    assert row["mean"] == pytest.approx((900 * 1_000 * 1_100) ** (1 / 3), rel=1e-6)
    assert row["low"] < 900
    assert row["high"] > 1_100
    assert row["seeds"] == 3


def test_a_long_search_narrows_until_the_interval_is_within_a_quarter():
    narrow, covered, shorter = 0, 0, 0
    for seed in range(30):
        runs = searched(3_000, noise=0.3, seed=seed, budget=LONG_SEARCH)
        fit = crossing(runs, 0.9)
        narrow += math.log(fit.high / fit.low) / 2 <= math.log(1.25)
        covered += fit.low <= 3_000 <= fit.high
        assert runs["seed"].is_unique
        other = crossing(searched(3_000, noise=0.3, seed=seed), 0.9)
        shorter += other.low > 0 and math.log(other.high / other.low) / 2 <= math.log(1.25)
    assert narrow == 30
    assert shorter < 20  # a short search ends after six runs near the crossing
    assert covered >= 24  # 28 or 29 expected; a stopping rule based on the interval costs a little


def test_a_long_search_requests_several_runs_at_once_on_both_sides_of_the_crossing():
    runs = searched(3_000, noise=0.3, seed=1)  # ended as a short search, too wide for a long one
    fit = crossing(runs, 0.9)
    assert math.log(fit.high / fit.low) / 2 > math.log(1.25)
    sizes = [n for n, _ in next_runs(runs, [0.9], 60_000, LONG_SEARCH)]
    assert len(sizes) == LONG_SEARCH.at_once
    assert min(sizes) < fit.n < max(sizes)


@pytest.mark.parametrize("measure", [lambda runs: crossing(runs, 0.9), grid_thresholds])
def test_a_run_counts_once_in_a_threshold(measure):
    n = [250, 500, 1_000, 2_000, 4_000]
    runs = pd.DataFrame({"alpha": 0.0, "n": n, "seed": 0, "test_acc_at_best_clean_val": accuracy(n, 900)})
    measure(runs)
    with pytest.raises(InputError, match="2 runs of seed 0"):
        measure(pd.concat([runs, runs], ignore_index=True))
