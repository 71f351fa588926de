"""Beyond the paper: human label errors compared with random errors of the same noise rate."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.errors import InputError
from dilution.figures.base import (
    DEMO_N,
    MEANS_OVER_SEEDS,
    Figure,
    FigureInputs,
    Grids,
    Preset,
    PresetName,
)
from dilution.figures.claims import difference_interval, percent, percent_interval
from dilution.figures.paper_scale import PAPER_SETTINGS, PROVISIONAL_LR, LrSearch, describe, paper_steps
from dilution.noise import alpha_for_matrix
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, percent_axis, style
from dilution.study.statistics import best_lr, intervals, paired_p, rounding_deviation

NO_ERRORS, UNIFORM, CONDITIONAL, OBSERVED = "none", "uniform", "class-conditional", "observed"
ERRORS = (NO_ERRORS, UNIFORM, CONDITIONAL, OBSERVED)
GAP = "observed − class-conditional"
"""Row of the difference between the accuracies with observed and class-conditional errors, paired by seed."""

MEASURES = {
    "test_acc_at_best_clean_val": "at the best step by clean validation",
    "test_acc_last": "after the last step",
}


def _grids(inputs: FigureInputs, base: dict[str, Any], lrs: dict[str, list[Any]]) -> Grids:
    """Return runs on the same images with one label each: clean, uniform, class-conditional and observed."""
    noise = inputs.observed
    if noise is None:
        raise InputError(
            f"data set is {inputs.dataset!r}, which has no observed labels beside the true labels; this "
            "figure compares observed errors with random ones. Give --dataset cifar10n/worse, a file "
            "of labels such as --dataset cifar10#labels=theirs.npy, or your own data with noisy labels."
        )
    alpha, added = alpha_for_matrix(noise.transition_expected)
    base = {**base, "label_mode": "replaced"}
    if inputs.shape[1:] == (1, 1):
        base["model"] = "mlp2"  # rows of features have no neighbours to convolve
    random = {**base, "stratified": True}  # so that noise rates do not differ by chance
    return [
        ({**base, "alpha": 0.0}, lrs),
        ({**random, "eta": noise.noise_rate_empirical}, lrs),
        ({**random, "alpha": alpha, "noise": "matrix", "matrix": added.tolist()}, lrs),
        ({**base, "noise": "observed"}, lrs),
    ]


def _demo(inputs: FigureInputs) -> Grids:
    base = {"n": min(DEMO_N, inputs.n_available), "model": "conv2", "optimizer": "adam"}
    return _grids(
        inputs,
        {**base, "schedule": "linear", "lr": 1e-3, "batch_size": 64, "steps": 300, "n_evals": 10},
        {},
    )


def _laptop(inputs: FigureInputs) -> Grids:
    base = {"n": min(10_000, inputs.n_available), "model": "conv4", "optimizer": "adam", "lr": 1e-3}
    return _grids(inputs, {**base, "schedule": "linear", "steps": 2_000, "n_evals": 20}, {})


def _paper(inputs: FigureInputs) -> Grids:
    base = {**PAPER_SETTINGS, "lr": PROVISIONAL_LR, "n": inputs.n_available, "model": "conv6"}
    return _grids(inputs, {**base, "steps": paper_steps(inputs.n_available, 0.0)}, {})


_PRESETS: dict[PresetName, Preset] = {
    "demo": Preset(_demo, "Demo preset: Conv-2, Adam for 300 steps of 64 images at one learning rate."),
    "laptop": Preset(
        _laptop,
        "Laptop preset: Conv-4, Adam with a learning rate of 1e-3 that falls linearly to 0, 2,000 steps of "
        "128 images, which is 28 epochs at n = 10,000. No augmentation.",
    ),
    "paper": Preset(
        _paper, f"{describe()} Conv-6 on all images. No augmentation.", seeds=5, lr_search=LrSearch()
    ),
}


def _errors(run: pd.Series) -> str:
    """Return the kind of label errors of a run."""
    if run["noise"] == "observed":
        return OBSERVED
    if run["noise"] == "matrix":
        return CONDITIONAL
    return NO_ERRORS if run["alpha"] == 0 else UNIFORM


def aggregate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean accuracy per measure and kind of errors, and the paired difference of the last two kinds.

    Column ``noise_rate`` is the empirical noise rate. Column ``p`` is the p-value of a two-sided paired test,
    in the rows of the difference.
    """
    runs = best_lr(table.assign(errors=[_errors(run) for _, run in table.iterrows()]), by=["errors"])
    noise_rates = runs.groupby("errors")["noise_rate_empirical"].mean()
    parts = []
    for measure in MEASURES:
        means = intervals(runs, by=["errors"], value=measure)
        means = means.sort_values("errors", key=lambda names: names.map(ERRORS.index))
        means = means.assign(noise_rate=means["errors"].map(noise_rates))
        part = pd.concat([means, _gap(runs, measure)])
        part.insert(0, "measure", measure)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _gap(runs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return one row with the difference between observed and class-conditional errors over seeds."""
    numbers = runs.assign(**{measure: runs[measure].astype("float64")})
    seeds = numbers.pivot(index="seed", columns="errors", values=measure)
    gap = (seeds[OBSERVED] - seeds[CONDITIONAL]).rename("gap").to_frame()
    gap = gap.assign(errors=GAP, n_test=runs["n_test"].max())
    rounding = rounding_deviation(gap, "gap") or None
    p = paired_p(seeds[OBSERVED].tolist(), seeds[CONDITIONAL].tolist(), rounding=rounding)
    return intervals(gap, by=["errors"], value="gap").assign(p=2 * min(p, 1 - p))


def draw(points: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy per kind of errors, at the best step and after the last one."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        for index, (measure, label) in enumerate(MEASURES.items()):
            part = points[(points["measure"] == measure) & points["errors"].isin(ERRORS)]
            place = part["errors"].map(ERRORS.index) + 0.12 * (2 * index - 1)
            axis.errorbar(
                place,
                part["mean"],
                yerr=[part["mean"] - part["low"], part["high"] - part["mean"]],
                label=label,
                color=COLOURS[index],
                marker=MARKERS[index],
                linestyle="none",
                elinewidth=1.1,
                capsize=2.5,
            )
            shown = part.drop(columns=["measure", "p"])
            mark_points(axis, shown, place, part["mean"], label, COLOURS[index])
        axis.set_xticks(range(len(ERRORS)), ERRORS)
        axis.set_xlabel("label errors")
        axis.set_ylabel("test accuracy")
        axis.set_ylim(0, 1.02)
        axis.grid(visible=False, axis="x")
        percent_axis(axis)
        legend(axis)
    return figure


def summary(points: pd.DataFrame) -> str:
    """Return the accuracy for each kind of errors, and whether observed errors cost more than random ones."""
    rows = points.set_index(["measure", "errors"])
    bounds = ["mean", "low", "high"]
    best = rows.loc["test_acc_at_best_clean_val"]
    accuracy = {name: percent_interval(*best.loc[name, bounds].astype(float)) for name in ERRORS}
    noise_rates = best.loc[list(ERRORS[1:]), "noise_rate"].astype(float)
    wrong = " to ".join(dict.fromkeys(map(percent, (noise_rates.min(), noise_rates.max()))))
    return (
        f"Test accuracy is {accuracy[NO_ERRORS]} without label errors. With {wrong} wrong labels it is "
        f"{accuracy[UNIFORM]} if the errors are uniform, {accuracy[CONDITIONAL]} if they are "
        f"class-conditional and {accuracy[OBSERVED]} if they are the observed ones. "
        f"{_comparison(best.loc[GAP])} After the last step the difference is "
        f"{_signed(rows.loc[('test_acc_last', GAP)])}."
    )


def _comparison(gap: pd.Series) -> str:
    """Return what observed errors cost compared with class-conditional errors of the same matrix."""
    test = f"{_signed(gap)}, over {gap['seeds']:.0f} seeds"
    if pd.notna(gap["p"]):
        test += f" (paired, two-sided p = {gap['p']:.2g})"
    if not (gap["low"] > 0 or gap["high"] < 0):  # one seed gives no bounds
        return (
            "Observed errors and class-conditional errors of the same matrix do not differ significantly: "
            f"{test}."
        )
    more = "more" if gap["mean"] < 0 else "less"
    return (
        f"Observed errors cost {more} than class-conditional errors of the same matrix: accuracy differs by "
        f"{test}."
    )


def _signed(gap: pd.Series) -> str:
    return difference_interval(*gap[["mean", "low", "high"]].astype(float))


FIGURE = Figure(
    name="human_labels",
    title="Human label errors compared with random errors of the same noise rate",
    presets=_PRESETS,
    aggregate=aggregate,
    draw=draw,
    summary=summary,
    claims=(),
    method="Each image has one label. The noise rate and the transition matrix T[true, observed] are "
    "counted over all training images. Uniform errors are drawn at that rate, class-conditional errors "
    "from the row of the true class in T; both are stratified, so their counts are exact. Observed and "
    "class-conditional errors then differ only in which images of a class are wrong, apart from the "
    "sampling of the images. For one seed all labels are on the same images, and the same images are set "
    f"aside for validation; their true labels choose the step.\n\n{MEANS_OVER_SEEDS} The difference "
    "between observed and class-conditional errors is paired by seed. It was not predicted, so no claim "
    "is judged.",
)
