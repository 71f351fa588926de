"""The section of docs/performance.md on the cost of losses."""

from collections.abc import Iterable

import pandas as pd
from counting import BATCH_SIZE, RESULTS, provenance

from dilution.study.statistics import intervals

LIMIT = 0.1  # more time than a step with cross entropy may take


def loss_costs(name: str = "losses") -> pd.DataFrame:
    """Return for each loss by which share a step takes longer than with cross entropy: mean, low, high."""
    measured = pd.read_csv(RESULTS / f"{name}.csv")
    measured["more"] = measured["loss_s"] / measured["plain_s"] - 1
    return intervals(measured, ["loss"], "more").set_index("loss")


def losses(name: str = "losses") -> Iterable[str]:
    """Yield the section."""
    measured, costs = pd.read_csv(RESULTS / f"{name}.csv"), loss_costs(name)
    on_gpu = measured["device"].iloc[0] == "cuda"
    where = "on a GPU, by the clock" if on_gpu else "on one thread, in processor time"
    models = "of one model" if measured["models"].iloc[0] == 1 else f"of {measured['models'].iloc[0]} models"
    yield from (
        f"## Losses{' on a GPU' if on_gpu else ''}",
        "",
        f"A step {models} of Conv-4 with {BATCH_SIZE} images of 28×28 pixels {where}, with each loss and "
        f"with cross entropy in turn: {measured['pair'].nunique()} pairs of steps; the median step with "
        f"cross entropy takes {1000 * measured['plain_s'].median():.0f} ms. Means with 95 % intervals. "
        f"mixup is with cross entropy. {provenance(measured)}",
        "",
        "| loss | more time than with cross entropy |",
        "|---|---|",
    )
    for loss, row in costs.sort_values("mean", ascending=False).iterrows():
        text = f"{row['mean']:+.1%} [{row['low']:+.1%}, {row['high']:+.1%}]"
        yield f"| {loss} | {text.replace('-', '−')} |"
    yield ""
