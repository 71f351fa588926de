"""Paired comparisons of runs with the same seed, and tables that hold a seed twice."""

import math

import numpy as np
import pandas as pd
import pytest

from dilution.errors import InputError
from dilution.study.pairs import by_seed, contrast, mean_interval, paired_difference
from dilution.study.statistics import best_lr, check_seeds, intervals, with_diverged_at_chance

ACCURACY = "test_acc_at_best_clean_val"


def runs(**columns):
    return pd.DataFrame(columns)


def test_a_paired_difference_equals_the_hand_computed_one_in_any_order_of_rows():
    # differences 0.1, 0.2 and 0.3: mean 0.2, s = 0.1, t(0.975; 2) = 4.302653
    table = runs(
        order=["a"] * 3 + ["b"] * 3, seed=[0, 1, 2, 2, 0, 1], **{ACCURACY: [0.5, 0.7, 0.9, 0.6, 0.4, 0.5]}
    )
    gap = paired_difference(table, "order", "a", "b")
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half), abs=1e-6)
    # unpaired, the seeds would scatter by twice as much
    assert gap.low > 0.2 - 4.302653 * 0.2 / math.sqrt(3)


def test_a_seed_without_partner_is_left_out_and_one_pair_has_no_interval():
    table = runs(order=["a", "a", "b", "b"], seed=[0, 1, 1, 2], **{ACCURACY: [0.1, 0.6, 0.5, 0.9]})
    gap = paired_difference(table, "order", "a", "b")
    assert gap.value == pytest.approx(0.1)
    assert math.isnan(gap.low)
    assert math.isnan(gap.high)


def test_a_contrast_weights_the_settings():
    values = by_seed(runs(alpha=[0, 0, 5, 5], seed=[0, 1, 0, 1], **{ACCURACY: [0.8, 1.0, 0.5, 0.7]}), "alpha")
    half = contrast(values, {5: 1.0, 0: -0.5})
    assert half.value == pytest.approx(0.15)
    assert half.high - half.low == pytest.approx(2 * 12.7062 * 0.05 * math.sqrt(2) / math.sqrt(2), rel=1e-4)


def test_equal_differences_have_the_interval_of_their_rounding():
    values = pd.DataFrame({"a": [0.9, 0.9, 0.9], "b": [0.8, 0.8, 0.8]})
    exact, rounded = (contrast(values, {"a": 1, "b": -1}, rounding=rounding) for rounding in (0.0, 0.001))
    assert exact.low == pytest.approx(exact.high)
    assert rounded.high - rounded.low == pytest.approx(2 * 4.302653 * 0.001 * math.sqrt(2) / math.sqrt(3))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_intervals_of_paired_differences_have_their_stated_coverage(level):
    random, covered = np.random.default_rng(0), 0
    for _ in range(1_000):
        estimate = mean_interval(pd.Series(random.normal(0.03, 0.01, 5)), level=level)
        covered += estimate.low <= 0.03 <= estimate.high
    assert covered / 1_000 == pytest.approx(level, abs=0.02)


@pytest.mark.parametrize(
    "function",
    [
        lambda table: intervals(table, ["model"]),
        lambda table: best_lr(table, ["model"]),
        lambda table: by_seed(table, "model"),
        lambda table: check_seeds(table, ["model"]),
    ],
)
def test_a_group_with_a_seed_twice_is_refused_with_the_setting_that_differs(function):
    table = runs(model="conv4", alpha=[0.0, 5.0], lr=0.1, seed=0, val_acc_clean=0.5, **{ACCURACY: [0.9, 0.8]})
    with pytest.raises(InputError, match=r"model conv4.* 2 runs of seed 0.* differ in alpha"):
        function(table)
    same = table.assign(alpha=0.0)
    with pytest.raises(InputError, match="drop_duplicates"):
        function(same)
    function(same.drop_duplicates(["model", "seed"]))


def test_values_by_one_column_are_told_apart_by_keeping_rows():
    table = runs(model="conv4", alpha=[0.0, 5.0], seed=0, **{ACCURACY: [0.9, 0.8]})
    with pytest.raises(InputError, match=r"differ in alpha: keep the rows of one value\.$"):
        by_seed(table, "model")


def diverged():
    """Return three runs of each of two learning rates, one of which diverged."""
    return runs(
        state=["done", "diverged", "done", "done", "done", "done"],
        lr=[0.5] * 3 + [0.1] * 3,
        seed=[0, 1, 2] * 2,
        model="mlp1",
        majority_share=0.1,
        val_acc_clean=[0.9, None, 0.9, 0.7, 0.7, 0.7],
        **{ACCURACY: [0.9, None, 0.9, 0.7, 0.7, 0.7]},
    )


def test_diverged_runs_count_as_accuracy_at_chance_in_every_statistic():
    table = diverged()
    points = intervals(table, ["lr"]).set_index("lr")
    assert points.loc[0.5, "mean"] == pytest.approx((0.9 + 0.1 + 0.9) / 3)
    assert points.loc[0.5, "seeds"] == 3
    assert points["diverged"].to_dict() == {0.1: 0, 0.5: 1}
    assert set(best_lr(table, ["model"])["lr"]) == {0.1}  # 0.63 against 0.7; the survivors alone have 0.9
    assert by_seed(table, "lr").loc[1, 0.5] == 0.1
    assert paired_difference(table, "lr", 0.5, 0.1).value == pytest.approx((0.2 - 0.6 + 0.2) / 3)
    pd.testing.assert_frame_equal(
        with_diverged_at_chance(with_diverged_at_chance(table)), with_diverged_at_chance(table)
    )


def test_tables_without_diverged_runs_have_no_column_for_them():
    table = diverged().query("state == 'done'")
    assert "diverged" not in intervals(table, ["lr"])
    pd.testing.assert_frame_equal(with_diverged_at_chance(table), table)
