"""What a figure of the paper is: its runs at each scale, its plot, its claims."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.figure
import pandas as pd

from dilution.errors import unknown
from dilution.paper.claims import Claim
from dilution.study.spec import Run

ScaleName = Literal["demo", "laptop", "paper"]
SCALES: tuple[ScaleName, ...] = ("demo", "laptop", "paper")


@dataclass(frozen=True)
class Figure:
    """One figure of the paper.

    Parameters
    ----------
    name, title
        ``"fig1"``, and what it shows.
    plan
        Function (data set, training pictures, scale, seeds or None for the scale's own) → the runs, in
        the order in which they start.
    differs
        For each scale, what a reader must know of how it differs from the paper.
    points
        Function of the table of runs → the means and intervals that are drawn.
    draw
        Function of those points → the plot.
    finding
        Function of those points → what was found, in one plain sentence.
    claims
        The claims that this figure decides.
    method
        How it was measured.
    shares
        Whether the points are accuracies.
    """

    name: str
    title: str
    plan: Callable[[str, int, ScaleName, int | None], list[Run]]
    differs: Mapping[str, str]
    points: Callable[[pd.DataFrame], pd.DataFrame]
    draw: Callable[[pd.DataFrame], matplotlib.figure.Figure]
    finding: Callable[[pd.DataFrame], str]
    claims: tuple[Claim, ...]
    method: str
    shares: bool = True


def choose_scale(name: str, plans: Mapping[str, Any]) -> Any:
    """Return what a figure does at the scale of this name.

    Raises
    ------
    InputError
        If there is no such scale.
    """
    if name not in plans:
        raise unknown("scale", name, plans)
    return plans[name]
