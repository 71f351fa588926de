"""Figure 9: how many clean examples an accuracy requires at each noise level, found by search."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dilution.figures.base import (
    IS_OWN,
    Figure,
    FigureInputs,
    Grids,
    Preset,
    PresetName,
)
from dilution.figures.claims import Claim, count_interval, percent
from dilution.figures.fig8 import (
    DEMO_ALPHAS,
    LAPTOP_ALPHAS,
    PAPER_ALPHAS,
    PAPER_MODEL,
    demo_base,
    laptop_base,
    paper_description,
    searched_size,
    with_n,
)
from dilution.figures.paper_scale import LrSearch, paper_grids
from dilution.figures.threshold_claims import (
    MissingThreshold,
    fit_laws,
    grows_faster_for_higher_accuracy,
    grows_linearly,
)
from dilution.figures.threshold_search import LONG_SEARCH, SHORT_SEARCH, SearchBudget, first_n
from dilution.figures.threshold_search import next_runs as next_sizes
from dilution.figures.thresholds import ALWAYS, LEVELS, REACHED, crossing, describe_crossing, grid_thresholds
from dilution.report.marks import mark_points
from dilution.report.style import ALPHA_LABEL, COLOURS, MARKERS, legend, new_figure, style
from dilution.study.run_spec import Run
from dilution.study.statistics import best_lr

SEARCH, GRID = "search", "grid of Figure 8"


def _grids(base: dict[str, Any], alphas: list[float], largest: int, lrs: dict[str, list[Any]]) -> Grids:
    return [
        (with_n(base, first_n(alpha, max(alphas), largest)), {"alpha": [alpha], **lrs}) for alpha in alphas
    ]


def _demo(inputs: FigureInputs) -> Grids:
    return _grids(demo_base(), DEMO_ALPHAS, inputs.n_available, {})


def _laptop(inputs: FigureInputs) -> Grids:
    return _grids(laptop_base(), LAPTOP_ALPHAS, inputs.n_available, {})


def _paper(inputs: FigureInputs) -> Grids:
    sizes = {alpha: first_n(alpha, max(PAPER_ALPHAS), inputs.n_available) for alpha in PAPER_ALPHAS}
    return [
        grid
        for alpha, n in sizes.items()
        for grid in paper_grids({"model": PAPER_MODEL, "n": n}, [alpha], {})
    ]


def _own_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the search, without those of Figure 8."""
    return table if IS_OWN not in table else table[table[IS_OWN]]


def _at_best_lr(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the search at the best learning rate."""
    return best_lr(_own_runs(table), by=["alpha", "n"])


def next_runs(runs: Sequence[Run], table: pd.DataFrame, budget: SearchBudget = SHORT_SEARCH) -> list[Run]:
    """Return the runs that the search requests next.

    Parameters
    ----------
    runs
        All runs so far, finished.
    table
        One row per run.
    budget
        How long the search for one threshold may go on.
    """
    requested = []
    largest = int(table["n_available"].max())
    lrs = sorted({run.lr for run in runs})
    varying = {"n", "n_val", "epochs", "steps", "alpha", "seed", "lr"}
    shared = {"steps": runs[0].steps, **runs[0].model_dump(exclude=varying, exclude_none=True)}
    for alpha, part in _at_best_lr(table).groupby("alpha"):
        for n, seed in next_sizes(part, LEVELS, largest, budget):
            settings = with_n(shared, n, alpha)
            requested += [Run.of(**settings, alpha=alpha, seed=seed, lr=lr) for lr in lrs]
    return requested


_SEARCH_RULE = (
    "Each n is requested by a search, which ends when the interval of the crossing is within a quarter of it "
    "on either side, or after {max_runs} runs near the crossing."
)


def _search_rule(budget: SearchBudget) -> str:
    return _SEARCH_RULE.format(max_runs=budget.max_runs)


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(_demo, f"Demo preset: settings as in Figure 8. {_search_rule(SHORT_SEARCH)}", seeds=1),
    "laptop": Preset(
        _laptop, f"Laptop preset: settings as in Figure 8. {_search_rule(SHORT_SEARCH)}", seeds=1
    ),
    "paper": Preset(
        _paper,
        f"{paper_description()} {_search_rule(LONG_SEARCH)}",
        seeds=1,
        lr_search=LrSearch(searched_size),
        next_runs=partial(next_runs, budget=LONG_SEARCH),
    ),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return the n that reaches each level at each alpha, by the search and by the grid of Figure 8.

    Returns
    -------
    DataFrame
        Columns ``found_by``, ``level``, ``alpha``; ``mean``, ``low``, ``high`` in clean examples; ``seeds``,
        the number of runs in the fit or of seeds of the grid; ``training_images``, the number of images that
        all runs of the search or the grid trained on, over all noise levels and accuracies.
    """
    rows = []
    for (level, alpha), part in _by_level(_at_best_lr(table)):
        fit = crossing(part, level)
        if fit is not None:
            rows.append((SEARCH, level, alpha, fit.n, fit.low, fit.high, fit.runs))
    columns = ["found_by", "level", "alpha", "mean", "low", "high", "seeds"]
    search = pd.DataFrame(rows, columns=columns)
    search["training_images"] = _training_images(_own_runs(table))
    if IS_OWN not in table or table[IS_OWN].all():
        return search
    grid_runs = table[~table[IS_OWN]]
    grid = grid_thresholds(best_lr(grid_runs, by=["alpha", "n"])).assign(found_by=GRID)
    grid["training_images"] = _training_images(grid_runs)
    return pd.concat([search, grid[search.columns]], ignore_index=True)


def _by_level(runs: pd.DataFrame) -> list[tuple[tuple[float, float], pd.DataFrame]]:
    return [((level, float(str(alpha))), part) for level in LEVELS for alpha, part in runs.groupby("alpha")]


def _without_crossing(table: pd.DataFrame) -> list[MissingThreshold]:
    """Return the accuracies and noise levels at which the search found no crossing."""
    missing = []
    for (level, alpha), part in _by_level(_at_best_lr(table)):
        reason = describe_crossing(part["test_acc_at_best_clean_val"], level, crossing(part, level))
        if reason != REACHED:
            n = part["n"].min() if reason == ALWAYS else part["n"].max()
            missing.append(MissingThreshold(level, alpha, reason, int(n)))
    return missing


def _found_by_search(points: pd.DataFrame) -> pd.DataFrame:
    return points[points["found_by"] == SEARCH]


def _training_images(runs: pd.DataFrame) -> int:
    """Return the number of images that runs trained on; a diverged run counts with all its steps."""
    return int((runs["steps_done"].fillna(runs["steps"]) * runs["batch_size"]).sum())


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw n against alpha for each level: the search with its straight line, and the grid beside it."""
    laws = fit_laws(_found_by_search(points))
    with style():
        figure, (axis,) = new_figure(height=3.9)
        ends = np.array([0.0, float(points["alpha"].max())])
        top = 1.3 * float(points["mean"].max())
        for index, (level, part) in enumerate(points.groupby("level")):
            for found_by, series in part.groupby("found_by", sort=False):
                _draw_series(axis, series.sort_values("alpha"), str(found_by), index, ends[1], top)
            if (law := laws.get(float(str(level)))) is not None:
                start, slope = law.line
                name = f"{percent(float(str(level)))}, straight line"
                axis.plot(ends, start + slope * ends, color=COLOURS[index], lw=1.0, ls="--", label=name)
        axis.set_ylim(0, top)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.set_xlabel(ALPHA_LABEL)
        axis.set_ylabel("number of clean examples n")
        legend(axis, title="test accuracy, found by", loc="upper left")
    return figure


def _draw_series(
    axis: Axes, series: pd.DataFrame, found_by: str, index: int, largest_alpha: float, top: float
) -> None:
    """Draw the crossings of one level, filled for the search and hollow for the grid."""
    is_search = found_by == SEARCH
    name = f"{percent(float(series['level'].iloc[0]))}, {found_by}"
    x = series["alpha"] + (0.0 if is_search else 0.012 * largest_alpha)
    axis.errorbar(
        x,
        series["mean"],
        yerr=[series["mean"] - series["low"], np.minimum(series["high"], 10 * top) - series["mean"]],
        fmt=MARKERS[index],
        color=COLOURS[index],
        mfc=COLOURS[index] if is_search else "none",
        capsize=2.5,
        elinewidth=1.1,
        label=name,
    )
    shown = series.rename(columns={"seeds": "runs"}) if is_search else series  # a search has no seeds
    mark_points(axis, shown, x, series["mean"], name, COLOURS[index])


def summary(points: pd.DataFrame) -> str:
    """Return the threshold at the largest noise level, and what the search cost beside the grid."""
    search = _found_by_search(points)
    if search.empty:
        return "The search found no crossing of an accuracy at any noise level."
    last = search[search["alpha"] == search["alpha"].max()].sort_values("level").iloc[-1]
    first = search[search["level"] == last["level"]].sort_values("alpha").iloc[0]
    thresholds = (
        f"{count_interval(last['mean'], last['low'], last['high'])} clean examples are required for "
        f"{percent(last['level'])} test accuracy at α = {last['alpha']:g}, and {first['mean']:,.0f} at "
        f"α = {first['alpha']:g}."
    )
    grid = points[points["found_by"] == GRID]
    if grid.empty:
        return thresholds
    cost = search["training_images"].iloc[0] / grid["training_images"].iloc[0]
    pairs = search.merge(grid, on=["level", "alpha"], suffixes=("", "_grid"))
    overlap = (pairs["low"] <= pairs["high_grid"]) & (pairs["low_grid"] <= pairs["high"])
    ratio = float(np.exp(np.log(pairs["mean"] / pairs["mean_grid"]).mean()))
    return (
        f"{thresholds} The search used {percent(cost)} of the training images of the grid of Figure 8; "
        f"{int(overlap.sum())} of {len(pairs)} intervals overlap, and the thresholds of the search are "
        f"{ratio:.2f} times those of the grid (geometric mean)."
    )


FIGURE = Figure(
    name="fig9",
    title="Number of clean examples that an accuracy requires",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig9",
            "The number of clean examples that an accuracy requires grows linearly with the noise level.",
            "For each accuracy n = n₀(1 + κα)^b is fitted to the n found, each weighted by its own interval. "
            "The 95 % interval of the exponent b holds 1 (a straight line) and excludes ½ and 2, and no "
            "noise level at which no n was found contradicts the whole interval of the line by more than a "
            "quarter. Simulations show beside it how often the interval of b would do so for each of these "
            "exponents, at the noise levels with an n.",
            lambda table: grows_linearly(
                _found_by_search(aggregate(table)), LEVELS, _without_crossing(table)
            ),
        ),
        Claim(
            "fig9",
            "It grows faster for a higher accuracy.",
            "The straight line, fitted with the same weights, is steeper for the higher accuracy: the "
            "difference of the slopes has a 95 % interval above 0.",
            lambda table: grows_faster_for_higher_accuracy(_found_by_search(aggregate(table))),
        ),
    ),
    method="At each noise level n is searched: doubled or halved until accuracy lies on both sides of the "
    "level, then placed near the crossing of a straight line fitted to the logit of accuracy against log "
    "n. Each run has its own seed, and one run may serve both levels. Bars are 95 % intervals of the "
    "crossing by Fieller's method. Test accuracy decides which n to measure next, because it is the "
    "measured quantity; it chooses no step and no learning rate.\n\nHollow marks are the crossings of the "
    "curves of Figure 8, interpolated per seed, with Student t intervals of log n over seeds; they are "
    "drawn slightly to the right of their α. Dashed lines are the straight lines fitted to the search. A "
    "bar without an upper cap extends beyond the plot.",
    next_runs=next_runs,
    compared_with="fig8",
    as_percent=False,
)
