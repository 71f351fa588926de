"""Runs that Figure 10 compares: batch sizes at equal numbers of examples or of steps, by schedule."""

import pandas as pd

from dilution.study.statistics import best_lr

BATCH_SIZES = (32, 64, 128, 256)
LIMIT = "∞"
REFERENCE = 128
"""The batch size whose length the others must have."""
SCHEDULES = {"constant": "constant learning rate", "linear": "decaying learning rate"}
BY = ["budget", "schedule", "batch", "alpha"]
"""Columns that tell the points of the figure apart, as :func:`compared_runs` names them."""


def equal_examples(table: pd.DataFrame, schedule: str = "constant") -> pd.DataFrame:
    """Return the runs of a schedule that train on as many examples as those with batch size 128.

    Less than a batch may be missing, since steps are whole numbers.
    """
    runs = table[table["schedule"] == schedule]
    examples = runs["steps"] * runs["batch_size"]
    missing = (examples - examples[runs["batch_size"] == REFERENCE].max()).abs()
    return runs[missing < runs["batch_size"]]


def equal_steps(table: pd.DataFrame, schedule: str = "constant") -> pd.DataFrame:
    """Return the runs of a schedule that take as many steps as those with batch size 128."""
    runs = table[table["schedule"] == schedule]
    return runs[runs["steps"] == runs.loc[runs["batch_size"] == REFERENCE, "steps"].max()]


BUDGETS = {"equal examples": equal_examples, "equal steps": equal_steps}
"""What is equal at every batch size → function that selects such runs."""


def compared_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best learning rate, where batch sizes are compared, with the columns of BY.

    ``batch`` is the batch size, or the limit. A run may belong to both budgets.
    """
    parts = []
    for schedule in SCHEDULES:
        for budget, select in BUDGETS.items():
            runs = select(table, schedule)
            batch = runs["batch_size"].astype(str).where(runs["targets"] != "expected", LIMIT)
            if len(set(batch) - {LIMIT}) > 1:
                parts.append(runs.assign(budget=budget, batch=batch))
    return (
        best_lr(pd.concat(parts, ignore_index=True), by=BY)
        if parts
        else table.iloc[:0].assign(budget="", batch="")
    )
