"""Figure 11: accuracy against the learning rate, at several noise levels."""

import itertools

import matplotlib.figure
import pandas as pd

from dilution.figures.base import Figure, PresetName, Scale
from dilution.figures.claims import Claim, Judgement, decided, not_testable, percent_interval
from dilution.figures.comparisons import accuracy_lines
from dilution.figures.fig10 import (
    DEMO,
    DEMO_EXAMPLES,
    LAPTOP,
    LAPTOP_EXAMPLES,
    PAPER_AXES,
    PAPER_EXAMPLES,
    demo_base,
    laptop_base,
    paper_base,
)
from dilution.report.style import INK, legend, new_figure, style
from dilution.study.statistics import intervals

BATCH = 128

_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        lambda material: [
            (
                {**demo_base(material), "batch_size": BATCH, "steps": DEMO_EXAMPLES // BATCH},
                {**DEMO, "lr": [0.02, 0.1, 0.5, 2.0]},
            )
        ],
        "Demo scale: n = 300, α up to 5, batch 128 for 200 steps, four learning rates. The paper uses MNIST.",
    ),
    "laptop": Scale(
        lambda material: [
            (
                {**laptop_base(material), "batch_size": BATCH, "steps": LAPTOP_EXAMPLES // BATCH},
                {**LAPTOP, "alpha": [0.0, 5.0, 20.0]},
            )
        ],
        "Laptop scale: n = 1,000, α up to 20, batch 128 for 500 steps of Adadelta. "
        "The paper uses more clean examples and longer training.",
    ),
    "paper": Scale(
        lambda material: [
            ({**paper_base(material), "batch_size": BATCH, "steps": PAPER_EXAMPLES // BATCH}, PAPER_AXES)
        ],
        "Paper scale: one label at a time, Adadelta, batch 128, 50,000 steps.",
        seeds=5,
    ),
}


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by alpha and learning rate, and mean clean validation accuracy."""
    by = ["alpha", "lr"]
    judged = table.assign(val_acc_clean=table["val_acc_clean"].fillna(0.0))
    validation = judged.groupby(by)["val_acc_clean"].mean().reset_index()
    return intervals(table, by=by).merge(validation, on=by)


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against the learning rate, one line a noise level; the best by validation is ringed."""
    alphas = sorted(found["alpha"].unique())
    with style():
        figure, (axis,) = new_figure(height=3.7)
        accuracy_lines(axis, found, "lr", "alpha", {alpha: f"{alpha:g}" for alpha in alphas})
        best = found.loc[found.groupby("alpha")["val_acc_clean"].idxmax()]
        axis.plot(best["lr"], best["mean"], "o", ms=13, mfc="none", mec=INK, label="best on validation")
        rates = sorted(found["lr"].unique())
        axis.set_xscale("log")
        axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axis.minorticks_off()
        axis.set_xlabel("learning rate of Adadelta")
        axis.set_ylabel("test accuracy")
        legend(axis, title="noise level α", loc="lower right")
    return figure


def _best(found: pd.DataFrame) -> pd.Series:
    """Return the best learning rate at each alpha, by validation; the smallest of several."""
    best = found.loc[found.groupby("alpha")["val_acc_clean"].idxmax()]
    return best.set_index("alpha")["lr"].sort_index()


def _tied(found: pd.DataFrame, alpha: float) -> list[float]:
    """Return the rates that are best at an alpha: several where validation accuracies are equal."""
    part = found[found["alpha"] == alpha]
    return list(part.loc[part["val_acc_clean"] == part["val_acc_clean"].max(), "lr"])


def finding(found: pd.DataFrame) -> str:
    """Say which rate is best without noise and at the largest alpha."""
    best = _best(found)
    return (
        f"The best learning lr is {best.iloc[0]:g} at α = {best.index[0]:g} and {best.iloc[-1]:g} at "
        f"α = {best.index[-1]:g}."
    )


def _smaller_rates(table: pd.DataFrame) -> Judgement:
    found = points(table)
    best = _best(found)
    if len(best) < 2 or best.index[0] != 0:
        return not_testable("it takes α = 0 and noise")
    rows = found.set_index(["alpha", "lr"])
    numbers = "; ".join(
        f"α = {alpha:g}: best {rate:g}, test "
        f"{percent_interval(*rows.loc[(alpha, rate), ['mean', 'low', 'high']].astype(float))}"
        for alpha, rate in best.items()
    )
    tied = {alpha: _tied(found, float(str(alpha))) for alpha in best.index}
    # whichever of equal rates is called the best, the claim must hold
    falls = all(min(tied[less]) >= max(tied[more]) for less, more in itertools.pairwise(best.index))
    passed = falls and max(tied[best.index[-1]]) < min(tied[best.index[0]])
    equal = [f"α = {alpha:g}" for alpha, rates in tied.items() if len(rates) > 1]
    return decided(
        bool(passed), numbers + (f"; rates are equally good at {', '.join(equal)}" if equal else "")
    )


FIGURE = Figure(
    name="fig11",
    title="Accuracy against the learning rate, by noise level",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig11",
            "Under noise smaller learning rates are better.",
            "The rate with the best clean validation accuracy does not rise from any α to the next, and is "
            "smaller at the largest α than at 0; of equally good rates whichever is taken.",
            _smaller_rates,
        ),
    ),
    method="Noise is uniform and on the same images, one label at a time. The ring marks the rate with "
    "the best mean clean validation accuracy.\n\nPoints are means over seeds, bars 95 % Student t "
    "intervals; each run reports the test accuracy at the step that clean validation accuracy chose.",
)
