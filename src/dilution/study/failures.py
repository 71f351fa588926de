"""The refusal to go on where runs failed."""

import shlex
from pathlib import Path

import pandas as pd

from dilution.errors import StoreError
from dilution.utils.printable import last_line


def refuse_failed(runs: pd.DataFrame, store: str | Path, purpose: str) -> None:
    """Abort if runs of a study failed: a fit to the others would be biased.

    Parameters
    ----------
    runs
        Table of runs.
    store
        File of the store with these runs.
    purpose
        Purpose of the runs, such as ``"pilot"``.

    Raises
    ------
    StoreError
        If any of them failed.
    """
    failed = runs[runs["state"] == "failed"]
    if len(failed):
        raise StoreError(
            f"{len(failed)} of {len(runs)} runs of the {purpose} failed, the first with: "
            f"{last_line(str(failed['error'].iloc[0]))} "
            f"`dilution status --store {shlex.quote(str(store))}` lists them all. "
            "Remove the cause, and try again with another --store."
        )
