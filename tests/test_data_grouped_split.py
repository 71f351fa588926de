"""Which groups are for testing: the same ones as a plain loop over the groups takes."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dilution.data.group_numbers import number_groups
from dilution.data.grouped_split import _runs, choose_test_groups
from dilution.data.splits import stratified_split

Ints = NDArray[np.int64]


def take_rows(in_train: Ints, labels: Ints) -> bool:
    """Take rows from the training rows of each class, unless a class then has none."""
    left = in_train - np.bincount(labels, minlength=len(in_train))
    if (left[np.unique(labels)] < 1).any():
        return False
    in_train[:] = left
    return True


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


def test_the_loop_in_python_is_over_classes_and_larger_groups_only(monkeypatch: pytest.MonkeyPatch) -> None:
    n_runs = 0

    def counted(*arguments: Ints) -> Iterator[tuple[int, int]]:
        nonlocal n_runs
        for run in _runs(*arguments):
            n_runs += 1
            yield run

    monkeypatch.setattr("dilution.data.grouped_split._runs", counted)
    labels = np.random.default_rng(0).integers(0, 1000, 300_000)
    _, test = stratified_split(labels, np.maximum(np.arange(300_000) - 1, 0))  # one pair of copies
    assert n_runs <= 1000 + 2
    assert len(test) == pytest.approx(60_000, abs=1000)
