"""Figure 6: noisy labels on the same images, on images of another data set, and on white noise."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import AS_PAPER, PAPER, RATES, Figure, Grids, Material, PresetName, Scale
from dilution.figures.claims import (
    Claim,
    Judgement,
    decided,
    difference,
    difference_interval,
    not_testable,
    percent,
)
from dilution.figures.comparisons import accuracy_lines, falls
from dilution.report.style import legend, new_figure, style
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals

SAME, OTHER, WHITE = "same", "another data set", "white_noise"
LABELS = {SAME: "the same images", OTHER: "another data set", WHITE: "white noise"}
_BY = ["source", "alpha"]


def _grids(base: dict[str, Any], external: str, alphas: list[float], rates: dict[str, list[Any]]) -> Grids:
    """Return the runs; at α = 0 there are no noisy images, and all sources are one run."""
    sources = [SAME, external, WHITE]
    return [
        ({**base, "alpha": 0.0}, rates),
        (base, {"image_source": sources, "alpha": list(alphas), **rates}),
    ]


def _demo(material: Material) -> Grids:
    base = {"n": min(300, material.size), "model": "conv2", "optimizer": "adam", "schedule": "linear"}
    return _grids(
        {**base, "lr": 3e-3, "batch_size": 64, "steps": 300, "n_evals": 5}, material.external, [2.0, 5.0], {}
    )


def _laptop(material: Material) -> Grids:
    base = {"n": min(5_000, material.size), "model": "conv4", "optimizer": "adam", "schedule": "linear"}
    return _grids({**base, "lr": 1e-3, "steps": 2_000, "n_evals": 4}, material.external, [2.0, 5.0], {})


def _paper(material: Material) -> Grids:
    base = {**PAPER, "n": material.size, "model": "conv6"}
    return _grids(base, material.external, [1.0, 2.0, 5.0, 10.0], {"lr": list(RATES)})


_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        _demo,
        "Demo scale: n = 300, α up to 5, Conv-2, Adam for 300 steps at one learning rate; the "
        "other data set is cut from two photographs unless another is named. The paper uses CIFAR-10 "
        "with CIFAR-100.",
    ),
    "laptop": Scale(
        _laptop,
        "Laptop scale: n = 5,000, α up to 5, Conv-4, Adam at 1e-3 falling linearly to 0 for 2,000 steps "
        "of 128 labels. The paper uses all of CIFAR-10 with CIFAR-100, and Adadelta.",
    ),
    "paper": Scale(_paper, AS_PAPER, seeds=5),
}


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best rate, those without noise once for each source."""
    source = table["image_source"].where(table["image_source"].isin([SAME, WHITE]), OTHER)
    noisy = table.assign(source=source)[table["alpha"] > 0]
    clean = [table[table["alpha"] == 0].assign(source=name) for name in LABELS]
    return best_lr(pd.concat([*clean, noisy], ignore_index=True), by=_BY)


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by image source and alpha."""
    return intervals(_chosen(table), by=_BY)


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line an image source."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, found, "alpha", "source", LABELS, apart=0.008)
        axis.set_xlabel("noisy labels for each clean one, α")
        axis.set_ylabel("test accuracy")
        legend(axis, title="noisy labels are on", loc="lower left")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say what each source costs at the largest alpha."""
    mean = found.pivot(index="alpha", columns="source", values="mean")
    fall = mean.loc[0.0] - mean.iloc[-1]
    return (
        f"With {mean.index[-1]:g} noisy labels for each clean one accuracy falls from "
        f"{percent(mean.loc[0.0, SAME])} by {difference(fall[SAME])} if they are on the same images, by "
        f"{difference(fall[OTHER])} on those of another data set and by {difference(fall[WHITE])} on "
        "white noise."
    )


def _judge(table: pd.DataFrame, source: str, low: float, high: float) -> Judgement:
    fall = falls(_chosen(table), by=["source"])
    alpha = fall["alpha"].max()
    fall = fall[fall["alpha"] == alpha]
    if not {source, SAME} <= set(fall["source"]):
        return not_testable("it takes noise on the same images and on others")
    rows = intervals(fall, by=["source"], value="fall").set_index("source")
    if rows.loc[SAME, "mean"] <= 0:
        return not_testable(f"noise on the same images costs nothing at α = {alpha:g}")
    share = float(rows.loc[source, "mean"] / rows.loc[SAME, "mean"])
    by_seed = fall.pivot(index="seed", columns="source", values="fall")
    each = (by_seed[source] / by_seed[SAME]).sort_values()
    cost = [difference_interval(*rows.loc[name, ["mean", "low", "high"]]) for name in (source, SAME)]
    numbers = (
        f"α = {alpha:g}: {LABELS[source]} {cost[0]}, the same images {cost[1]}; a share of {share:.2f}, "
        f"by seed {', '.join(f'{one:.2f}' for one in each)}"
    )
    return decided(low <= share <= high, numbers)


FIGURE = Figure(
    name="fig6",
    title="Noise on the same images, on another data set, on white noise",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig6",
            "Noisy labels on images of another data set cost about half of what they cost on the same "
            "images.",
            "At the largest α the fall of accuracy from α = 0 is 0.3 to 0.8 times that with the same images.",
            lambda table: _judge(table, OTHER, 0.3, 0.8),
        ),
        Claim(
            "fig6",
            "Noisy labels on white noise cost almost nothing.",
            "At the largest α the fall of accuracy from α = 0 is less than a tenth of that with the same "
            "images.",
            lambda table: _judge(table, WHITE, -float("inf"), 0.1),
        ),
    ),
    method="Labels are drawn alike for all sources: that of a foreign image is drawn for the class of "
    "a clean partner, so that only the images differ. White noise has the mean and deviation of each "
    "channel of the clean images. All sources get the same number of steps, one label at a "
    "time.\n\nPoints are means over seeds, bars 95 % Student t intervals; each run reports the test "
    "accuracy at the step that clean validation accuracy chose.",
)
