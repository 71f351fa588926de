"""The results of a study in a store, and the comparison of two, bit for bit."""

import sqlite3

import pandas as pd

from dilution.study.results import histories, table
from dilution.study.store import Store

CIRCUMSTANCES = ["seconds", "group_size", "host", "versions", "started", "finished"]


def results(path, study):
    """Return the table of results and the histories, without times and circumstances."""
    with Store(path) as store:
        return table(store, study).drop(columns=CIRCUMSTANCES), histories(store, study)


def same(first, second):
    """Check that two results are equal, bit for bit."""
    for left, right in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)


def finished(path):
    """Return how many runs are done."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM runs WHERE state = 'done'").fetchone()[0]
    except sqlite3.Error:
        return 0
