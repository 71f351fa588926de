"""Figure 11: accuracy against the learning rate, at several noise levels."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.figures.base import MEANS_OVER_SEEDS, SELECTED_STEP, Figure, Preset, PresetName
from dilution.figures.claims import Claim, Judgement, decide, not_testable, percent, percent_interval
from dilution.figures.comparisons import accuracy_lines
from dilution.figures.fig10 import (
    DEMO_AXES,
    DEMO_EXAMPLES,
    LAPTOP_AXES,
    LAPTOP_EXAMPLES,
    PAPER_ALPHAS,
    PAPER_EXAMPLES,
    demo_base,
    laptop_base,
    paper_base,
)
from dilution.figures.paper_scale import HALVING, PROVISIONAL_LR
from dilution.report.style import INK, legend, new_figure, style
from dilution.study.pairs import by_seed
from dilution.study.run_spec import Run
from dilution.study.statistics import intervals, with_diverged_at_chance

BATCH_SIZE = 128
MIN_SHARE = 0.95
"""Share of the bootstrap draws in which the best learning rate must fall."""

_MAX_DRAWS = 10_000

_LOWEST_LR, _HIGHEST_LR = 1e-4, 100.0  # where the search beyond the edges ends


def _beyond_edges(runs: Sequence[Run], table: pd.DataFrame) -> list[Run]:
    """Return runs at a learning rate beyond each edge of the grid that is the best in too many draws."""
    scored = table.assign(val_acc_clean=table["val_acc_clean"].fillna(0.0))  # diverged
    validation = {
        float(str(alpha)): by_seed(part, "lr", "val_acc_clean") for alpha, part in scored.groupby("alpha")
    }
    drawn, lrs = draw_best_lrs(validation), sorted({run.lr for run in runs})
    at_lowest = max(float((best[:, 0] <= lrs[0]).mean()) for best in drawn.values())
    at_highest = max(float((best[:, 1] >= lrs[-1]).mean()) for best in drawn.values())
    factor = HALVING.extension_factor
    further = [lrs[0] / factor] * (at_lowest > 1 - MIN_SHARE)
    further += [lrs[-1] * factor] * (at_highest > 1 - MIN_SHARE)
    return [
        run.model_copy(update={"lr": float(f"{lr:.2g}")})
        for lr in further
        if _LOWEST_LR <= lr <= _HIGHEST_LR
        for run in runs
        if run.lr == lrs[0]
    ]


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        lambda inputs: [
            (
                {**demo_base(inputs), "batch_size": BATCH_SIZE, "steps": DEMO_EXAMPLES // BATCH_SIZE},
                {**DEMO_AXES, "lr": [0.02, 0.1, 0.5, 2.0]},
            )
        ],
        "Demo preset: n = 300, α up to 5, batch size 128 for 200 steps of Adadelta, four learning rates. The "
        "paper uses MNIST.",
    ),
    "laptop": Preset(
        lambda inputs: [
            (
                {**laptop_base(inputs), "batch_size": BATCH_SIZE, "steps": LAPTOP_EXAMPLES // BATCH_SIZE},
                {**LAPTOP_AXES, "alpha": [0.0, 5.0, 20.0]},
            )
        ],
        "Laptop preset: n = 1,000, α up to 20, batch size 128 for 500 steps of Adadelta. The paper uses more "
        "clean examples and longer training.",
    ),
    "paper": Preset(
        lambda inputs: [
            (
                {**paper_base(inputs), "batch_size": BATCH_SIZE, "steps": PAPER_EXAMPLES // BATCH_SIZE},
                {"alpha": list(PAPER_ALPHAS), "lr": HALVING.lrs_around(PROVISIONAL_LR)},
            )
        ],
        "Paper preset: sampled targets (one label at a time), Adadelta at a constant learning rate, batch "
        f"size 128, {PAPER_EXAMPLES // BATCH_SIZE:,} steps, learning rates from 0.01 to 1 and beyond until "
        "the best one is not at an edge for any α.",
        seeds=5,
        next_runs=_beyond_edges,
    ),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per alpha and learning rate, with mean clean validation accuracy."""
    by = ["alpha", "lr"]
    scored = with_diverged_at_chance(table)
    validation = scored.groupby(by)["val_acc_clean"].mean().reset_index()
    return intervals(table, by=by).merge(validation, on=by)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against the learning rate, one line per noise level, with rings at the best ones."""
    alphas = sorted(points["alpha"].unique())
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, points, "lr", "alpha", {alpha: f"{alpha:g}" for alpha in alphas})
        best = points.loc[points.groupby("alpha")["val_acc_clean"].idxmax()]
        axis.plot(best["lr"], best["mean"], "o", ms=13, mfc="none", mec=INK, label="best by validation")
        lrs = sorted(points["lr"].unique())
        axis.set_xscale("log")
        axis.set_xticks(lrs, [f"{lr:g}" for lr in lrs])
        axis.minorticks_off()
        axis.set_xlabel("learning rate of Adadelta")
        axis.set_ylabel("test accuracy")
        legend(axis, title="noise level α", loc="lower right")
    return figure


def _best_lrs(points: pd.DataFrame) -> pd.Series:
    """Return the best learning rate by validation at each alpha, the smallest of several equal ones."""
    best = points.loc[points.groupby("alpha")["val_acc_clean"].idxmax()]
    return best.set_index("alpha")["lr"].sort_index()


def summary(points: pd.DataFrame) -> str:
    """Return the best learning rate at the smallest and the largest alpha."""
    best = _best_lrs(points)
    return (
        f"The best learning rate is {best.iloc[0]:g} at α = {best.index[0]:g} and {best.iloc[-1]:g} at "
        f"α = {best.index[-1]:g}."
    )


def _smaller_lrs(table: pd.DataFrame) -> Judgement:
    points = aggregate(table)
    best = _best_lrs(points)
    if len(best) < 2 or best.index[0] != 0:
        return not_testable("requires α = 0 and α > 0")
    validation = {
        float(str(alpha)): by_seed(part, "lr", "val_acc_clean") for alpha, part in table.groupby("alpha")
    }
    seeds = list(validation[0.0].index)
    if len(seeds) < 2 or any(
        list(part.index) != seeds or part.isna().any(axis=None) for part in validation.values()
    ):
        return not_testable("requires the same seeds, 2 or more, at every α and learning rate")
    drawn = draw_best_lrs(validation)
    rows = points.set_index(["alpha", "lr"])
    numbers = "; ".join(
        f"α = {alpha:g}: best learning rate {lr:g} ({percent(_share(drawn[alpha], lr))} of draws), test "
        f"accuracy {percent_interval(*rows.loc[(alpha, lr), ['mean', 'low', 'high']].astype(float))}"
        for alpha, lr in best.items()
    )
    edges = [
        f"α = {alpha:g}" for alpha, part in validation.items() if _at_an_edge(drawn[alpha], part.columns)
    ]
    if edges:
        return not_testable(
            f"the best learning rate is at an edge of the grid in more than {percent(1 - MIN_SHARE)} of the "
            f"draws at {', '.join(edges)}: the grid must go further. {numbers}"
        )
    share = float(_falls(drawn).mean())
    return decide(
        share >= MIN_SHARE, f"the best learning rate falls with α in {percent(share)} of the draws; {numbers}"
    )


def draw_best_lrs(validation: Mapping[float, pd.DataFrame]) -> dict[float, NDArray[np.float64]]:
    """Return the best learning rates at each alpha in bootstrap draws of the seeds.

    A draw has as many seeds as there are, drawn with replacement, the same at every alpha. Up to five seeds
    all draws are enumerated; otherwise 10,000 are drawn.

    Parameters
    ----------
    validation
        Alpha → clean validation accuracy, one row per seed and one column per learning rate.

    Returns
    -------
    dict
        Alpha → lowest and highest of the best learning rates of each draw, shape (draws, 2): several may be
        equally good.
    """
    count = len(next(iter(validation.values())))
    if count**count <= _MAX_DRAWS:
        draws = np.array(list(itertools.product(range(count), repeat=count)))
    else:
        draws = np.random.default_rng(0).integers(count, size=(_MAX_DRAWS, count))
    best = {}
    for alpha, part in validation.items():
        means = part.to_numpy()[draws].mean(axis=1)
        is_best = means >= means.max(axis=1, keepdims=True) - 1e-12
        lrs = part.columns.to_numpy(dtype=np.float64)
        lowest = np.where(is_best, lrs, np.inf).min(axis=1)
        best[alpha] = np.column_stack([lowest, np.where(is_best, lrs, -np.inf).max(axis=1)])
    return best


def _share(drawn: NDArray[np.float64], lr: float) -> float:
    """Return the share of draws in which this learning rate is among the best."""
    return float(((drawn[:, 0] <= lr) & (lr <= drawn[:, 1])).mean())


def _at_an_edge(drawn: NDArray[np.float64], grid: pd.Index) -> bool:
    """Return whether the smallest or largest learning rate is among the best in too many draws."""
    at_edge = (drawn[:, 0] <= grid.min()) | (drawn[:, 1] >= grid.max())
    return bool(at_edge.mean() > 1 - MIN_SHARE)


def _falls(drawn: Mapping[float, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return for each draw whether the best learning rate never rises with alpha and falls in all.

    It must hold whichever of equally good learning rates counts as the best.
    """
    alphas = sorted(drawn)
    falls: NDArray[np.bool_] = drawn[alphas[-1]][:, 1] < drawn[alphas[0]][:, 0]
    for lower, higher in itertools.pairwise(alphas):
        falls &= drawn[lower][:, 0] >= drawn[higher][:, 1]
    return falls


FIGURE = Figure(
    name="fig11",
    title="Accuracy against the learning rate, by noise level",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig11",
            "Under noise, smaller learning rates are better.",
            "In at least 95 % of bootstrap draws of the seeds the learning rate with the best clean "
            "validation accuracy does not rise from any α to the next, and is smaller at the largest α than "
            "at 0, whichever of equally good ones is taken. Not testable if the best one is at an edge of "
            "the grid in more than 5 % of the draws at some α.",
            _smaller_lrs,
        ),
    ),
    method="Noise is uniform, and the noisy labels are on the same images as the clean labels; targets are "
    "sampled (one label at a time). The ring marks the learning rate with the best mean clean validation "
    f"accuracy.\n\n{MEANS_OVER_SEEDS} {SELECTED_STEP}",
)
