"""What a command says that cannot go on without runs that failed."""

from pathlib import Path

import pandas as pd

from dilution.errors import StoreError


def refuse_failed(runs: pd.DataFrame, store: str | Path, what: str) -> None:
    """End where runs failed: conclusions from what is left would be from what happened to end well.

    Parameters
    ----------
    runs
        Table of runs.
    store
        The file they are in.
    what
        What they belong to, such as ``"pilot"``.

    Raises
    ------
    StoreError
        If any of them failed.
    """
    failed = runs[runs["state"] == "failed"]
    if len(failed):
        raise StoreError(
            f"{len(failed)} of {len(runs)} runs of the {what} failed, the first with: "
            f"{str(failed['error'].iloc[0]).strip().splitlines()[-1]} `dilution status --store {store}` "
            "lists them all. Mend the cause, and try again with another --store."
        )
