"""Figure 9: how many clean examples an accuracy takes, against the noise level; found by search."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.figures.base import PAPER, RATES, Figure, Grids, Material, PresetName, Scale
from dilution.figures.claims import Claim, Judgement, decided, not_testable, percent
from dilution.figures.fig8 import DEMO_ALPHAS, LAPTOP_ALPHAS, demo_base, laptop_base, sized
from dilution.figures.laws import Law, fit_laws, slope_interval
from dilution.figures.search import crossing, first, next_runs
from dilution.figures.section import OWN
from dilution.figures.thresholds import LEVELS, grid_thresholds
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, style
from dilution.study.run_spec import Run
from dilution.study.selection import best_lr

SEARCH, GRID = "search", "grid of Figure 8"
_STRAIGHT = 0.95  # R² of the straight line


def _grids(base: dict[str, Any], alphas: list[float], size: int, rates: dict[str, list[Any]]) -> Grids:
    return [(sized(base, first(alpha, max(alphas), size)), {"alpha": [alpha], **rates}) for alpha in alphas]


def _demo(material: Material) -> Grids:
    return _grids(demo_base(), DEMO_ALPHAS, material.size, {})


def _laptop(material: Material) -> Grids:
    return _grids(laptop_base(), LAPTOP_ALPHAS, material.size, {})


def _paper(material: Material) -> Grids:
    alphas = [0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    return _grids({**PAPER, "model": "conv4"}, alphas, material.size, {"lr": list(RATES)})


_SEARCHED = (
    "Each n is the next that a search asks for: it ends where the interval of the crossing is within a "
    "quarter to either side, or after 6 runs near it."
)
_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(_demo, f"Demo scale: runs as those of Figure 8. {_SEARCHED}", seeds=1),
    "laptop": Scale(_laptop, f"Laptop scale: runs as those of Figure 8. {_SEARCHED}", seeds=1),
    "paper": Scale(
        _paper,
        f"Paper scale: one label at a time, Adadelta, batch 128, the best of four learning rates on clean "
        f"validation data, 50,000 steps. {_SEARCHED}",
        seeds=1,
    ),
}


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best rate, of the search and of the grid."""
    own = table if OWN not in table else table[table[OWN]]
    return best_lr(own, by=["alpha", "n"])


def more(runs: Sequence[Run], table: pd.DataFrame) -> list[Run]:
    """Return the runs that the search asks for next, given all runs so far.

    Parameters
    ----------
    runs
        The runs, all finished.
    table
        One row for each of them.
    """
    chosen, wanted = _chosen(table), []
    largest = int(table["n_available"].max())
    rates = sorted({run.lr for run in runs})
    own = {"n", "n_val", "epochs", "steps", "alpha", "seed", "lr"}
    common = runs[0].model_dump(exclude=own, exclude_none=True)
    for alpha, part in chosen.groupby("alpha"):
        for n, seed in next_runs(part, LEVELS, largest):
            settings = sized({"steps": runs[0].steps, **common}, n)
            wanted += [Run.of(**settings, alpha=alpha, seed=seed, lr=rate) for rate in rates]
    return wanted


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return the n that reaches each level at each alpha, by search and by the grid of Figure 8.

    Returns
    -------
    DataFrame
        Columns ``how``, ``level``, ``alpha``; ``mean``, ``low``, ``high`` in clean examples; ``seeds``, the
        runs behind it; ``images``, how many images all runs of this search or grid trained on, at all
        noise levels and for all accuracies, found or not.
    """
    rows = []
    for (level, alpha), part in _by_level(_chosen(table)):
        found = crossing(part, level)
        if found is not None:
            rows.append((SEARCH, level, alpha, found.n, found.low, found.high, found.runs))
    columns = ["how", "level", "alpha", "mean", "low", "high", "seeds"]
    searched = pd.DataFrame(rows, columns=columns)
    searched["images"] = _images(table if OWN not in table else table[table[OWN]])
    if OWN not in table or table[OWN].all():
        return searched
    grid = table[~table[OWN]]
    scanned = grid_thresholds(best_lr(grid, by=["alpha", "n"])).assign(how=GRID)
    scanned["images"] = _images(grid)
    return pd.concat([searched, scanned[searched.columns]], ignore_index=True)


def _by_level(chosen: pd.DataFrame) -> list[tuple[tuple[float, float], pd.DataFrame]]:
    return [((level, float(str(alpha))), part) for level in LEVELS for alpha, part in chosen.groupby("alpha")]


def _images(runs: pd.DataFrame) -> int:
    """Return how many images runs were trained on; one that diverged counts as whole."""
    return int((runs["steps_done"].fillna(runs["steps"]) * runs["batch_size"]).sum())


def _laws(found: pd.DataFrame) -> dict[float, list[Law]]:
    """Fit the laws at each level with three noise levels or more."""
    searched = found[found["how"] == SEARCH]
    return {
        float(str(level)): fit_laws(part["alpha"].tolist(), part["mean"].tolist())
        for level, part in searched.groupby("level")
        if len(part) >= 3
    }


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw n against alpha for each level, with the straight line, and the grid's thresholds beside them."""
    laws = _laws(found)
    with style():
        figure, (axis,) = new_figure(height=3.9)
        ends = np.array([0.0, float(found["alpha"].max())])
        top = 1.3 * float(found["mean"].max())
        for index, (level, part) in enumerate(found.groupby("level")):
            for how, one in part.groupby("how", sort=False):
                one = one.sort_values("alpha")
                own = how == SEARCH
                name = f"{percent(float(str(level)))}, {how}"
                x = one["alpha"] + (0.0 if own else 0.012 * ends[1])
                axis.errorbar(
                    x,
                    one["mean"],
                    yerr=[one["mean"] - one["low"], np.minimum(one["high"], 10 * top) - one["mean"]],
                    fmt=MARKERS[index],
                    color=COLOURS[index],
                    mfc=COLOURS[index] if own else "none",
                    capsize=2.5,
                    elinewidth=1.1,
                    label=name,
                )
                shown = one.rename(columns={"seeds": "runs"}) if own else one  # a search has runs, not seeds
                mark_points(axis, shown, x, one["mean"], name, COLOURS[index])
            if float(str(level)) in laws and len(laws[float(str(level))]) > 1:
                start, slope = laws[float(str(level))][1].coefficients
                name = f"{percent(float(str(level)))}, straight line"
                axis.plot(ends, start + slope * ends, color=COLOURS[index], lw=1.0, ls="--", label=name)
        axis.set_ylim(0, top)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.set_xlabel("noisy labels for each clean one, α")
        axis.set_ylabel("clean examples needed")
        legend(axis, title="test accuracy, found by", loc="upper left")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say what an accuracy costs at the largest noise level, and what the search cost."""
    searched = found[found["how"] == SEARCH]
    if searched.empty:
        return "The search found no crossing of an accuracy at any noise level."
    last = searched[searched["alpha"] == searched["alpha"].max()].sort_values("level").iloc[-1]
    first_ = searched[searched["level"] == last["level"]].sort_values("alpha").iloc[0]
    said = (
        f"{percent(last['level'])} of the test images right takes n = {first_['mean']:,.0f} clean examples "
        f"at α = {first_['alpha']:g} and {last['mean']:,.0f} {_interval(last)} at α = {last['alpha']:g}."
    )
    grid = found[found["how"] == GRID]
    if grid.empty:
        return said
    spent = [part["images"].iloc[0] for part in (searched, grid)]
    pairs = searched.merge(grid, on=["level", "alpha"], suffixes=("", "_grid"))
    agree = (pairs["low"] <= pairs["high_grid"]) & (pairs["low_grid"] <= pairs["high"])
    ratio = float(np.exp(np.log(pairs["mean"] / pairs["mean_grid"]).mean()))
    return (
        f"{said} The search trained on {percent(spent[0] / spent[1])} of the images that the grid of "
        f"Figure 8 took; {int(agree.sum())} of {len(pairs)} intervals overlap, and its thresholds are "
        f"{ratio:.2f} times the grid's in the mean."
    )


def _interval(row: pd.Series) -> str:
    high = "∞" if math.isinf(row["high"]) else f"{row['high']:,.0f}"
    return f"[{row['low']:,.0f}, {high}]"


def _straight(table: pd.DataFrame) -> Judgement:
    laws = _laws(points(table))
    if not laws:
        return not_testable("it takes an accuracy that three noise levels reach")
    numbers, passed = [], True
    for level, fitted in laws.items():
        line = fitted[1]
        passed &= line.r2 >= _STRAIGHT
        lacking = ", ".join(law.name for law in fitted if math.isnan(law.aicc))
        few = f", too few noise levels for AICc of {lacking}"
        criteria = ", ".join(f"{law.name} {law.aicc:.1f}" for law in fitted if not math.isnan(law.aicc))
        numbers.append(
            f"{percent(level)}: n = {line.coefficients[0]:,.0f} + {line.coefficients[1]:,.0f} α, "
            f"R² = {line.r2:.3f}" + (f", AICc {criteria}" if criteria else "") + (few if lacking else "")
        )
    return decided(passed, "; ".join(numbers))


def _steeper(table: pd.DataFrame) -> Judgement:
    found = points(table)
    laws = _laws(found)
    if len(laws) < 2:
        return not_testable("it takes two accuracies that three noise levels reach")
    searched, numbers = found[found["how"] == SEARCH], []
    for level, part in searched.groupby("level"):
        low, high = slope_interval(part["alpha"].tolist(), part["mean"].tolist())
        slope = laws[float(str(level))][1].coefficients[1]
        numbers.append(
            f"{percent(float(str(level)))}: {slope:,.0f} [{low:,.0f}, {high:,.0f}] clean examples more for "
            "each α"
        )
    rising = [fitted[1].coefficients[1] for _, fitted in sorted(laws.items())]
    return decided(rising == sorted(rising), "; ".join(numbers))


FIGURE = Figure(
    name="fig9",
    title="How many clean examples an accuracy takes",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig9",
            "The number of clean examples that an accuracy takes grows linearly with the noise level.",
            "For each accuracy the straight line in α explains at least 95 % of the variance of the n found "
            "(R²); AICc of a constant, a straight line and a parabola are shown beside it, the least is "
            "preferred.",
            _straight,
        ),
        Claim(
            "fig9",
            "It grows faster for a higher accuracy.",
            "The slope of the straight line is larger for the higher accuracy.",
            _steeper,
        ),
    ),
    method="For each noise level n is searched: doubled or halved until accuracy lies on both sides of "
    "the level, then run near the crossing of a straight line fitted to the logit of accuracy against "
    "log n. Each run has a seed of its own, and one run may serve both levels. Bars are 95 % intervals of "
    "the crossing by Fieller's method. The test accuracy says where to measure next, being what is "
    "measured; it chooses no step and no learning rate.\n\n"
    "Hollow marks are the crossings of the curves of Figure 8, interpolated for each seed, with Student t "
    "intervals of log n over seeds; they stand a little to the right of their α. Dashed lines are the "
    "straight lines fitted to what the search found. A bar without an end goes on beyond the plot.",
    more=more,
    beside="fig8",
    shares=False,
)
