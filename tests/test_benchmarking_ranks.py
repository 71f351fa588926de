"""Ranks of methods: hand-made tables, published critical values, scipy's test."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from dilution.benchmarking.ranks import critical_difference, rank_methods
from dilution.errors import InputError

METHODS = ["a", "b", "c"]


def table(*rows):
    return pd.DataFrame(rows, columns=METHODS, index=[f"noise {number}" for number in range(len(rows))])


def test_ranks_are_averaged_over_noises_and_the_most_accurate_has_rank_one():
    ranks = rank_methods(table([0.9, 0.8, 0.7], [0.5, 0.6, 0.4], [0.3, 0.2, 0.1]))
    assert ranks.mean_ranks.to_dict() == {"a": pytest.approx(4 / 3), "b": pytest.approx(5 / 3), "c": 3.0}
    assert list(ranks.mean_ranks.index) == METHODS


def test_equal_accuracies_share_their_mean_rank():
    ranks = rank_methods(table([0.9, 0.9, 0.7], [0.5, 0.5, 0.5]))
    assert ranks.mean_ranks.to_dict() == {"a": 1.75, "b": 1.75, "c": 2.5}


@pytest.mark.parametrize(
    ("methods", "q"),
    [
        (2, 1.960),
        (3, 2.343),
        (4, 2.569),
        (5, 2.728),
        (6, 2.850),
        (7, 2.949),
        (8, 3.031),
        (9, 3.102),
        (10, 3.164),
    ],
)
def test_critical_differences_are_those_of_the_published_table_at_5_percent(methods, q):
    """Demšar 2006, table 5 (a)."""
    noises = 7
    unit = math.sqrt(methods * (methods + 1) / (6 * noises))
    assert critical_difference(methods, noises) / unit == pytest.approx(q, abs=1e-3)


@pytest.mark.parametrize(("methods", "q"), [(5, 2.459), (10, 2.920)])
def test_critical_differences_at_10_percent_too(methods, q):
    expected = q * math.sqrt(methods * (methods + 1) / (6 * 4))
    assert critical_difference(methods, 4, level=0.1) == pytest.approx(expected, rel=3e-4)


def test_four_methods_on_14_sets_have_the_critical_difference_of_the_published_example():
    """Demšar 2006, section 3.2.5."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_friedmans_test_is_the_published_formula_where_there_are_no_ties():
    accuracies = pd.DataFrame(np.random.default_rng(1).normal(size=(14, 4)))
    ranks = rank_methods(accuracies)
    squares = (ranks.mean_ranks**2).sum()
    chi2 = 12 * 14 / (4 * 5) * (squares - 4 * 5**2 / 4)  # Friedman 1937; k = 4, N = 14
    assert ranks.p == pytest.approx(scipy.stats.chi2.sf(chi2, 3))


@given(st.integers(0, 10_000))
def test_friedmans_test_is_that_of_scipy_and_does_not_depend_on_the_order_of_methods(seed):
    values = np.random.default_rng(seed).normal(size=(6, 4)).round(1)
    ranks = rank_methods(pd.DataFrame(values))
    shuffled = rank_methods(pd.DataFrame(values)[[2, 0, 3, 1]])
    assert ranks.mean_ranks.sum() == pytest.approx(4 * 5 / 2)
    assert ranks.mean_ranks.to_dict() == pytest.approx(shuffled.mean_ranks.to_dict())
    assert ranks.p == pytest.approx(scipy.stats.friedmanchisquare(*values.T).pvalue)


def test_methods_within_the_critical_difference_of_the_best_are_named():
    rows = [[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.8, 0.9, 0.1]] * 4
    ranks = rank_methods(table(*rows))
    assert ranks.critical_difference == pytest.approx(2.343 * math.sqrt(12 / 72), rel=1e-3)
    assert ranks.best == ["a", "b"]
    assert ranks.groups == [["a", "b"]]
    assert ranks.p < 0.001


def test_groups_that_lie_within_another_are_left_out():
    accuracies = pd.DataFrame([[5, 4, 3, 2, 1]] * 3, columns=list("abcde"))
    ranks = rank_methods(accuracies)
    assert 3 < ranks.critical_difference < 4
    assert ranks.groups == [["a", "b", "c", "d"], ["b", "c", "d", "e"]]


def test_equal_methods_do_not_differ():
    ranks = rank_methods(table([0.5, 0.5, 0.5], [0.7, 0.7, 0.7]))
    assert ranks.p == 1.0
    assert ranks.best == METHODS


def test_two_methods_or_one_noise_have_ranks_and_no_test():
    for accuracies in (table([0.9, 0.8, 0.7]), table([0.9, 0.8, 0.7], [0.5, 0.6, 0.4])[["a", "b"]]):
        ranks = rank_methods(accuracies)
        assert math.isnan(ranks.p)
        assert math.isnan(ranks.critical_difference)
        assert ranks.best == ["a"]
        assert ranks.groups == []


def test_noises_without_a_run_of_every_method_are_left_out():
    ranks = rank_methods(table([0.9, 0.8, 0.7], [0.1, np.nan, 0.2], [0.9, 0.8, 0.7]))
    assert ranks.noises == ("noise 0", "noise 2")
    assert ranks.mean_ranks.to_dict() == {"a": 1.0, "b": 2.0, "c": 3.0}
    with pytest.raises(InputError, match="no noise has a finished run of every method"):
        rank_methods(table([0.1, np.nan, 0.2]))
