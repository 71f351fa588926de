"""Beyond the paper: losses made for noisy labels compared with cross entropy, by noise level."""

from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dilution.figures.base import (
    MEANS_OVER_SEEDS,
    POOLED_SETTINGS,
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
from dilution.figures.loss_variants import (
    CROSS_ENTROPY,
    POOLED_VARIANTS,
    VARIANT,
    VARIANTS,
    at_best_lr,
    rows_with_interval,
    variant_grids,
    with_variant,
)
from dilution.figures.paper_scale import PAPER_SETTINGS, PROVISIONAL_LR, LrSearch, describe, paper_steps
from dilution.report.style import COLOURS, new_figure, style
from dilution.study.pairs import by_seed, contrast
from dilution.study.run_spec import Run
from dilution.study.statistics import intervals, rounding_deviation
from dilution.utils.estimate import Estimate

MIN_NOISY_ALPHA = 10  # "massive" noise: the claim is about this noise level and higher ones
MARGIN = 0.02  # a gain of accuracy that would count
_BY = ["dataset", "n", VARIANT, "alpha"]
_LEAST_SEEDS = 3
_LR_FACTOR = 4.0  # of the learning rate beyond an edge
_LOWEST_LR, _HIGHEST_LR = 1.5e-5, 1.7e-2  # of Adam, where the search beyond the edges ends
_FAR = 0.25  # of accuracy below cross entropy: differences of points would not be seen beside it


def _demo(inputs: FigureInputs) -> Grids:
    base = {**POOLED_SETTINGS, "n": min(1_000, inputs.n_available), "model": "mlp2", "batch_size": 64}
    axes: dict[str, list[Any]] = {"alpha": [2.0, 10.0], "lr": [1e-3, 4e-3]}
    return variant_grids({**base, "steps": 300, "n_evals": 10}, axes, list(POOLED_VARIANTS))


def _laptop(inputs: FigureInputs) -> Grids:
    base = {**POOLED_SETTINGS, "n": min(10_000, inputs.n_available), "model": "conv2", "n_evals": 3}
    axes: dict[str, list[Any]] = {"alpha": [10.0, 20.0, 50.0], "lr": [2.5e-4, 1e-3]}
    return variant_grids({**base, "steps": 250}, axes, list(POOLED_VARIANTS))


def _paper(inputs: FigureInputs) -> Grids:
    n = inputs.n_available
    base = {**PAPER_SETTINGS, "lr": PROVISIONAL_LR, "n": n, "model": "conv4"}
    return [
        grid
        for alpha in (0.0, 10.0, 20.0, 50.0, 100.0)
        for grid in variant_grids(
            {**base, "steps": paper_steps(n, alpha)},
            {"alpha": [alpha]},
            list(VARIANTS),
        )
    ]


def next_runs(runs: Sequence[Run], table: pd.DataFrame) -> list[Run]:
    """Return runs at the next learning rate of each loss and noise level whose best one is at an edge.

    Parameters
    ----------
    runs
        All runs so far, finished.
    table
        One row per run.
    """
    chosen = at_best_lr(table, by=["alpha"])[[VARIANT, "alpha", "lr"]].drop_duplicates()
    further: dict[tuple[str, float, float], float] = {}
    for point in _with_tried(table, chosen).itertuples(index=False):
        if point.goes_lower:
            further[point.variant, point.alpha, point.lr] = point.lr / _LR_FACTOR
        elif point.goes_higher:
            further[point.variant, point.alpha, point.lr] = point.lr * _LR_FACTOR
    points = zip(
        runs, with_variant(table)[[VARIANT, "alpha", "lr"]].itertuples(index=False, name=None), strict=True
    )
    return [
        run.model_copy(update={"lr": float(f"{further[point]:.3g}")})
        for run, point in points
        if point in further
    ]


def _with_tried(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return the points with several learning rates: whether theirs is at an edge, and the search goes on."""
    tried = with_variant(table).groupby([VARIANT, "alpha"])["lr"].agg(["min", "max"]).reset_index()
    joined = points.merge(tried[tried["min"] < tried["max"]], on=[VARIANT, "alpha"])
    is_lowest, is_highest = joined["lr"] == joined["min"], joined["lr"] == joined["max"]
    return joined.assign(
        is_lowest=is_lowest,
        is_highest=is_highest,
        goes_lower=is_lowest & (joined["lr"] / _LR_FACTOR >= _LOWEST_LR),
        goes_higher=is_highest & (joined["lr"] * _LR_FACTOR <= _HIGHEST_LR),
    )


_BEYOND_EDGES = "a factor of 4 apart, and beyond where the best one is the smallest or the largest tried"
_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: MLP-2, pooled targets, Adam for 300 steps of 64 images at the best of learning rates "
        f"from 1e-3 and 4e-3 on, {_BEYOND_EDGES}; α up to 10.",
        next_runs=next_runs,
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: Conv-2, n = 10,000, pooled targets, Adam for 250 steps of 128 images (3.6 epochs) at "
        f"the best of learning rates from 2.5e-4 and 1e-3 on, {_BEYOND_EDGES}; each falls linearly to 0. "
        "Pooled targets show the mean over the labels of an image, so that ELR, which remembers single "
        "examples, is left out.",
        next_runs=next_runs,
    ),
    "paper": Preset(
        _paper,
        describe(),
        seeds=5,
        lr_search=LrSearch(),
    ),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per data set, n, variant and alpha, and the paired gain over cross entropy.

    Returns
    -------
    DataFrame
        Columns ``dataset``, ``n``, ``variant``, ``alpha``; ``mean``, ``low``, ``high``, ``seeds``; ``gain``,
        ``gain_low``, ``gain_high``, the difference to cross entropy by seed; ``lr``, the learning rate that
        clean validation labels chose.
    """
    runs = _shown(table)
    points = intervals(runs, by=_BY).merge(runs[[*_BY, "lr"]].drop_duplicates(), on=_BY)
    gains = _gains(runs)
    values = [gains.get((name, alpha)) for name, alpha in zip(points[VARIANT], points["alpha"], strict=True)]
    for column, field in (("gain", "value"), ("gain_low", "low"), ("gain_high", "high")):
        points[column] = [np.nan if gain is None else getattr(gain, field) for gain in values]
    return points


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of each variant at its best learning rate."""
    return at_best_lr(table, by=["dataset", "n", "alpha"])


def _gains(runs: pd.DataFrame) -> dict[tuple[str, float], Estimate]:
    """Return the paired gain over cross entropy with its interval, by variant and alpha."""
    gains = {}
    rounding = rounding_deviation(runs)
    for alpha, part in runs.groupby("alpha"):
        values = by_seed(part, VARIANT)
        for name in values:
            if name != CROSS_ENTROPY and CROSS_ENTROPY in values:
                weights = {name: 1.0, CROSS_ENTROPY: -1.0}
                gains[str(name), float(str(alpha))] = contrast(values, weights, rounding=rounding)
    return gains


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy with one row per variant and one panel per alpha, the best at the largest alpha first."""
    alphas = sorted(points["alpha"].unique())
    last = points[points["alpha"] == alphas[-1]].sort_values("mean", ascending=False)
    order = [*dict.fromkeys([*last[VARIANT], *points[VARIANT]])]  # a variant may lack the largest alpha
    with style():
        figure, axes = new_figure(columns=len(alphas), height=0.28 * len(order) + 1.3)
        figure.set_size_inches(2.2 + 1.9 * len(alphas), figure.get_figheight())
        for axis, alpha in zip(axes, alphas, strict=True):
            part = points[points["alpha"] == alpha]
            rows_with_interval(axis, part, order, f"α = {alpha:g}")
            _limit(axis, part, order)
            axis.set_title(f"α = {alpha:g}")
            axis.set_xlabel("test accuracy")
            axis.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
            axis.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
            if axis is not axes[0]:
                axis.tick_params(labelleft=False)
    return figure


def _limit(axis: Axes, part: pd.DataFrame, order: list[str]) -> None:
    """Show accuracies near that of cross entropy, at most 100 %; far below them is a number at the edge."""
    left, right = axis.get_xlim()
    plain = part.loc[part[VARIANT] == CROSS_ENTROPY, "mean"]
    if not plain.empty:
        left = max(left, float(plain.iloc[0]) - _FAR)
    axis.set_xlim(left, min(right, 1.01))
    for name, mean in part.loc[part["mean"] < left, [VARIANT, "mean"]].itertuples(index=False):
        axis.annotate(
            f"← {100 * mean:.0f} %",
            (0.02, order.index(name)),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
            color=COLOURS[1],
        )


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy of cross entropy and of the best other variant at the largest alpha."""
    last = points[points["alpha"] == points["alpha"].max()].set_index(VARIANT)
    if CROSS_ENTROPY not in last.index or len(last) < 2:
        return "Cross entropy and another loss are not both measured."
    plain = last.loc[CROSS_ENTROPY]
    others = last.drop(index=CROSS_ENTROPY)
    best, worst = others.loc[others["gain"].idxmax()], others.loc[others["gain"].idxmin()]
    return (
        f"With {plain['alpha']:g} noisy labels per clean label cross entropy reaches "
        f"{_percent(plain)} test accuracy. The best other loss, {VARIANTS[str(best.name)]}, reaches "
        f"{_percent(best)}, {_gain(best)} against it; the worst one, {VARIANTS[str(worst.name)]}, "
        f"{_percent(worst)}."
    )


def findings(points: pd.DataFrame) -> tuple[str, ...]:
    """Return for each alpha the accuracy of cross entropy, and the losses that are surely above it."""
    sentences = []
    for alpha, part in points.groupby("alpha"):
        rows = part.set_index(VARIANT)
        if CROSS_ENTROPY not in rows.index or len(rows) < 2:
            continue
        others = (
            rows.drop(index=CROSS_ENTROPY).dropna(subset=["gain_low"]).sort_values("gain", ascending=False)
        )
        if others.empty:  # one seed has no interval
            continue
        above = [
            f"{VARIANTS[str(name)]} {_gain(row)}" for name, row in others.iterrows() if row["gain_low"] > 0
        ]
        below = int((others["gain_high"] < 0).sum())
        sentences.append(
            f"α = {alpha:g}: cross entropy {_percent(rows.loc[CROSS_ENTROPY])}. Above it beyond the 95 % "
            f"interval: {', '.join(above) or 'no other loss'}; below it: {below} of {len(others)}."
        )
    return tuple(sentences)


def _percent(row: pd.Series) -> str:
    return percent_interval(row["mean"], row["low"], row["high"])


def _gain(row: pd.Series) -> str:
    return difference_estimate(Estimate(row["gain"], row["gain_low"], row["gain_high"]))


def _none_gains(table: pd.DataFrame) -> Judgement:
    points = aggregate(table)
    noisy = points[(points["alpha"] >= MIN_NOISY_ALPHA) & (points[VARIANT] != CROSS_ENTROPY)]
    noisy = noisy.dropna(subset=["gain"])
    if noisy[VARIANT].nunique() < 2 or noisy["seeds"].min() < _LEAST_SEEDS:
        return not_testable(
            f"requires cross entropy and two other losses at α ≥ {MIN_NOISY_ALPHA}, and at least "
            f"{_LEAST_SEEDS} seeds"
        )
    beyond = noisy[~(noisy["gain_high"] < MARGIN)].sort_values("gain", ascending=False)
    best = noisy.loc[noisy["gain"].idxmax()]
    numbers = (
        f"{len(noisy) - len(beyond)} of {len(noisy)} gains have an upper bound below {100 * MARGIN:g} "
        f"points; the largest is that of {VARIANTS[best[VARIANT]]} at α = {best['alpha']:g}: {_gain(best)}"
    )
    chosen = _with_tried(table, points[points["alpha"] >= MIN_NOISY_ALPHA])
    numbers += _edges(chosen)
    if (chosen["goes_lower"] | chosen["goes_higher"]).any():
        return not_testable(numbers)
    return decide(beyond.empty, numbers)


def _edges(chosen: pd.DataFrame) -> str:
    """Return at how many points the chosen learning rate is the smallest or the largest one tried."""
    lowest, highest = int(chosen["is_lowest"].sum()), int(chosen["is_highest"].sum())
    if not lowest and not highest:
        return ""
    return (
        f"; the learning rate chosen is the smallest one tried at {lowest} of {len(chosen)} points and the "
        f"largest at {highest}, beyond which a better one may lie"
    )


FIGURE = Figure(
    name="methods",
    title="Losses made for noisy labels compared with cross entropy",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "methods",
            "Under massive noise no loss made for noisy labels is more accurate than cross entropy.",
            "At every α ≥ 10 the gain of each other loss over cross entropy, paired by seed, has an upper "
            "95 % bound below 2 points. Not testable while a learning rate that was chosen is the smallest "
            f"or the largest one tried, and one {_LR_FACTOR:g} times smaller or larger is still from "
            f"{_LOWEST_LR:g} to {_HIGHEST_LR:g}.",
            _none_gains,
        ),
    ),
    findings=findings,
    shown=_shown,
    method="This figure is not in the paper; its claim is ours. Every loss has its default "
    "parameters, and mixup a = 0.2; SCE, phuber and mixup have others for MNIST or for wrong labels in their "
    "papers. All train for the same steps on the same noisy labels, so at equal cost. Noise is uniform: for "
    "each clean example α noisy labels are added. Forward and backward correction are given the true "
    "transition matrix, which nobody has in practice; all others know nothing of the noise. The learning "
    "rate is chosen for each loss and noise level by the clean validation accuracy of the same runs. The "
    "dotted line and the band are cross entropy and its interval. "
    f"{SELECTED_STEP}\n\n{MEANS_OVER_SEEDS}",
)
