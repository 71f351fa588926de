"""What a store holds of a study, and whether two hold the same, bit for bit."""

import pandas as pd

from dilution.study.results import histories, table
from dilution.study.store import Store

CIRCUMSTANCES = ["seconds", "group_size", "host", "versions", "started", "finished"]


def results(path, study):
    """Return what was measured, run by run and evaluation by evaluation, without when and where."""
    with Store(path) as store:
        return table(store, study).drop(columns=CIRCUMSTANCES), histories(store, study)


def same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
