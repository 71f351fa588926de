"""Figure 10: accuracy against the noise level for several batch sizes, and for their limit, the loss Hα."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.figures.base import (
    LEARNING_RATES,
    MEANS_OVER_SEEDS,
    SELECTED_STEP,
    Figure,
    FigureInputs,
    Grids,
    Preset,
    PresetName,
)
from dilution.figures.batch_size_claims import decay_replaces_batch, larger_is_better, limit_hardly_drops
from dilution.figures.batch_size_runs import (
    BATCH_SIZES,
    BUDGETS,
    BY,
    LIMIT,
    REFERENCE,
    SCHEDULES,
    compared_runs,
)
from dilution.figures.claims import Claim, percent_interval
from dilution.figures.comparisons import accuracy_lines
from dilution.figures.paper_scale import LR_RULE, PAPER_SETTINGS, PROVISIONAL_LR, LrSearch
from dilution.report.style import ALPHA_LABEL, legend, new_figure, style
from dilution.study.statistics import intervals

LABELS = {str(size): str(size) for size in BATCH_SIZES} | {LIMIT: "∞ (Hα)"}


def _grids(base: dict[str, Any], n_examples: int, axes: dict[str, list[Any]]) -> Grids:
    """Return runs that train on the same number of examples (of images for Hα) at every batch size."""
    limit = {**base, "targets": "expected", "batch_size": REFERENCE, "steps": n_examples // REFERENCE}
    return [*_finite_grids(base, n_examples, axes), (limit, axes)]


def _finite_grids(base: dict[str, Any], n_examples: int, axes: dict[str, list[Any]]) -> Grids:
    """Return the same without Hα."""
    return [({**base, "batch_size": size, "steps": n_examples // size}, axes) for size in BATCH_SIZES]


def _paper(inputs: FigureInputs) -> Grids:
    """Return runs on equally many examples; at the largest α also on equally many steps, and decaying.

    The claims about steps and schedules are about the largest α alone.
    """
    base = {**paper_base(inputs), "lr": PROVISIONAL_LR}
    largest: dict[str, list[Any]] = {"alpha": [PAPER_ALPHAS[-1]]}
    decaying = {**base, "schedule": "linear"}
    equal_steps = [
        ({**base, "batch_size": size, "steps": PAPER_EXAMPLES // REFERENCE}, largest)
        for size in BATCH_SIZES
        if size != REFERENCE  # that one has equally many examples too
    ]
    return [
        *_grids(base, PAPER_EXAMPLES, {"alpha": list(PAPER_ALPHAS)}),
        *_finite_grids(decaying, PAPER_EXAMPLES, largest),
        *equal_steps,
    ]


def demo_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the demo preset."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(300, inputs.n_available), "n_evals": 4}


def laptop_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the laptop preset."""
    return {"model": "conv2", "optimizer": "adadelta", "n": min(1_000, inputs.n_available), "n_evals": 4}


def paper_base(inputs: FigureInputs) -> dict[str, Any]:
    """Return the settings that all runs of Figures 10 and 11 share at the paper preset, without steps."""
    base = {**PAPER_SETTINGS, "model": "conv2", "n": inputs.n_available}
    return {name: value for name, value in base.items() if name != "batch_size"}


DEMO_EXAMPLES, LAPTOP_EXAMPLES, PAPER_EXAMPLES = 25_600, 64_000, 24_000 * 128
DEMO_AXES: dict[str, list[Any]] = {"alpha": [0.0, 5.0], "lr": [0.1, 0.5]}
LAPTOP_AXES: dict[str, list[Any]] = {"alpha": [0.0, 20.0], "lr": list(LEARNING_RATES)}
PAPER_ALPHAS = (0.0, 5.0, 10.0, 20.0, 50.0, 100.0)

_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(
        lambda inputs: _grids(demo_base(inputs), DEMO_EXAMPLES, DEMO_AXES),
        "Demo preset: n = 300, α up to 5, 25,600 training examples per run at every batch size, the better "
        "of two learning rates by clean validation accuracy. The paper uses MNIST and four learning rates.",
    ),
    "laptop": Preset(
        lambda inputs: _grids(laptop_base(inputs), LAPTOP_EXAMPLES, LAPTOP_AXES),
        "Laptop preset: n = 1,000, α = 0 and 20, 64,000 training examples per run at every batch size (three "
        "passes at α = 20), Adadelta at the best of four learning rates by clean validation accuracy. The "
        "paper uses more clean examples and longer training.",
    ),
    "paper": Preset(
        _paper,
        "Paper preset: sampled targets (one label at a time), Adadelta at a constant learning rate, "
        f"{PAPER_EXAMPLES:,} training examples per run at every batch size. Further runs at the largest α "
        f"take {PAPER_EXAMPLES // REFERENCE:,} steps at every batch size, or a learning rate that falls "
        f"linearly to 0 over the last 70 % of the steps. {LR_RULE}",
        seeds=5,
        lr_search=LrSearch(),
    ),
}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean test accuracy per budget, schedule, batch size and alpha, and the best learning rate."""
    runs = compared_runs(table)
    lr = runs.groupby(BY)["lr"].first().rename("best_lr").reset_index()
    return intervals(runs, by=BY).merge(lr, on=BY)


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy against alpha, one line per batch size, one panel per budget and schedule."""
    panels = [
        (f"{budget}, {name}", part)
        for schedule, name in SCHEDULES.items()
        for budget in BUDGETS
        if len(part := points[(points["budget"] == budget) & (points["schedule"] == schedule)])
    ]
    columns = min(2, len(panels))
    with style():
        figure, axes = new_figure(columns=columns, rows=-(-len(panels) // columns), height=3.7)
        for axis, (title, part) in zip(axes, panels, strict=False):
            accuracy_lines(axis, part, "alpha", "batch", LABELS, offset=0.008)
            axis.set_title(title)
            axis.set_xlabel(ALPHA_LABEL if columns == 1 else "noise level α")
            axis.set_ylabel("test accuracy")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        legend(axes[0], title="batch size", loc="lower left")
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy of the smallest batch size, the largest and the limit at the largest alpha."""
    first = points[(points["budget"] == "equal examples") & (points["schedule"] == "constant")]
    if first.empty:
        return "No batch sizes with equal numbers of examples at a constant learning rate."
    last = first[first["alpha"] == first["alpha"].max()].set_index("batch")
    smallest, largest, limit = (
        percent_interval(*last.loc[name, ["mean", "low", "high"]].astype(float))
        for name in ("32", "256", LIMIT)
    )
    return (
        f"At equal numbers of examples test accuracy is {smallest} at batch size 32, {largest} at batch size "
        f"256 and {limit} in the limit of infinite batches (Hα), with {first['alpha'].max():g} noisy labels "
        "per clean label."
    )


_RISING_RULE = (
    "At the largest α the slope of accuracy per doubling of the batch size, fitted per seed, has a 95 % "
    "interval above 0, and from no batch size to the next does accuracy fall with its 95 % interval."
)

FIGURE = Figure(
    name="fig10",
    title="Accuracy against the noise level, by batch size",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(
        Claim(
            "fig10",
            "Larger batches are more robust to noise, at equal numbers of examples.",
            f"{_RISING_RULE} Every batch size trains on as many examples, at a constant learning rate.",
            lambda table: larger_is_better(table, "equal examples"),
        ),
        Claim(
            "fig10",
            "Larger batches are more robust to noise, at equal numbers of steps.",
            f"{_RISING_RULE} Every batch size takes as many steps, at a constant learning rate.",
            lambda table: larger_is_better(table, "equal steps"),
        ),
        Claim(
            "fig10",
            "The batch size matters less with a decaying learning rate (later work, not the paper).",
            "At the largest α and equal numbers of examples the slope of accuracy per doubling of the batch "
            "size is larger at a constant learning rate than at one that falls linearly: the difference, "
            "paired by seed, has a 95 % interval above 0.",
            decay_replaces_batch,
        ),
        Claim(
            "fig10",
            "In the limit of infinite batches, the loss Hα, accuracy hardly drops.",
            "At the largest α the drop from α = 0 with Hα is less than a quarter of the drop at batch size "
            "128: the difference, paired by seed, has a 95 % interval below 0. Equal numbers of examples, "
            "constant learning rate.",
            limit_hardly_drops,
        ),
    ),
    method="Noise is uniform, and the noisy labels are on the same images as the clean labels. Batch "
    "sizes are compared at equal numbers of examples, where a larger batch means fewer steps, and, where "
    "such runs exist, at equal numbers of steps, where it means more examples; at a constant learning rate, "
    "and at one that falls linearly to 0 over the last 70 % of the steps. Hα is the expected loss on clean "
    "images, which a batch with infinitely many labels per image would give; its batches hold "
    "128 images.\n\n"
    "For each batch size and α the learning rate is the one with the best clean validation accuracy. "
    f"{MEANS_OVER_SEEDS} {SELECTED_STEP}",
)
