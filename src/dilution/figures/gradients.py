"""Gradients: the mean gradient over noisy labels beside that over clean ones, by noise level and stage.

The paper states in its section 5, without a figure, that noise shrinks the gradient and keeps its direction.
"""

from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.figures.base import Figure, FigureInputs, Grids, Preset, PresetName
from dilution.figures.claims import Claim, Judgement, decide, not_testable
from dilution.figures.paper_scale import BATCH_SIZE, PROVISIONAL_LR
from dilution.report.style import ALPHA_LABEL, QUIET, legend, line_with_interval, log_axis, new_figure, style
from dilution.study.pairs import contrast, mean_interval
from dilution.study.statistics import intervals
from dilution.utils.estimate import Estimate

RATIO, COSINE = "gradient_ratio", "gradient_cosine"
MEASURES = {RATIO: "length, noisy over clean", COSINE: "cosine of the angle"}
MAX_RATIO, MIN_COSINE = 0.5, 0.9
_BY = ["measure", "steps", "alpha"]


def _grids(base: dict[str, Any], alphas: list[float], stages: list[int]) -> Grids:
    """Return one run per stage: a training that ends there, and whose gradients are compared at its end."""
    shared = {**base, "targets": "sampled", "batch_size": BATCH_SIZE, "compare_gradients": True, "n_evals": 1}
    return [({**shared, "steps": stage}, {"alpha": list(alphas)}) for stage in reversed(stages)]


def _demo(inputs: FigureInputs) -> Grids:
    base = {"model": "mlp2", "optimizer": "adam", "lr": 1e-3, "n": inputs.n_available}
    return _grids(base, [1.0, 5.0, 20.0], [10, 100, 1_000])


def _laptop(inputs: FigureInputs) -> Grids:
    base = {"model": "mlp2", "optimizer": "adam", "lr": 1e-3, "n": inputs.n_available}
    return _grids(base, [1.0, 5.0, 20.0, 100.0], [10, 100, 1_000, 5_000])


def _paper(inputs: FigureInputs) -> Grids:
    base = {"model": "conv4", "optimizer": "adadelta", "lr": PROVISIONAL_LR, "n": inputs.n_available}
    return _grids(base, [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0], [10, 100, 1_000, 10_000])


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        _demo,
        "Demo preset: MLP-2, Adam with a constant learning rate of 1e-3, batch size 128, sampled targets, α "
        "up to 20. On a small data set the wrong labels of few images cancel less than they would on many.",
    ),
    "laptop": Preset(
        _laptop,
        "Laptop preset: MLP-2, all clean images, Adam with a constant learning rate of 1e-3, batch size 128, "
        "sampled targets.",
    ),
    "paper": Preset(
        _paper,
        "Paper preset: Conv-4, all clean images, Adadelta with a constant learning rate of "
        f"{PROVISIONAL_LR:g}, batch size 128, sampled targets.",
        seeds=5,
    ),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each measure per stage (steps) and alpha; diverged runs have no gradient."""
    parts = [intervals(table, ["steps", "alpha"], value=name).assign(measure=name) for name in MEASURES]
    points = pd.concat(parts, ignore_index=True)
    return points[[*_BY, *(name for name in points if name not in _BY)]]


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw the ratio of lengths and the cosine against alpha, one line per stage."""
    with style():
        figure, axes = new_figure(columns=2, height=3.7)
        for axis, (measure, label) in zip(axes, MEASURES.items(), strict=True):
            part = points[points["measure"] == measure]
            for index, (steps, line) in enumerate(part.groupby("steps")):
                line_with_interval(axis, line, "alpha", f"{int(str(steps)):,}", index)
            log_axis(axis, "x")
            axis.set_xlabel(ALPHA_LABEL)
            axis.set_ylabel(label)
        alphas = sorted(points["alpha"].unique())
        axes[0].plot(
            alphas, [1 / (1 + alpha) for alpha in alphas], color=QUIET, ls="--", lw=1, label="1/(1 + α)"
        )
        log_axis(axes[0], "y")
        axes[1].axhline(MIN_COSINE, color=QUIET, linewidth=0.9, linestyle=":", zorder=0)
        axes[1].set_ylim(min(0.0, 1.1 * float(points["low"].min())), 1.05)
        legend(axes[0], title="after steps", loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return ratio and cosine at the largest noise level, after the first and the last stage."""
    last = points[points["alpha"] == points["alpha"].max()].set_index(["measure", "steps"])
    stages = sorted(points["steps"].unique())
    parts = []
    for stage in (stages[0], stages[-1]):
        ratio, cosine = (
            Estimate(*last.loc[(name, stage), ["mean", "low", "high"]].astype(float)) for name in MEASURES
        )
        parts.append(
            f"{ratio.text('.3f')} times as long with a cosine of {cosine.text('.2f')} after {stage:,}"
        )
    return (
        f"With {points['alpha'].max():g} noisy labels per clean label the gradient over all labels is "
        f"{' and '.join(parts)} steps, compared with that over the clean labels."
    )


def _estimates(table: pd.DataFrame, measure: str) -> dict[int, dict[float, Estimate]]:
    """Return a measure with its interval over seeds, by stage and alpha."""
    estimates: dict[int, dict[float, Estimate]] = {}
    for (steps, alpha), part in table.groupby(["steps", "alpha"]):
        estimates.setdefault(int(str(steps)), {})[float(str(alpha))] = mean_interval(part[measure])
    return estimates


def _is_lacking(table: pd.DataFrame) -> str:
    """Return what the rules lack, for a verdict "not testable"; empty if they lack nothing."""
    if table["steps"].nunique() < 2 or table["alpha"].nunique() < 2 or table["seed"].nunique() < 2:
        return "requires two stages, two noise levels and at least 2 seeds"
    missing = int(table[[RATIO, COSINE]].isna().any(axis=1).sum())
    return f"{missing} of {len(table)} runs have no gradient" if missing else ""


def _is_shorter(table: pd.DataFrame) -> Judgement:
    if lacking := _is_lacking(table):
        return not_testable(lacking)
    numbers, passed = [], True
    for steps, by_alpha in _estimates(table, RATIO).items():
        smallest, largest = min(by_alpha), max(by_alpha)
        slope = _slope_of_log_ratio(table[table["steps"] == steps])
        passed &= slope.high < 0
        passed &= by_alpha[largest].high < MAX_RATIO
        numbers.append(
            f"after {steps:,} steps {by_alpha[smallest].text('.3f')} times as long at α = {smallest:g}, "
            f"{by_alpha[largest].text('.3f')} at α = {largest:g} (1/(1 + α) is {1 / (1 + largest):.3f}), as "
            f"(1 + α) to the power {slope.text('.2f')}"
        )
    return decide(passed, "; ".join(numbers))


def _slope_of_log_ratio(table: pd.DataFrame) -> Estimate:
    """Return the slope of the ratio's logarithm against log(1 + alpha), fitted per seed, at one stage."""
    ratios = table.pivot(index="seed", columns="alpha", values=RATIO).astype("float64")
    x = np.log1p(ratios.columns.to_numpy(dtype=np.float64))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return contrast(np.log(ratios), dict(zip(ratios.columns, weights, strict=True)))


def _keeps_direction(table: pd.DataFrame) -> Judgement:
    if lacking := _is_lacking(table):
        return not_testable(lacking)
    numbers, passed = [], True
    for steps, by_alpha in _estimates(table, COSINE).items():
        lowest = min(by_alpha, key=lambda alpha: by_alpha[alpha].low)
        passed &= by_alpha[lowest].low > MIN_COSINE
        numbers.append(f"after {steps:,} steps lowest at α = {lowest:g}: {by_alpha[lowest].text('.3f')}")
    return decide(passed, f"cosine: {'; '.join(numbers)}")


FIGURE = Figure(
    name="gradients",
    title="The gradient over noisy labels beside that over clean labels",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "gradients",
            "Label noise shrinks the length of the gradient.",
            "At every stage of the training the length of the mean gradient over all labels, divided by that "
            "over the clean labels, falls with α: the slope of its logarithm against log(1 + α), fitted per "
            "seed, has a 95 % interval below 0, and its upper 95 % bound at the largest α is below ½.",
            _is_shorter,
        ),
        Claim(
            "gradients",
            "Label noise keeps the direction of the gradient.",
            "At every stage of the training and every α the cosine of the angle between the mean gradient "
            "over all labels and that over the clean labels has a lower 95 % bound above 0.9 (26 degrees).",
            _keeps_direction,
        ),
    ),
    method="A claim of the paper's section 5, which has no figure. Noise is uniform, and the noisy labels "
    "are on the same images as the clean labels. A model is trained under the noise up to a stage, a number "
    "of steps. With its weights then, the mean gradient of the loss over all n(1 + α) labels that it was "
    "trained on is compared with that over the n clean labels. If wrong labels cancelled, the length would "
    "be divided by 1 + α (dashed) and the cosine would be 1; the dotted line is the margin of the rule.\n\n"
    "Points are means over seeds; a seed sets the noise, the initial weights and the order of the batches. "
    "Bars are 95 % Student t intervals.",
    as_percent=False,
)
