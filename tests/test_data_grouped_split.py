"""Which groups are for testing: the same ones as a plain loop over the groups takes."""

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dilution.data.group_numbers import number_groups
from dilution.data.grouped_split import choose_test_groups
from dilution.data.splits import stratified_split, take_rows

Ints = NDArray[np.int64]


def chosen_one_by_one(labels: Ints, groups: Ints) -> NDArray[np.bool_]:
    """Return which groups are for testing, by the rules in words, one group after the other."""
    rows = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    classes = [int(np.bincount(labels[members]).argmax()) for members in rows]
    in_train, is_test = np.bincount(labels), np.zeros(len(rows), dtype=bool)
    passed = n_test = 0
    for group in sorted(range(len(rows)), key=lambda group: classes[group]):
        if classes.count(classes[group]) == 1:
            continue
        size = len(rows[group])
        if 5 * n_test + 4 * (size - 1) <= passed and take_rows(in_train, labels[rows[group]]):
            is_test[group] = True
            n_test += size
        passed += size
    if not n_test:
        for group in sorted(range(len(rows)), key=lambda group: len(rows[group])):
            if take_rows(in_train, labels[rows[group]]):
                is_test[group] = True
                break
    return is_test


@st.composite
def labels_and_groups(draw: st.DrawFn) -> tuple[Ints, Ints]:
    """Return rows that are mostly alone, mostly in groups, or in groups of one class."""
    n, n_classes = draw(st.integers(1, 90)), draw(st.integers(1, 6))
    labels = np.array(draw(st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n)))
    keys = np.array(draw(st.lists(st.integers(0, draw(st.sampled_from([2, 9, 90]))), min_size=n, max_size=n)))
    kind = draw(st.sampled_from(["groups", "mostly alone", "pure"]))
    if kind == "mostly alone":
        keys = np.where(keys % 4 > 0, 100 + np.arange(n), keys)
    elif kind == "pure":
        keys = keys * n_classes + labels
    return labels, number_groups(keys)


@given(labels_and_groups())
def test_the_groups_for_testing_are_those_that_a_loop_takes_one_by_one(rows: tuple[Ints, Ints]) -> None:
    np.testing.assert_array_equal(choose_test_groups(*rows), chosen_one_by_one(*rows))


def test_one_pair_of_copies_hardly_slows_the_split_of_many_rows() -> None:
    labels = np.random.default_rng(0).integers(0, 1000, 300_000)
    groups = np.maximum(np.arange(300_000) - 1, 0)
    seconds = []
    for of_rows in (None, groups):
        start = time.process_time()
        stratified_split(labels, of_rows)
        seconds.append(time.process_time() - start)
    assert seconds[1] < seconds[0] + 0.8  # a loop in Python over all groups takes 2 to 4 seconds
