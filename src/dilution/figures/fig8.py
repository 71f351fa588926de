"""Figure 8: accuracy against the number of clean examples, at several noise levels."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    AS_PAPER,
    PAPER,
    POOLED,
    RATES,
    Figure,
    Grids,
    Material,
    PresetName,
    Scale,
)
from dilution.figures.claims import Claim, Judgement, decided, difference, not_testable, percent
from dilution.figures.comparisons import accuracy_lines
from dilution.figures.thresholds import LEVELS, grid_thresholds
from dilution.report.style import COLOURS, QUIET, legend, new_figure, quoted_mark, style
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals, paired_p
from dilution.training.config import default_validation

DEMO_ALPHAS = [0.0, 2.0, 5.0, 10.0]
LAPTOP_ALPHAS = [0.0, 5.0, 10.0, 20.0, 35.0, 50.0]

_EPOCHS, _LEAST_STEPS = 5, 140
_QUOTED = {10.0: 2_000, 50.0: 10_000}  # alpha and n of 90 %, quoted from memory of the paper's caption


def demo_base() -> dict[str, Any]:
    """Return what all runs share at demo scale, but for what depends on n."""
    return {**POOLED, "model": "conv2", "lr": 3e-3, "batch_size": 64, "n_evals": 4}


def laptop_base() -> dict[str, Any]:
    """Return what all runs share at laptop scale, but for what depends on n."""
    return {**POOLED, "model": "conv4", "lr": 1e-3, "batch_size": 128, "n_evals": 3}


def sized(base: dict[str, Any], n: int) -> dict[str, Any]:
    """Return settings for n clean examples.

    In the pooled order a run takes 5 epochs, and at least 140 steps: with few images more epochs
    only memorise, and fewer steps do not learn.
    """
    if base["targets"] != "pooled":
        return {**base, "n": n}
    steps = round(_EPOCHS * (n - default_validation(n)) / base["batch_size"])
    return {**base, "n": n, "steps": max(_LEAST_STEPS, steps)}


def _grids(base: dict[str, Any], sizes: list[int], largest: int, axes: dict[str, list[Any]]) -> Grids:
    # the longest first, so that the last run to end is a short one
    chosen = sorted({min(n, largest) for n in sizes}, reverse=True)
    return [(sized(base, n), axes) for n in chosen]


def _demo(material: Material) -> Grids:
    return _grids(demo_base(), [62, 125, 250, 500, 1_000, 1_437], material.size, {"alpha": DEMO_ALPHAS})


def _laptop(material: Material) -> Grids:
    sizes = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000]
    return _grids(laptop_base(), sizes, material.size, {"alpha": LAPTOP_ALPHAS})


def _paper(material: Material) -> Grids:
    sizes = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]
    axes = {"alpha": [0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0], "lr": list(RATES)}
    return _grids({**PAPER, "model": "conv4"}, sizes, material.size, axes)


_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        _demo,
        "Demo scale: α up to 10, Conv-2, pooled batch order, Adam for 5 epochs and at least 140 steps of 64 "
        "images. The paper uses MNIST up to α = 50, one label at a time and Adadelta.",
    ),
    "laptop": Scale(
        _laptop,
        "Laptop scale: n up to 16,000, Conv-4, pooled batch order, Adam at 1e-3 falling linearly to 0 for 5 "
        "epochs and at least 140 steps of 128 images. The paper goes up to all images, takes "
        "one label at a time and Adadelta.",
    ),
    "paper": Scale(_paper, AS_PAPER, seeds=5),
}


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    return best_lr(table, by=["alpha", "n"])


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by data set, alpha and n."""
    return intervals(_chosen(table), by=["dataset", "alpha", "n"])


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against n, one line a noise level; the paper's thresholds as rings."""
    alphas = sorted(found["alpha"].unique())
    with style():
        figure, (axis,) = new_figure(height=3.9)
        accuracy_lines(axis, found, "n", "alpha", {alpha: f"{alpha:g}" for alpha in alphas})
        axis.axhline(0.9, color=QUIET, linewidth=0.9, linestyle=":", zorder=0, label="90 %")
        if found["dataset"].iloc[0] == "mnist":
            for alpha, n in _QUOTED.items():
                if alpha in alphas:
                    says = {"alpha": f"{alpha:g}", "n": f"{n:,}", "test accuracy": "90 %"}
                    colour = COLOURS[alphas.index(alpha)]
                    quoted_mark(axis, n, 0.9, "paper's 90 %, quoted", says, colour)
        axis.set_xscale("log")
        sizes = sorted(found["n"].unique())
        axis.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=30)
        axis.minorticks_off()
        axis.set_xlabel("clean examples n")
        axis.set_ylabel("test accuracy")
        legend(axis, title="noise level α", loc="lower right")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say which n first passes 90 % at the least and the largest alpha."""
    said = []
    for alpha in (found["alpha"].min(), found["alpha"].max()):
        part = found[(found["alpha"] == alpha) & (found["mean"] >= LEVELS[-1])]
        enough = f"first at n = {part['n'].min():,}" if len(part) else "at no n measured"
        said.append(f"with α = {alpha:g} {enough}")
    return f"{percent(LEVELS[-1])} of the test images are right {', '.join(said)}."


def _monotone(table: pd.DataFrame) -> Judgement:
    chosen = _chosen(table)
    if chosen["seed"].nunique() < 2:
        return not_testable("it takes at least 2 seeds")
    held, broken = 0, []
    for alpha, part in chosen.groupby("alpha"):
        seeds = part.pivot(index="seed", columns="n", values="test_acc_at_best_clean_val")
        for less, more in zip(seeds.columns, seeds.columns[1:], strict=False):
            rise = float((seeds[more] - seeds[less]).mean())
            # equal falls of all seeds leave no variance to test against, and are no chance
            if rise >= 0 or paired_p(seeds[more].tolist(), seeds[less].tolist()) >= 0.05:
                held += 1
            else:
                broken.append(f"α = {alpha:g}: from n = {less:,} to {more:,} {difference(rise)}")
    if not held and not broken:
        return not_testable("it takes several n")
    numbers = f"{held} of {held + len(broken)} steps in n do not fall significantly"
    return decided(not broken, numbers + (f"; falling: {'; '.join(broken[:4])}" if broken else ""))


def _rises(table: pd.DataFrame) -> Judgement:
    found = grid_thresholds(_chosen(table))
    level = found.groupby("level")["alpha"].nunique()
    if (level < 2).all():
        return not_testable("it takes an accuracy that two noise levels cross within these n")
    numbers, rising = [], True
    for at, part in found.groupby("level"):
        part = part.sort_values("alpha")
        rising &= bool(part["mean"].is_monotonic_increasing)
        each = ", ".join(
            f"{row.mean:,.0f} [{row.low:,.0f}, {row.high:,.0f}] at α = {row.alpha:g}"
            for row in part.itertuples()
        )
        outside = sorted(set(table["alpha"]) - set(part["alpha"]))
        open_ = f" (not crossed by every seed: α = {', '.join(f'{a:g}' for a in outside)})" if outside else ""
        numbers.append(f"{percent(float(str(at)))} takes n = {each}{open_}")
    return decided(rising, "; ".join(numbers))


FIGURE = Figure(
    name="fig8",
    title="Accuracy against the number of clean examples",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig8",
            "More clean examples give a higher accuracy at every noise level.",
            "At each α accuracy rises, or falls by no more than chance (paired test over seeds, p < 0.05), "
            "from each n to the next.",
            _monotone,
        ),
        Claim(
            "fig8",
            "The number of clean examples that learning takes rises with the noise level.",
            "For 80 % and for 90 % accuracy the n where the curve crosses it rises from each α to the next, "
            "as far as the curves cross it.",
            _rises,
        ),
    ),
    method="A tenth of the n clean examples, at most 5,000, is set aside for validation. Where a curve "
    "crosses an accuracy is interpolated: the logit of accuracy is taken to be linear in log n between "
    "two n.\n\nPoints are means over seeds (subset, noise, weights and order all differ between seeds), "
    "bars 95 % Student t intervals. A ring is a number quoted from memory of the paper's caption, to "
    "compare with; it decides nothing.",
)
