"""Beyond the paper: which quantity the noise threshold follows across class counts and kinds of noise."""

import math
from functools import partial

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dilution.figures.base import MEANS_OVER_SEEDS, SELECTED_STEP, Figure
from dilution.figures.claims import Claim, Judgement, decide, not_testable, percent
from dilution.figures.class_counts_runs import PRESETS
from dilution.figures.noise_explanations import EXPLANATIONS, Explanation, Floats, draw_errors, leave_one_out
from dilution.figures.noise_thresholds import CELL, noise_thresholds, runs_by_cell
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, MARKERS, QUIET, legend_outside, log_axis, new_figure, style
from dilution.study.pairs import mean_interval

LARGEST_ERROR = 1.5
"""Factor of 1 + α within which a quantity must predict thresholds to count as their explanation."""

LEAST_LEAD = 0.05
"""Difference of two errors of log(1 + α) that counts: the noise levels tried resolve no smaller ones."""

MIN_SHARE = 0.95
"""Share of the bootstrap draws that decides."""

_LEAST_SEEDS = 3
_MOST_CENSORED = 1 / 3  # of the thresholds may lie beyond the largest noise level


def _largest(runs: pd.DataFrame) -> float:
    """Return the largest noise level that all cells have."""
    return float(runs.groupby(CELL)["alpha"].max().min())


def _logs(thresholds: pd.DataFrame, largest: float) -> Floats:
    """Return log(1 + α) of thresholds; those beyond the largest noise level count as at it."""
    logs: Floats = np.log1p(thresholds.clip(upper=largest).to_numpy(dtype=np.float64))
    return logs


def _curves(thresholds: pd.DataFrame, largest: float) -> dict[str, Floats]:
    """Return the curves of each explanation for the cells of thresholds."""
    cells = [(int(classes), float(delta)) for classes, delta in thresholds]
    return {name: explanation.curves(cells, largest) for name, explanation in EXPLANATIONS.items()}


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return the threshold of each cell beside its prediction from all other cells, per explanation.

    Returns
    -------
    DataFrame
        Columns ``dataset``, ``explanation``, ``classes``, ``delta``; ``mean``, ``low``, ``high``, the noise
        level at the threshold with its interval over seeds, and ``seeds``; ``censored``, seeds whose
        threshold lies beyond the largest noise level, which count as at it; ``predicted``; ``value``, the
        quantity at the threshold. Without a lead over chance at α = 0 numbers are NaN.
    """
    runs = runs_by_cell(table)
    thresholds, largest = noise_thresholds(runs), _largest(runs)
    logs = pd.DataFrame(_logs(thresholds, largest), thresholds.index, thresholds.columns)
    means = logs.mean().to_numpy()
    rows = []
    for name, curves in _curves(thresholds, largest).items():
        # all cells predict each other, so that one that learned nothing leaves none
        known = not np.isnan(means).any() and len(means) > 1
        predicted = leave_one_out(means[None], curves)[0] if known else np.full(len(means), math.nan)
        for cell, log_alpha, mean in zip(thresholds, predicted, means, strict=True):
            classes, delta = int(cell[0]), float(cell[1])
            interval = mean_interval(logs[cell])
            bounds = (interval.value, interval.low, interval.high, log_alpha)
            alpha, low, high, alone = (math.expm1(bound) for bound in bounds)
            censored = int(np.isinf(thresholds[cell]).sum())
            value = float(EXPLANATIONS[name].at(np.expm1(np.array([mean])), classes, delta)[0])
            seeds = int(logs[cell].notna().sum())
            rows.append((name, classes, delta, alpha, low, high, seeds, censored, alone, value))
    columns = ["explanation", *CELL, "mean", "low", "high", "seeds", "censored", "predicted", "value"]
    points = pd.DataFrame(rows, columns=columns)
    points.insert(0, "dataset", str(table["dataset"].iloc[0]).rpartition("classes=")[0].rstrip("#,"))
    return points


def typical_factor(points: pd.DataFrame) -> float:
    """Return by which factor of 1 + α predictions are off: the exponential of the root mean squared error."""
    errors = np.log1p(points["mean"]) - np.log1p(points["predicted"])
    return math.exp(math.sqrt(float((errors**2).mean())))


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw predicted against measured thresholds, one panel per explanation, on logarithmic axes."""
    known = points[(points["mean"] > 0) & (points["predicted"] > 0)]
    ends = np.array([known[["mean", "predicted"]].min().min(), known[["mean", "predicted"]].max().max()])
    ends = np.array([1.0, 10.0]) if np.isnan(ends).any() else ends * (1 / 1.6, 1.6)
    with style():
        figure, axes = new_figure(columns=2, rows=2, height=3.2)
        for axis, explanation in zip(axes, EXPLANATIONS.values(), strict=True):
            part = points[points["explanation"] == explanation.name]
            axis.plot(ends, ends, color=QUIET, linewidth=0.9, linestyle=":", zorder=0)
            _cells(axis, part)
            axis.set_xlim(*ends)
            axis.set_ylim(*ends)
            log_axis(axis, "x")
            log_axis(axis, "y")
            factor = typical_factor(part)
            off = "" if math.isnan(factor) else f": off by {factor:.2f} ×"
            axis.set_title(f"{explanation.title}{off}")
            axis.set_xlabel("measured threshold α")
            axis.set_ylabel("predicted threshold α")
        legend_outside(figure, title="classes, noise")
    return figure


def _cells(axis: Axes, part: pd.DataFrame) -> None:
    """Draw the cells of a panel: a colour per number of classes, a marker per skew, hollow if censored."""
    counts, deltas = sorted(part["classes"].unique()), sorted(part["delta"].unique())
    for (classes, delta), rows in part.groupby(CELL):
        row = rows.iloc[0]
        colour = COLOURS[counts.index(classes) % len(COLOURS)]
        label = f"{classes:,}, {_kind(delta)}"
        bars = None if math.isnan(row["low"]) else [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        axis.errorbar(
            [row["mean"]],
            [row["predicted"]],
            xerr=bars,
            label=label,
            color=colour,
            marker=MARKERS[deltas.index(delta) % len(MARKERS)],
            linestyle="none",
            markerfacecolor="white" if row["censored"] else colour,
            markeredgecolor=colour if row["censored"] else "white",
            elinewidth=1.1,
            capsize=2.5,
        )
        mark_points(axis, rows, rows["mean"], rows["predicted"], label, colour)


def _kind(delta: float) -> str:
    return f"δ = {delta:g}" if delta else "uniform"


def summary(points: pd.DataFrame) -> str:
    """Return the range of the thresholds, and how far predictions through each quantity are off."""
    cells = points.drop_duplicates(CELL)
    if cells["mean"].isna().any():
        lost = cells[cells["mean"].isna()]
        names = "; ".join(f"{row.classes} classes, {_kind(row.delta)}" for row in lost.itertuples())
        return f"Without noise the network has no lead over chance of 5 points: {names}."
    low, high = cells.loc[cells["mean"].idxmin()], cells.loc[cells["mean"].idxmax()]
    ends = [f"α = {_alpha(row)} ({row['classes']} classes, {_kind(row['delta'])})" for row in (low, high)]
    factors = {name: typical_factor(part) for name, part in points.groupby("explanation", sort=False)}
    ordered = sorted(factors.items(), key=lambda item: item[1])
    errors = ", ".join(f"{factor:.2f} for the {EXPLANATIONS[str(name)].title}" for name, factor in ordered)
    censored = int((cells["censored"] > 0).sum())
    note = (
        f" {censored} of {len(cells)} thresholds lie beyond the largest α in some seed." if censored else ""
    )
    return (
        f"Half of the lead over chance is lost at {ends[0]} to {ends[1]}. Predicted from all other cells by "
        f"one value of a quantity, thresholds (1 + α) are off by a typical factor of {errors}.{note}"
    )


def _alpha(row: pd.Series) -> str:
    sign = "at least " if row["censored"] else ""
    return f"{sign}{row['mean']:.3g}" + (
        "" if math.isnan(row["low"]) else f" [{row['low']:.3g}, {row['high']:.3g}]"
    )


def _draw_errors(table: pd.DataFrame) -> tuple[dict[str, Floats], float] | Judgement:
    """Return the errors of all explanations and the share of censored thresholds, or why there are none."""
    runs = runs_by_cell(table)
    thresholds, largest = noise_thresholds(runs), _largest(runs)
    counts, deltas = (thresholds.columns.get_level_values(name).nunique() for name in CELL)
    if counts < 2 or deltas < 2 or len(thresholds.dropna()) < _LEAST_SEEDS:
        return not_testable(
            "requires two numbers of classes and two kinds of noise, a lead over chance of 5 points at α = 0 "
            f"in every cell, and at least {_LEAST_SEEDS} seeds"
        )
    thresholds = thresholds.dropna()
    censored = float(np.isinf(thresholds).to_numpy().mean())
    if censored > _MOST_CENSORED:
        return not_testable(f"{percent(censored)} of the thresholds lie beyond the largest α")
    return draw_errors(_logs(thresholds, largest), _curves(thresholds, largest)), censored


def _judge(explanation: str, drawn: tuple[dict[str, Floats], float] | Judgement) -> Judgement:
    """Return whether one explanation predicts thresholds best and well."""
    if isinstance(drawn, Judgement):
        return drawn
    errors, censored = drawn
    others = np.min([error for name, error in errors.items() if name != explanation], axis=0)
    good = errors[explanation] <= math.log(LARGEST_ERROR)
    best = float((good & (errors[explanation] <= others - LEAST_LEAD)).mean())
    possible = float((good & (errors[explanation] < others + LEAST_LEAD)).mean())
    factors = ", ".join(
        f"{math.exp(float(np.median(errors[name]))):.2f} for the {EXPLANATIONS[name].title}"
        for name in errors
    )
    numbers = (
        f"it predicts best in {percent(best)} of the draws and is not behind in {percent(possible)}, within "
        f"a factor of {LARGEST_ERROR:g}; median factors are {factors}; {percent(censored)} of the "
        "thresholds lie beyond the largest α"
    )
    if best < MIN_SHARE and possible > 1 - MIN_SHARE:
        return not_testable(f"not decided: {numbers}")
    return decide(best >= MIN_SHARE, numbers)


_RULE = (
    "From the thresholds of all other numbers of classes and kinds of noise, the one value of the quantity "
    "that fits them best predicts each threshold. In at least 95 % of bootstrap draws (of k − 1 of the k "
    "seeds and of the cells, with replacement) the root mean squared error of log(1 + α) is at most log 1.5 "
    "and smaller than that of each other quantity by 0.05. It is not reproduced if in at most 5 % of the "
    "draws the error is at most log 1.5 and not larger than the smallest other one by 0.05, and not decided "
    "otherwise."
)
_SENTENCES = {
    "alpha": "The noise level at which learning fails is one number of noisy labels per clean one, whatever "
    "the number of classes and the kind of noise.",
    "noise_rate": "Learning fails at one noise rate, whatever the number of classes and the kind of noise.",
    "margin": "Learning fails at one margin between the shares of the right label and of the most frequent "
    "wrong one, whatever the number of classes and the kind of noise.",
    "ratio": "Learning fails at one ratio of the right label to the most frequent wrong one, whatever the "
    "number of classes and the kind of noise.",
}


def _claim(explanation: Explanation) -> Claim:
    sentence = _SENTENCES[explanation.name]
    return Claim("class_counts", sentence, _RULE, partial(_judge, explanation.name), _draw_errors)


FIGURE = Figure(
    name="class_counts",
    title="What the noise threshold follows when the number of classes changes",
    presets=PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=tuple(map(_claim, EXPLANATIONS.values())),
    method="This figure is not in the paper; its claims are ours. Each number of classes K takes the first K "
    "classes of the data, with equally many examples per class, and noise of three kinds: uniform, and "
    "structured with δ = 0.5 and 0.8 in a random order of the false classes. The threshold is the α from "
    "which on less than half of the lead over chance (1/K) at α = 0 is left, interpolated per seed in log(1 "
    "+ α). A cell, one K and one kind of noise, is predicted from all other cells: the value of the quantity "
    "that fits their thresholds best gives its α. The dotted line is a perfect prediction; hollow markers "
    "have seeds whose threshold lies beyond the largest α, which counts for it, as it does for predictions "
    "beyond. Bars are 95 % Student t intervals over seeds in log(1 + α). With more classes the task is "
    "harder and there are more examples in all, so that a threshold may follow none of these quantities. In "
    "simulated thresholds with a scatter of 15 % between seeds and 15 % between cells, three seeds recognise "
    "the quantity that they follow in nine of ten studies, and never another one; noise rate and α are hard "
    f"to tell apart from 10 classes on.\n\n{MEANS_OVER_SEEDS.partition(' Bars')[0]} {SELECTED_STEP}",
    as_percent=False,
)
