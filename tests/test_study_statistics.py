"""Intervals over seeds, paired tests, and the settings in which runs differ."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.study.pairs import mean_interval
from dilution.study.prepare import _FILE_DIGESTS
from dilution.study.statistics import (
    FILE_SETTINGS,
    best_lr,
    common_accuracy,
    common_settings,
    intervals,
    name_matrices,
    paired_p,
    rounding_deviation,
    settings_of_points,
    two_sided_p,
    varying_settings,
    with_diverged_at_chance,
)

# Three seeds at 0.8, 0.9 and 1.0: mean 0.9, standard deviation 0.1, t(0.975; 2) = 4.302653,
# so half the interval is 4.302653 · 0.1 / √3.
HALF = 0.248413772


def runs(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_interval_equals_the_hand_computed_one_and_is_not_clipped() -> None:
    points = intervals(runs(alpha=[5, 5, 5], test_acc_at_best_clean_val=[0.8, 0.9, 1.0]), ["alpha"])
    assert list(points.columns) == ["alpha", "mean", "low", "high", "seeds"]
    row = points.iloc[0]
    assert row["mean"] == pytest.approx(0.9)
    assert row["low"] == pytest.approx(0.9 - HALF, abs=1e-8)
    assert row["high"] == pytest.approx(0.9 + HALF, abs=1e-8)
    assert row["high"] > 1
    assert row["seeds"] == 3


def test_a_lower_level_gives_its_own_quantile() -> None:
    # Two values 0.2 apart: s = 0.1 · √2, and t(0.75; 1) = 1 exactly, so half is s / √2 = 0.1.
    points = intervals(runs(a=[1, 1], acc=[0.4, 0.6]), ["a"], value="acc", level=0.5)
    assert points.loc[0, "high"] == pytest.approx(0.6)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    points = intervals(runs(alpha=[1], test_acc_at_best_clean_val=[0.7]), ["alpha"])
    assert points.loc[0, "mean"] == 0.7
    assert points.loc[0, ["low", "high"]].isna().all()
    assert points.loc[0, "seeds"] == 1


def test_failed_runs_are_left_out_but_their_group_stays() -> None:
    table = runs(alpha=[1, 1, 1, 2], test_acc_at_best_clean_val=[0.4, 0.6, None, None])
    points = intervals(table, ["alpha"])
    assert list(points["seeds"]) == [2, 0]
    assert points.loc[0, "mean"] == pytest.approx(0.5)
    assert math.isnan(points["mean"].iloc[1])


@pytest.mark.parametrize("dtype", ["object", "Float64"])
def test_a_column_without_any_value_gives_no_mean(dtype: str) -> None:
    table = runs(alpha=[1, 1], test_acc_at_best_clean_val=pd.Series([None, None], dtype=dtype))
    points = intervals(table, ["alpha"])
    assert points.loc[0, ["mean", "low", "high"]].isna().all()


def test_groups_are_sorted_and_a_missing_key_is_a_group_of_its_own() -> None:
    table = runs(
        model=["b", "b", "a", "a"],
        delta=[np.nan, 0.5, np.nan, np.nan],
        test_acc_at_best_clean_val=[0.1, 0.2, 0.3, 0.5],
    )
    points = intervals(table, ["model", "delta"])
    assert list(points["model"]) == ["a", "b", "b"]
    assert list(points["delta"].isna()) == [True, False, True]
    assert list(points["mean"]) == pytest.approx([0.4, 0.2, 0.1])


def test_an_empty_table_gives_an_empty_one() -> None:
    assert len(intervals(runs(alpha=[], test_acc_at_best_clean_val=[]), ["alpha"])) == 0


def test_a_misspelt_column_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="Did you mean 'alpha'"):
        intervals(runs(alpha=[1], test_acc_at_best_clean_val=[0.5]), ["alhpa"])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_outside_its_range_is_refused(level: float) -> None:
    with pytest.raises(InputError, match="level"):
        intervals(runs(alpha=[1], test_acc_at_best_clean_val=[0.5]), ["alpha"], level=level)


def test_no_grouping_column_is_refused() -> None:
    with pytest.raises(InputError, match="by is empty"):
        intervals(runs(test_acc_at_best_clean_val=[0.5]), [])


def test_paired_p_equals_the_hand_computed_one() -> None:
    # Differences −0.1, −0.2, −0.3: t = −2√3 with two degrees of freedom, whose distribution
    # function is ½ + t / (2 √(2 + t²)).
    x, y = [0.1, 0.2, 0.3], [0.2, 0.4, 0.6]
    expected = 0.5 - math.sqrt(12) / (2 * math.sqrt(14))
    assert paired_p(x, y) == pytest.approx(expected)
    assert paired_p(y, x) == pytest.approx(1 - expected)


X, Y = [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]  # differences equal to rounding, not in every bit


def test_a_constant_difference_of_unknown_rounding_leaves_nothing_to_test_against() -> None:
    assert math.isnan(paired_p(X, Y))
    assert math.isnan(paired_p(Y, X))
    assert paired_p(X, X) == paired_p([0.0, 0.0], [0.0, 0.0]) == 0.5


def test_a_constant_difference_has_an_infinite_t_or_that_of_its_rounding() -> None:
    assert two_sided_p(X, Y) == two_sided_p(Y, X) == 0
    assert two_sided_p(X, X) == two_sided_p(X, X, rounding=0.01) == 1
    assert (paired_p(X, Y, rounding=0.0), paired_p(Y, X, rounding=0.0)) == (0, 1)
    t = 0.1 / (0.04 / math.sqrt(3))
    assert two_sided_p(X, Y, rounding=0.04) == pytest.approx(2 * scipy.stats.t(2).sf(t))
    assert paired_p(X, Y, rounding=0.04) == pytest.approx(scipy.stats.t(2).sf(t))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=6),
    st.sampled_from([0.0, 0.003, 0.03]),
)
def test_p_is_below_5_percent_where_the_interval_leaves_out_0(
    pairs: list[tuple[int, int]], rounding: float
) -> None:
    x, y = ([value / 50 for value in side] for side in zip(*pairs, strict=True))
    interval = mean_interval(pd.Series(x) - pd.Series(y), rounding=rounding)
    p = two_sided_p(x, y, rounding=rounding)
    assert 0 <= p <= 1
    if min(abs(interval.low), abs(interval.high)) > 1e-9:
        assert (p < 0.05) == (interval.low > 0 or interval.high < 0)


def test_equal_accuracies_have_the_interval_of_their_rounding() -> None:
    points = intervals(runs(alpha=[5] * 3, test_acc_at_best_clean_val=[0.9] * 3, n_test=[360] * 3), ["alpha"])
    half = 4.302653 / 360 / math.sqrt(12) / math.sqrt(3)
    assert points["low"].item() == pytest.approx(0.9 - half)
    assert points["high"].item() == pytest.approx(0.9 + half)


def test_too_few_complete_pairs_give_nan() -> None:
    assert math.isnan(paired_p([], []))
    assert math.isnan(paired_p([0.1], [0.2]))
    assert math.isnan(paired_p([0.1, float("nan")], [0.2, 0.3]))


def test_pairs_of_unequal_number_are_refused() -> None:
    with pytest.raises(InputError, match="2 values and y has 1"):
        paired_p([0.1, 0.2], [0.3])


def test_a_fingerprint_varies_only_where_models_of_one_name_have_several():
    named = {"model": ["a:f", "a:f", "mlp1"], "fingerprint": ["1", "1", ""], "alpha": [0, 1, 0]}
    assert varying_settings(pd.DataFrame(named)) == ["alpha", "model"]
    edited = {"model": ["a:f", "a:f", "mlp1"], "fingerprint": ["1", "2", ""]}
    assert varying_settings(pd.DataFrame(edited)) == ["fingerprint", "model"]
    data = {"dataset": ["d.csv"] * 2, "fingerprint": ["1", "2"]}
    assert varying_settings(pd.DataFrame(data)) == ["fingerprint"]


def test_the_seed_varies_only_on_request():
    table = runs(seed=[0, 1], alpha=[1, 2], n=[9, 9])
    assert varying_settings(table) == ["alpha"]
    assert varying_settings(table, with_seed=True) == ["alpha", "seed"]


def test_matrices_are_named_in_the_order_in_which_they_occur():
    first, second = ((1.0, 0.0), (0.0, 1.0)), ((0.5, 0.5), (0.5, 0.5))
    named = name_matrices(runs(matrix=[second, None, first, second]))
    assert named["matrix"].tolist() == ["T1", None, "T2", "T1"]


def test_common_settings_leave_out_what_is_off_or_differs():
    table = runs(dataset=["digits"] * 2, n=[100] * 2, alpha=[1.0, 2.0], hflip=[False] * 2, lr=[0.1] * 2)
    assert common_settings(table) == "dataset digits, n 100, lr 0.1"


def test_the_best_learning_rate_is_chosen_by_clean_validation_accuracy():
    table = runs(
        alpha=[1, 1, 1, 1, 2, 2],
        lr=[0.1, 0.1, 0.5, 0.5, 0.1, 0.5],
        val_acc_clean=[0.8, 0.8, 1.0, None, 0.7, 0.7],  # None: diverged, which counts as 0
        test_acc_last=[0.1, 0.1, 0.9, 0.9, 0.1, 0.9],
    )
    best = best_lr(table, ["alpha"])
    assert best.groupby("alpha")["lr"].unique().map(list).tolist() == [[0.1], [0.1]]
    assert len(best) == 3


def test_what_a_diverged_run_states_gives_way_to_chance():
    table = pd.DataFrame(
        {
            "state": ["diverged", "diverged", "done"],
            "majority_share": [0.1, None, 0.1],
            "test_acc_last": [0.9, 0.8, 0.7],
        }
    )
    accuracies = with_diverged_at_chance(table)["test_acc_last"]
    assert accuracies.dropna().to_dict() == {0: 0.1, 2: 0.7}  # without chance it has none


def test_a_setting_varies_where_a_training_loop_states_it_in_some_runs_alone():
    table = runs(lr=[0.1, 0.1, None], n=[9, 9, 9], n_val=[3, None, None], trained_by=["a", "a", "b"])
    assert varying_settings(table) == ["trained_by", "n_val"]
    assert varying_settings(table.assign(n_val=[3, 3, None])) == ["trained_by"]
    table = runs(n=[9, 9, 8, 8], n_val=[3, 3, 2, None], trained_by="a")
    assert settings_of_points(table) == ["n", "n_val"]
    assert settings_of_points(table.assign(trained_by=["a", "a", "a", "b"])) == ["trained_by", "n"]


def test_runs_are_shown_by_the_accuracy_that_most_of_them_have():
    table = runs(
        state=["done"] * 3, test_acc_at_best_clean_val=[0.5, None, None], test_acc_last=[None, 0.5, 0.5]
    )
    assert common_accuracy(table) == "test_acc_last"
    assert common_accuracy(table.assign(test_acc_last=[None, 0.5, None])) == "test_acc_at_best_clean_val"


@pytest.mark.parametrize(
    ("value", "examples"),
    [
        ("test_acc_last", 10_000),
        ("test_acc_at_half_steps", 10_000),
        ("val_acc_clean", 50),
        ("val_acc_noisy", 50),
        ("memorised_last", 1_000),
        ("recovered", 1_000),
        ("drop", 10_000 / 2**0.5),
    ],
)
def test_a_measure_is_rounded_to_the_share_of_its_own_examples(value: str, examples: float) -> None:
    table = pd.DataFrame({"n": 100, "seed": [0, 1], "n_test": 10_000, "n_val": 50, value: 0.5})
    assert rounding_deviation(table, value) == pytest.approx(1 / examples / 12**0.5)
    (row,) = intervals(table, by=["n"], value=value).to_dict(orient="records")
    quantile = scipy.stats.t(1).ppf(0.975)
    assert row["high"] - row["mean"] == pytest.approx(quantile / examples / 12**0.5 / 2**0.5)


def test_the_fingerprint_says_what_names_of_files_say() -> None:
    assert set(FILE_SETTINGS) == {"dataset", "image_source", *_FILE_DIGESTS}
    for name in FILE_SETTINGS:
        runs = pd.DataFrame({name: ["a", "mine:b"], "fingerprint": ["", "abc"], "seed": 0})
        assert varying_settings(runs) == [name]


def test_a_measure_that_is_no_share_has_no_rounding() -> None:
    table = pd.DataFrame({"n_test": [10_000], "n_val": 50, "seconds": 1.0, "steps_done": 10})
    assert rounding_deviation(table, "seconds") == rounding_deviation(table, "steps_done") == 0
