"""Figure 7: noisy labels on the same images, or on fresh ones of the same data set."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    FIRST_CONTACT,
    PAPER,
    RATES,
    Figure,
    Grids,
    Material,
    PresetName,
    Scale,
)
from dilution.figures.claims import (
    Claim,
    Judgement,
    decided,
    difference_interval,
    not_testable,
    percent_interval,
)
from dilution.figures.comparisons import accuracy_lines, falls
from dilution.report.style import legend, new_figure, style
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals

SOURCES = {"same": "the same images", "fresh": "fresh images"}
_BY = ["image_source", "alpha"]


def _grids(base: dict[str, Any], alphas: list[float], rates: dict[str, list[Any]]) -> Grids:
    """Return the runs; at α = 0 there are no noisy images, and both sources are one run."""
    return [
        ({**base, "alpha": 0.0}, rates),
        (base, {"image_source": list(SOURCES), "alpha": list(alphas), **rates}),
    ]


def _demo(material: Material) -> Grids:
    n = min(FIRST_CONTACT, material.size // 12)
    base = {"n": n, "model": "conv2", "optimizer": "adam", "schedule": "linear"}
    return _grids({**base, "lr": 3e-3, "batch_size": 64, "steps": 300, "n_evals": 5}, [2.0, 5.0, 10.0], {})


def _laptop(material: Material) -> Grids:
    base = {"n": min(2_000, material.size // 12), "model": "conv2", "optimizer": "adam", "lr": 1e-3}
    return _grids({**base, "schedule": "linear", "steps": 800, "n_evals": 4}, [5.0, 10.0, 20.0], {})


def _paper(material: Material) -> Grids:
    base = {**PAPER, "n": material.size // 21, "model": "conv4"}
    return _grids(base, [1.0, 2.0, 5.0, 10.0, 20.0], {"lr": list(RATES)})


_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        _demo,
        "Demo scale: a twelfth of the images as clean ones, α up to 10, Conv-2, Adam for 300 steps at one "
        "learning rate. The paper uses Conv-4 and Adadelta.",
    ),
    "laptop": Scale(
        _laptop,
        "Laptop scale: n = 2,000, α up to 20 (fresh images are used once where there are enough), "
        "Conv-2, Adam at 1e-3 falling linearly to 0 for 800 steps of 128 labels. The paper uses "
        "Conv-4 and Adadelta, and does not say n.",
    ),
    "paper": Scale(
        _paper,
        "Paper scale: one label at a time, Adadelta, batch 128, the best of four learning rates on clean "
        "validation data, 50,000 steps; n is a 21st of the data, so that α = 20 uses each fresh "
        "image once.",
        seeds=5,
    ),
}


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best rate, those without noise once for each source."""
    noisy, clean = table[table["alpha"] > 0], table[table["alpha"] == 0]
    every = pd.concat([*(clean.assign(images=source) for source in SOURCES), noisy], ignore_index=True)
    return best_lr(every, by=_BY)


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by image source and alpha."""
    return intervals(_chosen(table), by=_BY)


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line an image source."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, found, "alpha", "image_source", SOURCES, apart=0.008)
        axis.set_xlabel("noisy labels for each clean one, α")
        axis.set_ylabel("test accuracy")
        legend(axis, title="noisy labels are on", loc="lower left")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say how far the two sources are apart at the largest alpha."""
    last = found[found["alpha"] == found["alpha"].max()].set_index("image_source")
    texts = {
        source: percent_interval(*last.loc[source, ["mean", "low", "high"]].astype(float))
        for source in SOURCES
    }
    return (
        f"With {found['alpha'].max():g} noisy labels for each clean one, noise on the same images leaves "
        f"{texts['same']} of the test images right, noise on fresh ones {texts['fresh']}."
    )


def _alike(table: pd.DataFrame) -> Judgement:
    fall = falls(_chosen(table), by=["image_source"])
    mean = fall.pivot_table(index="alpha", columns="image_source", values="fall")
    if len(mean) == 0 or mean.isna().any(axis=None):
        return not_testable("it takes both image sources at α > 0")
    apart = (mean["fresh"] - mean["same"]).abs()
    rows = intervals(fall, by=["alpha", "image_source"], value="fall").set_index(["alpha", "image_source"])
    text = {key: difference_interval(*row[["mean", "low", "high"]]) for key, row in rows.iterrows()}
    numbers = "; ".join(
        f"α = {alpha:g}: same {text[alpha, 'same']}, fresh {text[alpha, 'fresh']}" for alpha in mean.index
    )
    return decided(bool((apart < mean["same"] / 2).all()), f"falls from α = 0: {numbers}")


FIGURE = Figure(
    name="fig7",
    title="Noise on the same images and on fresh ones",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig7",
            "It hardly matters whether noisy labels are on the same images again or on fresh ones.",
            "At every α > 0 the falls of accuracy from α = 0 differ by less than half of the fall with the "
            "same images.",
            _alike,
        ),
    ),
    method="Both sources get the same number of optimizer steps, one label at a time. Fresh images are "
    "images of the data set that are not among the n clean ones; each shows its noisy label instead of "
    "its own.\n\nPoints are means over seeds, bars 95 % Student t intervals; each run reports the test "
    "accuracy at the step that clean validation accuracy chose.",
)
