"""Figure 4: the label distributions of structured noise, drawn from the matrices themselves."""

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.figures.base import PRESETS, Figure, Scale
from dilution.noise import structured
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, new_figure, percent_axis, style

ALPHA = 20.0
CLASSES = 10
DELTAS = (0.0, 0.5, 1.0)


_SCALE = Scale(lambda _: [], f"α = {ALPHA:g} and {CLASSES} classes; computed, at every scale alike.")


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return the probability of each label of one true class, the right one first (rank 0)."""
    del table
    parts = []
    for delta in DELTAS:
        row = structured(delta).overall(CLASSES, ALPHA, 0)[0]
        ranked = np.concatenate([row[:1], np.sort(row[1:])[::-1]])
        parts.append(pd.DataFrame({"delta": delta, "rank": range(CLASSES), "probability": ranked}))
    return pd.concat(parts, ignore_index=True)


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw one panel of bars for each delta; the right label in a colour of its own."""
    with style():
        figure, axes = new_figure(columns=len(DELTAS), height=2.9)
        top = 1.15 * found["probability"].max()
        for axis, (delta, part) in zip(axes, found.groupby("delta"), strict=True):
            colours = [COLOURS[1] if rank == 0 else COLOURS[0] for rank in part["rank"]]
            axis.bar(part["rank"], part["probability"], color=colours, width=0.8)
            for rank, bars in part.groupby("rank"):
                name = "the right label" if rank == 0 else f"false label, rank {rank}"
                mark_points(axis, bars, bars["rank"], bars["probability"], name, colours[int(str(rank))])
            axis.set_title(f"δ = {delta:g}")
            axis.set_xticks(part["rank"], ["right", *[str(r) for r in part["rank"][1:]]])
            axis.set_ylim(0, top)
            axis.grid(visible=False, axis="x")
            axis.set_xlabel("label: the right one, then false ones by rank")
            percent_axis(axis)
        axes[0].set_ylabel("share of the labels of a class")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say how often the right and the commonest false label occur at the largest skew."""
    last = found[found["delta"] == max(DELTAS)].set_index("rank")["probability"]
    return (
        f"With {ALPHA:g} noisy labels for each clean one, {last[0]:.1%} of the labels are right whatever "
        f"the skew δ; at δ = 1 the commonest false label is as frequent ({last[1]:.1%})."
    )


FIGURE = Figure(
    name="fig4",
    title="Label distributions of structured noise",
    scales=dict.fromkeys(PRESETS, _SCALE),
    points=points,
    draw=draw,
    finding=finding,
    claims=(),
    method="The right label keeps the share it has under uniform noise. The false mass interpolates, with "
    "weight δ, between uniform and the steepest linear staircase over the false classes whose first step "
    "equals the share of the right label.",
    shares=False,
)
