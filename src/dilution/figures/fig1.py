"""Figure 1: accuracy against the level of uniform noise, for five models."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    DEMO_N,
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
    decide,
    difference,
    difference_estimate,
    not_testable,
    percent,
    percent_interval,
)
from dilution.figures.comparisons import accuracy_drops, judge_comparisons, significantly_less
from dilution.figures.paper_scale import LrSearch, describe, paper_grids
from dilution.models import DISPLAY_NAMES
from dilution.report.style import (
    ALPHA_LABEL,
    COLOURS,
    QUIET,
    legend,
    line_with_interval,
    new_figure,
    percent_axis,
    quoted_mark,
    style,
)
from dilution.study.pairs import by_seed, contrast, mean_interval
from dilution.study.statistics import best_lr, intervals, rounding_deviation

MODELS = ("conv4", "mlp4", "mlp2", "mlp1", "perceptron")
MLPS = ("mlp1", "mlp2", "mlp4")
MIN_NOISY_ALPHA = 10  # the claimed order of the models must hold from this noise level on

_SMALL_N = 1000
_QUOTED = (100.0, 0.91)  # alpha and accuracy, quoted from memory of the paper's caption; no rule uses them


def _demo(inputs: FigureInputs) -> Grids:
    base = {
        **POOLED_SETTINGS,
        "n": min(DEMO_N, inputs.n_available),
        "lr": 3e-3,
        "batch_size": 64,
        "epochs": 10.0,
        "n_evals": 5,
    }
    return [(base, {"model": list(MODELS), "alpha": [0.0, 2.0, 5.0, 10.0, 20.0]})]


def _laptop(inputs: FigureInputs) -> Grids:
    base = {**POOLED_SETTINGS, "n": inputs.n_available, "lr": 1e-3}
    alphas = [0.0, 10.0, 20.0, 50.0, 100.0]
    dense: dict[str, list[Any]] = {"model": list(MODELS[1:]), "alpha": alphas}
    # equal steps, and so equal cost, for both kinds of targets
    small = {**base, "n": _SMALL_N, "steps": 300}
    compared: dict[str, list[Any]] = {"model": ["conv4", "mlp2", "perceptron"], "alpha": [0.0, 10.0, 20.0]}
    main: Grids = [
        ({**base, "epochs": 3.0, "n_evals": 4}, {"model": ["conv4"], "alpha": alphas}),
        ({**base, "epochs": 10.0}, dense),
    ]
    if inputs.n_available <= _SMALL_N:
        return main
    return [*main, (small, compared), ({**small, "targets": "sampled"}, compared)]


def _paper(inputs: FigureInputs) -> Grids:
    alphas = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    return paper_grids({"n": inputs.n_available}, alphas, {"model": list(MODELS)})


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: pooled targets, Adam for 10 epochs at one learning rate, α up to 20. The paper uses "
        "sampled targets, Adadelta at the best of four learning rates, and α up to 100 on MNIST.",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: pooled targets, all clean images, Adam with a learning rate of 1e-3 that falls "
        "linearly to 0, 3 epochs for the ConvNet and 10 for the other models. Further panels compare pooled "
        "and sampled targets at n = 1,000 and equal steps. The paper uses sampled targets (101 passes over "
        "MNIST at α = 100) and Adadelta at the best of four learning rates.",
    ),
    "paper": Preset(_paper, describe(), seeds=5, lr_search=LrSearch()),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per data set, targets, n, model and alpha, at the best learning rate."""
    by = ["dataset", "targets", "n", "model", "alpha"]
    return intervals(best_lr(table, by=by), by=by)


def _largest_n(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the largest n, which the claims are about."""
    return frame[frame["n"] == frame["n"].max()]


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per model and one panel per n and kind of targets."""
    panels = [((targets, n), part) for (targets, n), part in points.groupby(["targets", "n"], sort=False)]
    panels.sort(key=lambda panel: (-panel[0][1], panel[0][0]))
    with style():
        figure, axes = new_figure(columns=len(panels), height=3.7)
        for axis, ((targets, n), part) in zip(axes, panels, strict=True):
            for index, model in enumerate(MODELS):
                line = part[part["model"] == model]
                if not line.empty:
                    shift = (index - 2) * 0.006 * part["alpha"].max()
                    line_with_interval(axis, line, "alpha", DISPLAY_NAMES[model], index, shift)
            axis.axhline(
                0.9, color=QUIET, linewidth=0.9, linestyle=":", zorder=0, label="90 %, the paper's mark"
            )
            if part["dataset"].iloc[0] == "mnist" and part["alpha"].max() >= _QUOTED[0]:
                values = {"alpha": f"{_QUOTED[0]:g}", "test accuracy": f"{100 * _QUOTED[1]:.0f} %"}
                quoted_mark(axis, *_QUOTED, "paper's ConvNet, quoted", values, COLOURS[0])
            axis.set_title(f"{part['dataset'].iloc[0]}, n = {n:,}, {targets} targets")
            axis.set_xlabel(ALPHA_LABEL)
            axis.set_ylim(0, 1.02)
            percent_axis(axis)
        axes[0].set_ylabel("test accuracy")
        legend(axes[0], loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy of the best and the worst model at the largest noise level."""
    main = _largest_n(points)
    last = main[main["alpha"] == main["alpha"].max()].sort_values("mean")
    best, worst = last.iloc[-1], last.iloc[0]
    return (
        f"{DISPLAY_NAMES[best['model']]} reaches "
        f"{percent_interval(best['mean'], best['low'], best['high'])} test accuracy with "
        f"{best['alpha']:g} noisy labels per clean label; the least accurate model, "
        f"{DISPLAY_NAMES[worst['model']]}, reaches {percent(worst['mean'])}."
    )


def _convnet_above_90(table: pd.DataFrame) -> Judgement:
    main = _largest_n(aggregate(table))
    if table["dataset"].iloc[0] != "mnist" or main["alpha"].max() < 100 or main["n"].max() < 60_000:
        return not_testable("requires MNIST with n = 60,000 at α = 100")
    row = main[(main["model"] == "conv4") & (main["alpha"] == main["alpha"].max())].iloc[0]
    numbers = f"Conv-4 at α = {row['alpha']:g}: {percent_interval(row['mean'], row['low'], row['high'])}"
    return decide(bool(row["low"] > 0.9), f"{numbers}, {row['seeds']} seeds")


def _all_above_majority(table: pd.DataFrame) -> Judgement:
    main = _largest_n(aggregate(table))
    last = main[main["alpha"] == main["alpha"].max()]
    majority = float(table["majority_share"].max())
    numbers = "; ".join(
        f"{DISPLAY_NAMES[row.model]} {percent_interval(row.mean, row.low, row.high)}"
        for row in last.itertuples()
    )
    passed = bool((last["low"] > majority).all())
    return decide(passed, f"α = {last['alpha'].iloc[0]:g}: {numbers}; majority class {percent(majority)}")


def _perceptron_keeps_half(table: pd.DataFrame) -> Judgement:
    runs = best_lr(_largest_n(table), by=["targets", "model", "alpha"])
    runs = runs[runs["model"] == "perceptron"]
    alpha = runs["alpha"].max()
    if not alpha >= _QUOTED[0] or 0 not in set(runs["alpha"]) or runs["seed"].nunique() < 2:
        return not_testable(f"requires the perceptron at α = 0 and α = {_QUOTED[0]:g}, and at least 2 seeds")
    chance = float(table["majority_share"].max())
    values, rounding = by_seed(runs[runs["alpha"].isin([0, alpha])], "alpha"), rounding_deviation(runs)
    lead = contrast(values - chance, {alpha: 1.0, 0.0: -0.5}, rounding=rounding)
    accuracies = [mean_interval(values[level], rounding=rounding).percent() for level in (0.0, alpha)]
    numbers = (
        f"{accuracies[0]} at α = 0, {accuracies[1]} at α = {alpha:g}, majority class {percent(chance)}; the "
        f"lead at α = {alpha:g} minus half of that at α = 0 is {difference_estimate(lead)}"
    )
    return decide(lead.low > 0, numbers)


def _order_of_models(table: pd.DataFrame) -> Judgement:
    drops = accuracy_drops(best_lr(_largest_n(table), by=["model", "alpha"]), by=["model"])
    drops = drops[drops["alpha"] >= MIN_NOISY_ALPHA]
    if drops.empty or drops["seed"].nunique() < 2:
        return not_testable(f"requires noise levels from α = {MIN_NOISY_ALPHA} and at least 2 seeds")
    pairs = [("conv4", mlp) for mlp in MLPS] + [(mlp, "perceptron") for mlp in MLPS]
    n_passed, failed = 0, []
    for alpha, part in drops.groupby("alpha"):
        means = by_seed(part, "model", "drop").mean()
        for smaller, larger in pairs:
            significant, p = significantly_less(part, "drop", "model", smaller, larger)
            if significant:
                n_passed += 1
            else:
                failed.append(
                    f"α = {alpha:g}: {DISPLAY_NAMES[smaller]} drops {difference(means[smaller])}, "
                    f"{DISPLAY_NAMES[larger]} {difference(means[larger])} (p = {p:.2g})"
                )
    return judge_comparisons(n_passed, failed)


FIGURE = Figure(
    name="fig1",
    title="Accuracy against the level of uniform noise",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig1",
            "All models learn from training sets in which wrong labels vastly outnumber correct labels.",
            "At the largest α the lower bound of every model's accuracy lies above the share of the majority "
            "class.",
            _all_above_majority,
        ),
        Claim(
            "fig1",
            "A ConvNet exceeds 90 % on MNIST with 100 noisy labels per clean label.",
            "Lower bound of Conv-4's accuracy > 90 % at α = 100, n = 60,000.",
            _convnet_above_90,
        ),
        Claim(
            "fig1",
            "Accuracy drops least for the ConvNet, more for the MLPs, and most for the perceptron.",
            "At every α ≥ 10 the drop from α = 0 is smaller for Conv-4 than for each MLP, and for each "
            "MLP than for the perceptron: disjoint intervals, or a paired test over seeds with p < 0.05.",
            _order_of_models,
        ),
        Claim(
            "fig1",
            "Even the perceptron stays far above chance with 100 noisy labels per clean label.",
            "The perceptron's lead over the share of the majority class at α = 100 exceeds half of its lead "
            "at α = 0: the difference, paired by seed, has a 95 % interval above 0.",
            _perceptron_keeps_half,
        ),
    ),
    method="For each clean example, α noisy examples are added with the same image and a label drawn "
    "uniformly from all classes, the true class included. Some of the clean examples are set aside for "
    f"validation. {SELECTED_STEP}\n\n"
    f"{MEANS_OVER_SEEDS} Markers at the same α are drawn side by side. {QUOTED_RINGS}",
)
