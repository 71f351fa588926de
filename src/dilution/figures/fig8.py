"""Figure 8: accuracy against the number of clean examples, at several noise levels."""

import itertools
import math
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.figures.base import (
    MEANS_OVER_SEEDS,
    POOLED_SETTINGS,
    QUOTED_RINGS,
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
    count_interval,
    decide,
    difference,
    difference_estimate,
    not_testable,
    percent,
)
from dilution.figures.comparisons import accuracy_lines
from dilution.figures.paper_scale import LR_RULE, LrSearch, describe, nearest, paper_grids, paper_steps
from dilution.figures.thresholds import LEVELS, grid_crossings, grid_thresholds
from dilution.report.style import COLOURS, QUIET, legend, new_figure, quoted_mark, style
from dilution.study.pairs import by_seed, contrast
from dilution.study.run_spec import Run
from dilution.study.statistics import best_lr, intervals, rounding_deviation
from dilution.training.config import default_n_val
from dilution.utils.estimate import Estimate

DEMO_ALPHAS = [0.0, 2.0, 5.0, 10.0]
LAPTOP_ALPHAS = [0.0, 5.0, 10.0, 20.0, 35.0, 50.0]
PAPER_ALPHAS = [0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0]
PAPER_SIZES = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]
PAPER_MODEL = "conv4"

# Where learning rates are chosen at the paper preset: n = 240 (1 + α), which learns 90 % of MNIST in the
# laptop's runs, and 8, 64, … times as much. Each is within a factor √8 of the n that use it, except the ends.
_SEARCHED_N, _SEARCHED_FACTOR = 240, 8
_SEARCHED_N_VAL = 5_000

_EPOCHS, _MIN_STEPS = 5, 140
_QUOTED = {10.0: 2_000, 50.0: 10_000}  # alpha and n of 90 %, quoted from memory of the paper's caption
_MAX_LISTED = 4  # significant drops that a verdict spells out


def demo_base() -> dict[str, Any]:
    """Return the settings that all runs share at the demo preset, except those that depend on n."""
    return {**POOLED_SETTINGS, "model": "conv2", "lr": 3e-3, "batch_size": 64, "n_evals": 4}


def laptop_base() -> dict[str, Any]:
    """Return the settings that all runs share at the laptop preset, except those that depend on n."""
    return {**POOLED_SETTINGS, "model": "conv4", "lr": 1e-3, "batch_size": 128, "n_evals": 3}


def with_n(base: dict[str, Any], n: int, alpha: float = 0.0) -> dict[str, Any]:
    """Return settings for n clean examples.

    With pooled targets a run takes 5 epochs, and at least 140 steps: at a small n more epochs only memorise,
    and fewer steps do not learn. With sampled targets the steps are those of the paper preset at `alpha`.
    """
    if base["targets"] != "pooled":
        return {**base, "n": n, "steps": paper_steps(n, alpha)}
    steps = round(_EPOCHS * (n - default_n_val(n)) / base["batch_size"])
    return {**base, "n": n, "steps": max(_MIN_STEPS, steps)}


def _grids(base: dict[str, Any], sizes: list[int], largest: int, axes: dict[str, list[Any]]) -> Grids:
    # the longest runs first, so that the last run to end is a short one
    return [(with_n(base, n), axes) for n in sorted({min(n, largest) for n in sizes}, reverse=True)]


def _demo(inputs: FigureInputs) -> Grids:
    sizes = [62, 125, 250, 500, 1_000, 1_437]
    return _grids(demo_base(), sizes, inputs.n_available, {"alpha": DEMO_ALPHAS})


def _laptop(inputs: FigureInputs) -> Grids:
    sizes = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000]
    return _grids(laptop_base(), sizes, inputs.n_available, {"alpha": LAPTOP_ALPHAS})


def _paper(inputs: FigureInputs) -> Grids:
    sizes = sorted({min(n, inputs.n_available) for n in PAPER_SIZES}, reverse=True)
    return [grid for n in sizes for grid in paper_grids({"model": PAPER_MODEL, "n": n}, PAPER_ALPHAS, {})]


def searched_size(run: Run, n_available: int) -> dict[str, Any]:
    """Return the settings of the nearest n at which a learning rate is searched, in log n.

    Its training examples and steps are those of a run of n examples. Its validation examples are more: a
    tenth of a small n under much noise says little about a learning rate.

    Parameters
    ----------
    run
        A planned run.
    n_available
        Number of training images: n, and training and validation examples together, are not more.
    """
    alpha = run.alpha or 0.0
    first = min(round(_SEARCHED_N * (1 + alpha)), n_available)
    factors = range(math.floor(math.log(n_available / first, _SEARCHED_FACTOR) + 1e-9) + 1)
    sizes = {math.log(first * _SEARCHED_FACTOR**k): first * _SEARCHED_FACTOR**k for k in factors}
    n = sizes[nearest(math.log(run.n), list(sizes))]
    n_train = n - default_n_val(n)
    n_val = min(_SEARCHED_N_VAL, n_available - n_train)
    return {"n": n_train + n_val, "n_val": n_val, "steps": paper_steps(n, alpha)}


def paper_description() -> str:
    """Return the description of the paper preset of Figures 8 and 9."""
    return describe(
        lr_rule=f"{LR_RULE} It is chosen for each α at n = {_SEARCHED_N} (1 + α), and at "
        f"{_SEARCHED_FACTOR}, {_SEARCHED_FACTOR**2}, … times as many as far as the data reach, and used at "
        f"the n nearest to it in log n. These trials have the training examples of such an n, and "
        f"{_SEARCHED_N_VAL:,} validation examples or all that are left."
    )


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: α up to 10, Conv-2, pooled targets, Adam for 5 epochs and at least 140 steps of 64 "
        "images. The paper uses MNIST up to α = 50, sampled targets and Adadelta.",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: n up to 16,000, Conv-4, pooled targets, Adam with a learning rate of 1e-3 that falls "
        "linearly to 0, 5 epochs and at least 140 steps of 128 images. The paper goes up to all images and "
        "uses sampled targets and Adadelta.",
    ),
    "paper": Preset(_paper, paper_description(), seeds=5, lr_search=LrSearch(searched_size)),
}


def _at_best_lr(table: pd.DataFrame) -> pd.DataFrame:
    return best_lr(table, by=["alpha", "n"])


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per data set, alpha and n."""
    return intervals(_at_best_lr(table), by=["dataset", "alpha", "n"])


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against n, one line per noise level, with the paper's thresholds as rings."""
    alphas = sorted(points["alpha"].unique())
    with style():
        figure, (axis,) = new_figure(height=3.9)
        accuracy_lines(axis, points, "n", "alpha", {alpha: f"{alpha:g}" for alpha in alphas})
        axis.axhline(0.9, color=QUIET, linewidth=0.9, linestyle=":", zorder=0, label="90 %")
        if points["dataset"].iloc[0] == "mnist":
            for alpha, n in _QUOTED.items():
                if alpha in alphas:
                    values = {"alpha": f"{alpha:g}", "n": f"{n:,}", "test accuracy": "90 %"}
                    colour = COLOURS[alphas.index(alpha)]
                    quoted_mark(axis, n, 0.9, "paper's 90 %, quoted", values, colour)
        axis.set_xscale("log")
        sizes = sorted(points["n"].unique())
        axis.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=30)
        axis.minorticks_off()
        axis.set_xlabel("number of clean examples n")
        axis.set_ylabel("test accuracy")
        legend(axis, title="noise level α", loc="lower right")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the smallest n that reaches 90 % at the smallest and the largest alpha."""
    results = []
    for alpha in (points["alpha"].min(), points["alpha"].max()):
        part = points[(points["alpha"] == alpha) & (points["mean"] >= LEVELS[-1])]
        n = f"from n = {part['n'].min():,}" if len(part) else "at no measured n"
        results.append(f"{n} at α = {alpha:g}")
    return f"Test accuracy reaches {percent(LEVELS[-1])} {' and '.join(results)}."


def _rises_with_n(table: pd.DataFrame) -> Judgement:
    runs = _at_best_lr(table)
    parts = {alpha: by_seed(part, "n") for alpha, part in runs.groupby("alpha") if part["n"].nunique() > 1}
    if runs["seed"].nunique() < 2 or not parts:
        return not_testable("requires at least 2 seeds and several n")
    rounding = rounding_deviation(runs)
    steps = sum(len(seeds.columns) - 1 for seeds in parts.values())
    falling, flat, fallen = [], [], 0
    for alpha, seeds in parts.items():
        log2_n = np.log2(seeds.columns.to_numpy(dtype=np.float64))
        weights = (log2_n - log2_n.mean()) / ((log2_n - log2_n.mean()) ** 2).sum()
        slope = contrast(seeds, dict(zip(seeds.columns, weights, strict=True)), rounding=rounding)
        if not slope.low > 0:
            flat.append(f"α = {alpha:g}: {difference_estimate(slope)} per doubling of n")
        for smaller, larger in itertools.pairwise(seeds.columns):
            rise = contrast(seeds, {larger: 1.0, smaller: -1.0}, rounding=rounding, level=1 - 0.1 / steps)
            fallen += rise.value < 0
            if rise.high < 0:
                falling.append(f"α = {alpha:g}: from n = {smaller:,} to {larger:,} {difference(rise.value)}")
    numbers = (
        f"accuracy rises with log n at {len(parts) - len(flat)} of {len(parts)} α; the mean falls in "
        f"{fallen} of {steps} steps, in {len(falling)} significantly"
    )
    if flat or falling:
        numbers += f"; not rising: {'; '.join([*flat, *falling][:_MAX_LISTED])}"
    return decide(not flat and not falling, numbers)


def _threshold_rises(table: pd.DataFrame) -> Judgement:
    runs = _at_best_lr(table)
    thresholds = grid_thresholds(runs)
    if runs["seed"].nunique() < 2 or (thresholds.groupby("level")["alpha"].nunique() < 2).all():
        return not_testable(
            "requires an accuracy that two noise levels cross within the measured n, and at least 2 seeds"
        )
    numbers, unknown, rising = [], [], True
    sizes = runs.groupby("alpha")["n"]
    for level in LEVELS:
        crossings = grid_crossings(runs, level)
        inside = thresholds[thresholds["level"] == level].set_index("alpha")
        order, texts, partly = [], [], []
        for alpha in crossings:
            of_seeds = crossings[alpha].dropna()  # a seed without runs at this noise level says nothing
            if alpha in inside.index:
                row = inside.loc[alpha]
                texts.append(f"{count_interval(row['mean'], row['low'], row['high'])} at α = {alpha:g}")
            elif (of_seeds == math.inf).all():
                texts.append(f"more than {sizes.max()[alpha]:,} at α = {alpha:g}")
            elif (of_seeds == 0).all():
                texts.append(f"at most {sizes.min()[alpha]:,} at α = {alpha:g}")
            else:
                crossed = int((np.isfinite(of_seeds) & (of_seeds > 0)).sum())
                partly.append(f"{crossed} of {len(of_seeds)} seeds cross it at α = {alpha:g}")
            is_inside = alpha in inside.index
            order.append(float(inside.loc[alpha, "mean"] if is_inside else of_seeds.median()))
        rising &= all(lower <= higher for lower, higher in itertools.pairwise(order))
        note = f" ({', '.join(partly)})" if partly else ""
        numbers.append(f"{percent(level)} requires n of {', '.join(texts) or '–'}{note}")
        if len(set(order)) < 2:
            unknown.append(percent(level))
        if len(inside) > 1:
            slope = _slope_of_log_n(crossings, inside.index.tolist())
            rising &= slope.low > 0
            numbers.append(f"its logarithm rises by {slope.text('.2f')} per unit of log(1 + α)")
    if rising and unknown:
        numbers.append(f"no noise levels differ in the n that {' and '.join(unknown)} requires")
        return not_testable("; ".join(numbers))
    return decide(rising, "; ".join(numbers))


def _slope_of_log_n(crossings: pd.DataFrame, alphas: list[float]) -> Estimate:
    """Return the slope of log n against log(1 + alpha), fitted per seed, with its interval over seeds."""
    x = np.log1p(np.asarray(alphas))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return contrast(np.log(crossings[alphas]), dict(zip(alphas, weights, strict=True)))


FIGURE = Figure(
    name="fig8",
    title="Accuracy against the number of clean examples",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig8",
            "More clean examples give a higher accuracy at every noise level.",
            "At each α the slope of accuracy against log n, fitted per seed, has a 95 % interval above 0, "
            "and from no n to the next does accuracy fall significantly (paired test over seeds, p < 0.05 "
            "divided by the number of such steps: with 3 seeds it finds large falls alone).",
            _rises_with_n,
        ),
        Claim(
            "fig8",
            "The number of clean examples required for learning rises with the noise level.",
            "For 80 % and for 90 % accuracy the n at which the curve crosses it rises from each α to the "
            "next, and no α at which the largest n does not reach it comes before one at which the curve "
            "crosses it; an α at which some seeds alone cross it counts with the median of its seeds. The "
            "slope of log n against log(1 + α), over the crossings and fitted per seed, has a 95 % interval "
            "above 0.",
            _threshold_rises,
        ),
    ),
    method="A tenth of the n clean examples, at most 5,000, is set aside for validation. The n at which a "
    "curve crosses an accuracy is interpolated: between two n the logit of accuracy is taken as linear in "
    f"log n.\n\n{MEANS_OVER_SEEDS} {SELECTED_STEP} {QUOTED_RINGS}",
)
