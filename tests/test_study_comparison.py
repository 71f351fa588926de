"""Two settings compared by pairs of runs."""

import ast
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import dilution
from dilution.errors import InputError


def runs(accuracies: dict[str, list[float]], **columns) -> pd.DataFrame:
    rows = [
        {"loss": loss, "seed": seed, "state": "done", "test_acc_last": accuracy, **columns}
        for loss, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows)


ACCURACY = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(ACCURACY, ACCURACY), min_size=3, max_size=8))
def test_difference_interval_and_p_are_those_of_a_paired_t_test(pairs):
    first, second = (np.array(values, dtype=np.float64) for values in zip(*pairs, strict=True))
    compared = dilution.compare(runs({"a": list(first), "b": list(second)}), {"loss": "a"}, {"loss": "b"})
    difference = first - second
    assert compared.difference.value == pytest.approx(difference.mean())
    if np.ptp(difference) > 1e-9:
        test = stats.ttest_rel(first, second)
        assert compared.p == pytest.approx(test.pvalue)
        low, high = test.confidence_interval(0.95)
        assert (compared.difference.low, compared.difference.high) == pytest.approx((low, high))


def test_other_settings_are_averaged_within_a_seed():
    low, high = runs({"a": [0.5, 0.6], "b": [0.4, 0.6]}), runs({"a": [0.7, 0.8], "b": [0.5, 0.7]})
    table = pd.concat([low.assign(alpha=1.0), high.assign(alpha=5.0)], ignore_index=True)
    compared = dilution.compare(table, {"loss": "a"}, {"loss": "b"})
    assert compared.points == 2
    assert compared.pairs["difference"].tolist() == pytest.approx([0.15, 0.05])
    assert compared.difference.value == pytest.approx(0.1)


def unbalanced(pairs: list[tuple[int, float]]) -> pd.DataFrame:
    """Return runs of two losses at these seeds and alphas; b is 0.1 below a at alpha 1, else 0.3."""
    return pd.DataFrame(
        [
            {"loss": loss, "alpha": alpha, "seed": seed, "state": "done", "test_acc_last": value}
            for seed, alpha in pairs
            for loss, value in (("a", 0.9), ("b", 0.8 if alpha == 1 else 0.6))
        ]
    )


def test_every_seed_counts_the_same_other_settings():
    both = [(seed, alpha) for seed in range(3) for alpha in (1.0, 5.0)]
    compared = dilution.compare(unbalanced([*both, (3, 1.0)]), {"loss": "a"}, {"loss": "b"})
    assert compared.pairs["seed"].tolist() == [0, 1, 2]
    assert compared.difference.value == pytest.approx(0.2)
    assert (compared.points, compared.unbalanced, compared.left_out) == (2, 2, 0)
    assert "Left out, so that each seed counts the same settings: 2 runs." in compared.answer
    many = [(seed, 1.0) for seed in range(9)]
    compared = dilution.compare(unbalanced([*many, (0, 5.0), (1, 5.0)]), {"loss": "a"}, {"loss": "b"})
    assert (len(compared.pairs), compared.points, compared.unbalanced) == (9, 1, 4)
    assert compared.difference.value == pytest.approx(0.1)


def test_two_seeds_are_kept_rather_than_more_settings_of_one():
    pairs = [(0, alpha) for alpha in (1.0, 2.0, 3.0, 4.0, 5.0)] + [(1, 1.0)]
    compared = dilution.compare(unbalanced(pairs), {"loss": "a"}, {"loss": "b"})
    assert (compared.pairs["seed"].tolist(), compared.points, compared.unbalanced) == ([0, 1], 1, 8)


def test_equal_differences_have_the_p_value_of_their_interval():
    table = runs({"a": [0.6, 0.6, 0.6], "b": [0.5, 0.5, 0.5]})
    for n_test, significant in ((360, True), (10, False)):
        compared = dilution.compare(table.assign(n_test=n_test), {"loss": "a"}, {"loss": "b"})
        assert (compared.p < 0.05) == (compared.difference.low > 0) == significant
    none = dilution.compare(runs({"a": [0.5, 0.5], "b": [0.5, 0.5]}), {"loss": "a"}, {"loss": "b"})
    assert none.p == 1
    assert none.answer.endswith("The difference may be chance.")


def test_equal_differences_of_unknown_rounding_decide_nothing():
    table = runs({"a": [0.6, 0.6, 0.6], "b": [0.5, 0.5, 0.5]}).assign(n_test=360, n_val=50)
    table["steps_done"] = np.where(table["loss"] == "a", 100, 200)
    table["val_acc_clean"] = np.where(table["loss"] == "a", 0.82, 0.8)
    for measure, value in (("steps_done", -100), ("val_acc_clean", 0.02)):
        compared = dilution.compare(table, {"loss": "a"}, {"loss": "b"}, measure=measure)
        assert compared.difference.value == pytest.approx(value)
        assert not compared.p < 0.05  # one validation image more
    compared = dilution.compare(table.drop(columns="n_test"), {"loss": "a"}, {"loss": "b"})
    assert math.isnan(compared.p)
    assert math.isnan(compared.difference.low)
    assert compared.answer.endswith(
        "(3 seeds). All seeds differ by the same, so nothing says how far this is chance."
    )


def test_equal_differences_of_large_values_decide_nothing_either():
    seconds = {"a": [100_000.3, 200_000.3, 300_000.3], "b": [100_000.0, 200_000.0, 300_000.0]}
    table = runs(seconds).rename(columns={"test_acc_last": "seconds"})
    compared = dilution.compare(table, {"loss": "a"}, {"loss": "b"}, measure="seconds")
    assert math.isnan(compared.p)
    assert math.isnan(compared.difference.low)


def test_seeds_without_common_settings_are_refused_with_a_value_to_name():
    table = unbalanced([(0, 1.0), (1, 5.0)])
    with pytest.raises(InputError, match="seeds would be compared at different settings") as refused:
        dilution.compare(table, {"loss": "a"}, {"loss": "b"})
    value = ast.literal_eval(re.search(r"such as (\{.*\})", str(refused.value))[1])
    assert dilution.compare(table, {"loss": "a"} | value, {"loss": "b"} | value).points == 1


def test_runs_of_a_side_that_differ_in_a_setting_of_the_other_are_told_apart_by_naming_it():
    table = unbalanced([(0, 1.0), (0, 5.0)])
    with pytest.raises(InputError, match="differ in alpha: name a value on that side") as refused:
        dilution.compare(table, {"loss": "a", "alpha": 1.0}, {"loss": "b"})
    side = ast.literal_eval(re.search(r"such as (\{.*\})", str(refused.value))[1])
    assert side == {"loss": "b", "alpha": 1.0}
    assert dilution.compare(table, {"loss": "a", "alpha": 1.0}, side).points == 1


def test_runs_without_a_partner_are_counted():
    table = runs({"a": [0.5, 0.6, 0.7], "b": [0.4, 0.5]})
    assert dilution.compare(table, {"loss": "a"}, {"loss": "b"}).left_out == 1


def test_the_answer_is_a_sentence_with_the_numbers():
    table = runs({"a": [0.52, 0.61, 0.73], "b": [0.4, 0.5, 0.6]})
    compared = dilution.compare(table, {"loss": "a"}, {"loss": "b"})
    assert compared.answer.startswith("test_acc_last: loss a − loss b is +12.00 points [")
    reverse = dilution.compare(table, {"loss": "b"}, {"loss": "a"})
    assert reverse.answer.startswith("test_acc_last: loss b − loss a is −12.00 points [−")
    assert compared.answer.endswith("The difference is significant at 5 %.")
    assert "3 seeds, p = 0.0" in compared.answer
    one = dilution.compare(table[table["seed"] == 0], {"loss": "a"}, {"loss": "b"})
    assert one.answer.endswith("One seed gives no interval.")


@pytest.mark.parametrize(
    ("a", "measure", "words"),
    [
        ({"loss": "c"}, "test_acc_last", "no run has loss 'c'; the table has 'a', 'b'"),
        ({"los": "a"}, "test_acc_last", "'los' is not a setting of the table. Did you mean 'loss'"),
        ({}, "test_acc_last", "name at least one with its value"),
        ({"loss": "a"}, "test_ac_last", "'test_ac_last' is not a measure. Did you mean 'test_acc_last'"),
        ({"loss": "a"}, "val_acc_clean", "the table has no column 'val_acc_clean'"),
    ],
)
def test_what_is_not_there_is_refused(a, measure, words):
    with pytest.raises(InputError, match=words):
        dilution.compare(runs({"a": [0.5], "b": [0.4]}), a, {"loss": "b"}, measure=measure)


def test_settings_without_a_common_seed_are_refused():
    table = pd.concat([runs({"a": [0.5]}), runs({"b": [0.5]}).assign(seed=7)])
    with pytest.raises(InputError, match="no run with loss a has a partner with loss b"):
        dilution.compare(table, {"loss": "a"}, {"loss": "b"})
