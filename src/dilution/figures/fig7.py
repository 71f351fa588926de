"""Figure 7: noisy labels on the same images, or on fresh images of the same data set."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    DEMO_N,
    MEANS_OVER_SEEDS,
    SELECTED_STEP,
    Figure,
    FigureInputs,
    Grids,
    Preset,
    PresetName,
)
from dilution.figures.claims import (
    Claim,
    Judgement,
    decide,
    difference_estimate,
    not_testable,
    percent_interval,
)
from dilution.figures.comparisons import accuracy_drops, accuracy_lines
from dilution.figures.paper_scale import LrSearch, describe, paper_grids
from dilution.report.style import ALPHA_LABEL, legend, new_figure, style
from dilution.study.pairs import by_seed, contrast, mean_interval
from dilution.study.statistics import best_lr, intervals, rounding_deviation

SOURCES = {"same": "the same images", "fresh": "fresh images"}
_BY = ["image_source", "alpha"]


def _grids(base: dict[str, Any], alphas: list[float], lrs: dict[str, list[Any]]) -> Grids:
    """Return the runs; at α = 0 there are no noisy images, and both sources are the same run."""
    return [
        ({**base, "alpha": 0.0}, lrs),
        (base, {"image_source": list(SOURCES), "alpha": list(alphas), **lrs}),
    ]


def _demo(inputs: FigureInputs) -> Grids:
    n = min(DEMO_N, inputs.n_available // 12)
    base = {"n": n, "model": "conv2", "optimizer": "adam", "schedule": "linear"}
    return _grids({**base, "lr": 3e-3, "batch_size": 64, "steps": 300, "n_evals": 5}, [2.0, 5.0, 10.0], {})


def _laptop(inputs: FigureInputs) -> Grids:
    n = min(2_000, inputs.n_available // 12)
    base = {"n": n, "model": "conv2", "optimizer": "adam", "lr": 1e-3}
    return _grids({**base, "schedule": "linear", "steps": 800, "n_evals": 4}, [5.0, 10.0, 20.0], {})


def _paper(inputs: FigureInputs) -> Grids:
    base = {"n": inputs.n_available // 21, "model": "conv4"}
    sources: dict[str, list[Any]] = {"image_source": list(SOURCES)}
    return [*paper_grids(base, [0.0], {}), *paper_grids(base, [1.0, 2.0, 5.0, 10.0, 20.0], sources)]


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: a twelfth of the images as clean images, at most 2,000, α up to 10, Conv-2, Adam for "
        "300 steps at one learning rate. The paper uses Conv-4 and Adadelta.",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: n = 2,000, α up to 20 (each fresh image is used once if there are enough), Conv-2, "
        "Adam with a learning rate of 1e-3 that falls linearly to 0, 800 steps of 128 labels. The paper uses "
        "Conv-4 and Adadelta, and does not state n.",
    ),
    "paper": Preset(
        _paper,
        f"{describe()} n is a 21st of the data, so that α = 20 uses each fresh image once.",
        seeds=5,
        lr_search=LrSearch(),
    ),
}


def _at_best_lr(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best learning rate; those without noise are repeated for each source."""
    noisy, clean = table[table["alpha"] > 0], table[table["alpha"] == 0]
    repeated = [clean.assign(image_source=source) for source in SOURCES]
    return best_lr(pd.concat([*repeated, noisy], ignore_index=True), by=_BY)


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per image source and alpha."""
    return intervals(_at_best_lr(table), by=_BY)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per image source."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, points, "alpha", "image_source", SOURCES, offset=0.008)
        axis.set_xlabel(ALPHA_LABEL)
        axis.set_ylabel("test accuracy")
        legend(axis, title="noisy labels are on", loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy of both image sources at the largest alpha."""
    last = points[points["alpha"] == points["alpha"].max()].set_index("image_source")
    same, fresh = (
        percent_interval(*last.loc[source, ["mean", "low", "high"]].astype(float)) for source in SOURCES
    )
    return (
        f"Test accuracy is {same} with noisy labels on the same images and {fresh} with noisy labels on "
        f"fresh images, at {points['alpha'].max():g} noisy labels per clean label."
    )


def _sources_alike(table: pd.DataFrame) -> Judgement:
    drops = accuracy_drops(_at_best_lr(table), by=["image_source"])
    sources = drops.groupby("alpha")["image_source"].agg(set)
    if drops.empty or not all(set(SOURCES) <= names for names in sources):
        return not_testable("requires both image sources at α > 0")
    if drops["seed"].nunique() < 2:
        return not_testable("requires at least 2 seeds")
    rounding = rounding_deviation(table, "drop")
    numbers, passed = [], True
    for alpha, part in drops.groupby("alpha"):
        values = by_seed(part, "image_source", "drop")
        above = contrast(values, {"fresh": 1.0, "same": -0.5}, rounding=rounding)
        below = contrast(values, {"fresh": 1.0, "same": -1.5}, rounding=rounding)
        gap = contrast(values, {"fresh": 1.0, "same": -1.0}, rounding=rounding)
        same = mean_interval(values["same"], rounding=rounding)
        passed &= above.low > 0 > below.high
        numbers.append(
            f"α = {alpha:g}: same {difference_estimate(same)}, fresh − same {difference_estimate(gap)}"
            + ("" if above.low > 0 > below.high else " (not within half)")
        )
    return decide(bool(passed), f"drops from α = 0: {'; '.join(numbers)}")


FIGURE = Figure(
    name="fig7",
    title="Noisy labels on the same images and on fresh images",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig7",
            "It hardly matters whether noisy labels are on the same images or on fresh images.",
            "At every α > 0 the drop of accuracy from α = 0 with fresh images is more than 0.5 and less than "
            "1.5 times that with the same images: drop minus 0.5 times the other above 0 and drop minus 1.5 "
            "times the other below 0, each with its 95 % interval, paired by seed.",
            _sources_alike,
        ),
    ),
    method="Both sources get the same number of optimizer steps with sampled targets (one label at a time). "
    "Fresh images are images of the data set that are not among the n clean images; each carries its noisy "
    f"label in place of its own label.\n\n{MEANS_OVER_SEEDS} {SELECTED_STEP}",
)
