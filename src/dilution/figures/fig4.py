"""Figure 4: label distributions of structured noise, computed from the transition matrices."""

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.figures.base import PRESETS, Figure, Preset
from dilution.noise import structured
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, new_figure, percent_axis, style

ALPHA = 20.0
N_CLASSES = 10
DELTAS = (0.0, 0.5, 1.0)


_PRESET = Preset(
    lambda _: [], f"α = {ALPHA:g} and {N_CLASSES} classes. Computed, not measured; the same at every preset."
)


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return the probability of each label of one true class, per delta; rank 0 is the true class."""
    del table
    parts = []
    for delta in DELTAS:
        row = structured(delta).overall(N_CLASSES, ALPHA, 0)[0]
        ranked = np.concatenate([row[:1], np.sort(row[1:])[::-1]])
        parts.append(pd.DataFrame({"delta": delta, "rank": range(N_CLASSES), "probability": ranked}))
    return pd.concat(parts, ignore_index=True)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw one panel of bars per delta, with the true class in its own colour."""
    with style():
        figure, axes = new_figure(columns=len(DELTAS), height=2.9)
        top = 1.15 * points["probability"].max()
        for axis, (delta, part) in zip(axes, points.groupby("delta"), strict=True):
            colours = [COLOURS[1] if rank == 0 else COLOURS[0] for rank in part["rank"]]
            axis.bar(part["rank"], part["probability"], color=colours, width=0.8)
            for rank, bars in part.groupby("rank"):
                name = "true class" if rank == 0 else f"false class of rank {rank}"
                mark_points(axis, bars, bars["rank"], bars["probability"], name, colours[int(str(rank))])
            axis.set_title(f"skew δ = {delta:g}")
            axis.set_xticks(part["rank"], ["true", *[str(rank) for rank in part["rank"][1:]]])
            axis.set_ylim(0, top)
            axis.grid(visible=False, axis="x")
            axis.set_xlabel("label: true class, false classes by rank")
            percent_axis(axis)
        axes[0].set_ylabel("share of a class's labels")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the share of the true class and of the most frequent false class at the largest skew."""
    last = points[points["delta"] == max(DELTAS)].set_index("rank")["probability"]
    return (
        f"{100 * last[0]:.1f} % of the labels are correct at every skew δ, with {ALPHA:g} noisy labels per "
        f"clean label; at δ = 1 the most frequent false class has as many ({100 * last[1]:.1f} %)."
    )


FIGURE = Figure(
    name="fig4",
    title="Label distributions of structured noise",
    presets=dict.fromkeys(PRESETS, _PRESET),
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(),
    method="The true class keeps the share of labels that it has under uniform noise. The skew δ "
    "interpolates the distribution of the false labels between uniform (δ = 0) and the steepest linear "
    "staircase over the ranked false classes (δ = 1): its first step equals the share of the true class.",
    as_percent=False,
)
