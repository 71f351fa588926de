"""Figure 1: accuracy against the level of uniform noise, for five networks."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    AS_PAPER,
    FIRST_CONTACT,
    PAPER,
    POOLED,
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
    difference,
    not_testable,
    percent,
    percent_interval,
)
from dilution.figures.comparisons import compared, falls, surely_less
from dilution.models import LABELS
from dilution.report.style import (
    COLOURS,
    QUIET,
    legend,
    line_with_interval,
    new_figure,
    percent_axis,
    quoted_mark,
    style,
)
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals

MODELS = ("conv4", "mlp4", "mlp2", "mlp1", "perceptron")
MLPS = ("mlp1", "mlp2", "mlp4")
NOISY = 10  # from this noise level on, the order of the networks must hold

_SMALL_N = 1000
_QUOTED = (100.0, 0.91)  # alpha and accuracy, quoted from memory of the paper's caption: a mark, no rule


def _demo(material: Material) -> Grids:
    base = {
        **POOLED,
        "n": min(FIRST_CONTACT, material.size),
        "lr": 3e-3,
        "batch_size": 64,
        "epochs": 10.0,
        "n_evals": 5,
    }
    return [(base, {"model": list(MODELS), "alpha": [0.0, 2.0, 5.0, 10.0, 20.0]})]


def _laptop(material: Material) -> Grids:
    base = {**POOLED, "n": material.size, "lr": 1e-3}
    alphas = [0.0, 10.0, 20.0, 50.0, 100.0]
    dense: dict[str, list[Any]] = {"model": list(MODELS[1:]), "alpha": alphas}
    # equal steps, and so equal cost, for both orders
    small = {**base, "n": _SMALL_N, "steps": 300}
    compared: dict[str, list[Any]] = {"model": ["conv4", "mlp2", "perceptron"], "alpha": [0.0, 10.0, 20.0]}
    whole: Grids = [
        ({**base, "epochs": 3.0, "n_evals": 4}, {"model": ["conv4"], "alpha": alphas}),
        ({**base, "epochs": 10.0}, dense),
    ]
    if material.size <= _SMALL_N:
        return whole
    return [*whole, (small, compared), ({**small, "targets": "sampled"}, compared)]


def _paper(material: Material) -> Grids:
    alphas = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    axes: dict[str, list[Any]] = {"model": list(MODELS), "alpha": alphas, "lr": list(RATES)}
    return [({**PAPER, "n": material.size}, axes)]


_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(
        _demo,
        "Demo scale: pooled batch order, Adam for 10 epochs at one learning rate, α up to 20. "
        "The paper takes one label at a time, Adadelta at the best of four rates, and α up "
        "to 100 on MNIST.",
    ),
    "laptop": Scale(
        _laptop,
        "Laptop scale: pooled batch order at the full n, Adam at 1e-3 falling linearly to 0, ConvNet 3 "
        "epochs, others 10; beside it both batch orders at n = 1,000 for equal steps. The paper "
        "takes one label at a time (101 passes over MNIST at α = 100) and Adadelta at the best of four "
        "rates.",
    ),
    "paper": Scale(_paper, AS_PAPER, seeds=5),
}


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy by data set, order, n, network and alpha, at the best rate of several."""
    by = ["dataset", "targets", "n", "model", "alpha"]
    return intervals(best_lr(table, by=by), by=by)


def _main(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the part with the largest n: what the figure is about."""
    return frame[frame["n"] == frame["n"].max()]


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line a network; the comparison of orders beside it if measured."""
    panels = [((order, n), part) for (order, n), part in found.groupby(["targets", "n"], sort=False)]
    panels.sort(key=lambda panel: (-panel[0][1], panel[0][0]))
    with style():
        figure, axes = new_figure(columns=len(panels), height=3.7)
        for axis, ((order, n), part) in zip(axes, panels, strict=True):
            for index, model in enumerate(MODELS):
                line = part[part["model"] == model]
                if not line.empty:
                    shift = (index - 2) * 0.006 * part["alpha"].max()
                    line_with_interval(axis, line, "alpha", LABELS[model], index, shift)
            axis.axhline(
                0.9, color=QUIET, linewidth=0.9, linestyle=":", zorder=0, label="90 %, the paper's mark"
            )
            if part["dataset"].iloc[0] == "mnist" and part["alpha"].max() >= _QUOTED[0]:
                says = {"alpha": f"{_QUOTED[0]:g}", "test accuracy": f"{100 * _QUOTED[1]:.0f} %"}
                quoted_mark(axis, *_QUOTED, "paper's ConvNet, quoted", says, COLOURS[0])
            axis.set_title(f"{part['dataset'].iloc[0]}, n = {n:,}, {order} order")
            axis.set_xlabel("noisy labels for each clean one, α")
            axis.set_ylim(0, 1.02)
            percent_axis(axis)
        axes[0].set_ylabel("test accuracy")
        legend(axes[0], loc="lower left")
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say how the best network does at the largest noise level."""
    main = _main(found)
    worst = main[main["alpha"] == main["alpha"].max()].sort_values("mean")
    best, last = worst.iloc[-1], worst.iloc[0]
    return (
        f"With {best['alpha']:g} noisy labels added for each clean one, {LABELS[best['model']]} still "
        f"gets {percent_interval(best['mean'], best['low'], best['high'])} of the test images right, "
        f"and the weakest network, {LABELS[last['model']]}, {percent(last['mean'])}."
    )


def _headline(table: pd.DataFrame) -> Judgement:
    main = _main(points(table))
    if table["dataset"].iloc[0] != "mnist" or main["alpha"].max() < 100 or main["n"].max() < 60_000:
        return not_testable("it takes MNIST with n = 60,000 at α = 100")
    row = main[(main["model"] == "conv4") & (main["alpha"] == main["alpha"].max())].iloc[0]
    numbers = f"Conv-4 at α = {row['alpha']:g}: {percent_interval(row['mean'], row['low'], row['high'])}"
    return decided(bool(row["low"] > 0.9), f"{numbers}, {row['seeds']} seeds")


def _all_learn(table: pd.DataFrame) -> Judgement:
    main = _main(points(table))
    last = main[main["alpha"] == main["alpha"].max()]
    chance = float(table["majority_share"].max())
    numbers = "; ".join(
        f"{LABELS[row.model]} {percent_interval(row.mean, row.low, row.high)}" for row in last.itertuples()
    )
    passed = bool((last["low"] > chance).all())
    return decided(passed, f"α = {last['alpha'].iloc[0]:g}: {numbers}; commonest class {percent(chance)}")


def _order_of_networks(table: pd.DataFrame) -> Judgement:
    fall = falls(best_lr(_main(table), by=["model", "alpha"]), by=["model"])
    fall = fall[fall["alpha"] >= NOISY]
    if fall.empty or fall["seed"].nunique() < 2:
        return not_testable(f"it takes noise levels from {NOISY} on and at least 2 seeds")
    pairs = [("conv4", mlp) for mlp in MLPS] + [(mlp, "perceptron") for mlp in MLPS]
    held, broken = 0, []
    for alpha, part in fall.groupby("alpha"):
        by_seed = part.pivot(index="seed", columns="model", values="fall")
        for less, more in pairs:
            holds, p = surely_less(part, "fall", "model", less, more)
            if holds:
                held += 1
            else:
                means = by_seed[less].mean(), by_seed[more].mean()
                broken.append(
                    f"α = {alpha:g}: {LABELS[less]} falls {difference(means[0])}, {LABELS[more]} "
                    f"{difference(means[1])} (p = {p:.2g})"
                )
    return compared(held, broken)


FIGURE = Figure(
    name="fig1",
    title="Accuracy against the level of uniform noise",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(
        Claim(
            "fig1",
            "All networks learn from training sets in which wrong labels vastly outnumber right ones.",
            "At the largest α the lower bound of every network's accuracy lies above the share of the "
            "commonest class.",
            _all_learn,
        ),
        Claim(
            "fig1",
            "A ConvNet passes 90 % on MNIST with 100 noisy labels for each clean one.",
            "Lower bound of Conv-4's accuracy > 90 % at α = 100, n = 60,000.",
            _headline,
        ),
        Claim(
            "fig1",
            "Accuracy falls most slowly for the ConvNet, then the MLPs, then the perceptron.",
            "At every α ≥ 10 the drop from α = 0 is smaller for Conv-4 than for each MLP, and for each "
            "MLP than for the perceptron: disjoint intervals, or a paired test over seeds with p < 0.05.",
            _order_of_networks,
        ),
    ),
    method="For each clean example, α noisy ones with the same image and a label uniform over all "
    "classes, the true one included. A share of the clean examples is set aside as validation data; "
    "each run reports the test accuracy at the step that clean validation accuracy chose.\n\n"
    "Points are means over seeds (subset, noise, weights and order all differ between seeds), bars 95 % "
    "Student t intervals; they are drawn side by side where they share an α. A ring is a number quoted from "
    "memory of the paper's caption, to compare with; it decides nothing.",
)
