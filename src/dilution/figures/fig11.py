"""Figure 11: accuracy against the learning rate, at several noise levels."""

import itertools

import matplotlib.figure
import pandas as pd

from dilution.figures.base import MEANS_OVER_SEEDS, SELECTED_STEP, Figure, Preset, PresetName
from dilution.figures.claims import Claim, Judgement, decide, not_testable, percent_interval
from dilution.figures.comparisons import accuracy_lines
from dilution.figures.fig10 import (
    DEMO_AXES,
    DEMO_EXAMPLES,
    LAPTOP_AXES,
    LAPTOP_EXAMPLES,
    PAPER_AXES,
    PAPER_EXAMPLES,
    demo_base,
    laptop_base,
    paper_base,
)
from dilution.report.style import INK, legend, new_figure, style
from dilution.study.statistics import intervals

BATCH_SIZE = 128

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
                PAPER_AXES,
            )
        ],
        "Paper preset: sampled targets (one label at a time), Adadelta, batch size 128, 50,000 steps.",
        seeds=5,
    ),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per alpha and learning rate, with mean clean validation accuracy."""
    by = ["alpha", "lr"]
    scored = table.assign(val_acc_clean=table["val_acc_clean"].fillna(0.0))
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


def _tied_lrs(points: pd.DataFrame, alpha: float) -> list[float]:
    """Return the learning rates with the best validation accuracy at an alpha: several if they are equal."""
    part = points[points["alpha"] == alpha]
    return list(part.loc[part["val_acc_clean"] == part["val_acc_clean"].max(), "lr"])


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
    rows = points.set_index(["alpha", "lr"])
    numbers = "; ".join(
        f"α = {alpha:g}: best learning rate {lr:g}, test accuracy "
        f"{percent_interval(*rows.loc[(alpha, lr), ['mean', 'low', 'high']].astype(float))}"
        for alpha, lr in best.items()
    )
    tied = {alpha: _tied_lrs(points, float(str(alpha))) for alpha in best.index}
    # the claim must hold whichever of equally good learning rates counts as the best
    no_rise = all(min(tied[lower]) >= max(tied[higher]) for lower, higher in itertools.pairwise(best.index))
    passed = no_rise and max(tied[best.index[-1]]) < min(tied[best.index[0]])
    equal = [f"α = {alpha:g}" for alpha, lrs in tied.items() if len(lrs) > 1]
    note = f"; several learning rates are equally good at {', '.join(equal)}" if equal else ""
    return decide(bool(passed), numbers + note)


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
            "The learning rate with the best clean validation accuracy does not rise from any α to the next, "
            "and is smaller at the largest α than at 0, whichever of equally good learning rates is taken.",
            _smaller_lrs,
        ),
    ),
    method="Noise is uniform, and the noisy labels are on the same images as the clean labels; targets are "
    "sampled (one label at a time). The ring marks the learning rate with the best mean clean validation "
    f"accuracy.\n\n{MEANS_OVER_SEEDS} {SELECTED_STEP}",
)
