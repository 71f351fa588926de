"""Beyond the paper: label errors of people beside uniform and class-conditional ones of the same rate."""

from typing import Any

import matplotlib.figure
import pandas as pd

from dilution.errors import InputError
from dilution.figures.base import (
    FIRST_CONTACT,
    PAPER,
    RATES,
    Figure,
    Grids,
    Material,
    PresetName,
    Scale,
)
from dilution.figures.claims import difference_interval, percent, percent_interval
from dilution.noise import alpha_for_matrix
from dilution.report.marks import mark_points
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, percent_axis, style
from dilution.study.selection import best_lr
from dilution.study.statistics import intervals, paired_p

CLEAN, UNIFORM, CONDITIONAL, OBSERVED = "none", "uniform", "class-conditional", "observed"
ERRORS = (CLEAN, UNIFORM, CONDITIONAL, OBSERVED)
APART = "observed − class-conditional"
"""The difference between the accuracies of the last two, paired by seed."""

MEASURES = {
    "test_acc_at_best_clean_val": "at the step that clean validation chose",
    "test_acc_last": "after the last step",
}


def _grids(material: Material, base: dict[str, Any], rates: dict[str, list[Any]]) -> Grids:
    """Return runs on the same images, one label each: clean, as observed, and two kinds of drawn errors."""
    seen = material.observed
    if seen is None:
        raise InputError(
            f"data set is {material.dataset!r}, which has no observed labels beside the true ones; this "
            "figure compares their errors with drawn ones. Give --dataset cifar10n/worse, or data of your "
            "own with noisy labels."
        )
    alpha, added = alpha_for_matrix(seen.transition_expected)
    base = {**base, "label_mode": "replaced"}
    if material.shape[1:] == (1, 1):
        base["model"] = "mlp2"  # rows of features have no neighbours to convolve
    drawn = {**base, "stratified": True}  # so that chance does not make their rates differ
    return [
        ({**base, "alpha": 0.0}, rates),
        ({**drawn, "eta": seen.noise_rate_empirical}, rates),
        ({**drawn, "alpha": alpha, "noise": "matrix", "matrix": added.tolist()}, rates),
        ({**base, "noise": "observed"}, rates),
    ]


def _demo(material: Material) -> Grids:
    base = {"n": min(FIRST_CONTACT, material.size), "model": "conv2", "optimizer": "adam"}
    return _grids(
        material,
        {**base, "schedule": "linear", "lr": 1e-3, "batch_size": 64, "steps": 300, "n_evals": 10},
        {},
    )


def _laptop(material: Material) -> Grids:
    base = {"n": min(10_000, material.size), "model": "conv4", "optimizer": "adam", "lr": 1e-3}
    return _grids(material, {**base, "schedule": "linear", "steps": 2_000, "n_evals": 20}, {})


def _paper(material: Material) -> Grids:
    base = {**PAPER, "n": material.size, "model": "conv6"}
    return _grids(material, base, {"lr": list(RATES)})


_PRESETS: dict[PresetName, Scale] = {
    "demo": Scale(_demo, "Demo scale: Conv-2, Adam for 300 steps of 64 images at one learning rate."),
    "laptop": Scale(
        _laptop,
        "Laptop scale: Conv-4, Adam at 1e-3 falling linearly to 0 for 2,000 steps of 128 images, which at "
        "n = 10,000 is 28 epochs. No augmentation.",
    ),
    "paper": Scale(
        _paper,
        "Paper scale: Conv-6 on all images, Adadelta, batch 128, 50,000 steps, the best of four learning "
        "rates on clean validation data. No augmentation.",
        seeds=5,
    ),
}


def _errors(run: pd.Series) -> str:
    """Say which errors the labels of a run have."""
    if run["noise"] == "observed":
        return OBSERVED
    if run["noise"] == "matrix":
        return CONDITIONAL
    return CLEAN if run["alpha"] == 0 else UNIFORM


def points(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean accuracy by measure and kind of errors, and the paired difference of the last two kinds.

    Column ``rate`` is the noise rate delivered; ``p``, of the difference, that of a two-sided paired test.
    """
    labelled = best_lr(table.assign(errors=[_errors(run) for _, run in table.iterrows()]), by=["errors"])
    rates = labelled.groupby("errors")["noise_rate_empirical"].mean()
    parts = []
    for measure in MEASURES:
        found = intervals(labelled, by=["errors"], value=measure)
        found = found.sort_values("errors", key=lambda names: names.map(ERRORS.index))
        both = pd.concat([found.assign(lr=found["errors"].map(rates)), _apart(labelled, measure)])
        both.insert(0, "measure", measure)
        parts.append(both)
    return pd.concat(parts, ignore_index=True)


def _apart(labelled: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the difference of observed and class-conditional errors over seeds, in one row."""
    numbers = labelled.assign(**{measure: labelled[measure].astype("float64")})
    seeds = numbers.pivot(index="seed", columns="errors", values=measure)
    apart = (seeds[OBSERVED] - seeds[CONDITIONAL]).rename("apart").to_frame()
    apart = apart.assign(errors=APART, n_test=labelled["n_test"].max())
    less = paired_p(seeds[OBSERVED].tolist(), seeds[CONDITIONAL].tolist())
    return intervals(apart, by=["errors"], value="apart").assign(p=2 * min(less, 1 - less))


def draw(found: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw accuracy by kind of errors, at the step chosen and after the last."""
    with style():
        figure, (axis,) = new_figure(height=3.7)
        for index, (measure, label) in enumerate(MEASURES.items()):
            part = found[(found["measure"] == measure) & found["errors"].isin(ERRORS)]
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
        axis.set_xlabel("errors of the labels")
        axis.set_ylabel("test accuracy")
        axis.set_ylim(0, 1.02)
        axis.grid(visible=False, axis="x")
        percent_axis(axis)
        legend(axis)
    return figure


def finding(found: pd.DataFrame) -> str:
    """Say what each kind of errors leaves, and whether observed ones cost more than drawn ones."""
    rows = found.set_index(["measure", "errors"])
    bounds = ["mean", "low", "high"]
    left = [
        percent_interval(*rows.loc[("test_acc_at_best_clean_val", name), bounds].astype(float))
        for name in ERRORS
    ]
    rates = rows.loc["test_acc_at_best_clean_val"].loc[list(ERRORS[1:]), "lr"].astype(float)
    wrong = " to ".join(dict.fromkeys(map(percent, (rates.min(), rates.max()))))
    return (
        f"Without errors {left[0]} of the test images are named rightly. With {wrong} of the "
        f"labels wrong it is {left[1]} if errors are uniform, {left[2]} if they are class-conditional and "
        f"{left[3]} if they are those observed. {_compared(rows.loc[('test_acc_at_best_clean_val', APART)])} After the last "
        f"step that difference is {_signed(rows.loc[('test_acc_last', APART)])}."
    )


def _compared(apart: pd.Series) -> str:
    """Say what observed errors cost beside class-conditional ones of the same matrix."""
    test = f"{_signed(apart)}, over {apart['seeds']:.0f} seeds"
    if pd.notna(apart["p"]):
        test += f" (paired, two-sided p = {apart['p']:.2g})"
    if not (apart["low"] > 0 or apart["high"] < 0):  # with one seed there are no bounds
        return (
            "Observed errors and class-conditional ones of the same matrix show no difference beyond chance: "
            f"{test}."
        )
    more = "more" if apart["mean"] < 0 else "less"
    return f"Observed errors cost {more} than class-conditional ones of the same matrix: accuracy {test}."


def _signed(apart: pd.Series) -> str:
    return difference_interval(*apart[["mean", "low", "high"]].astype(float))


FIGURE = Figure(
    name="human",
    title="Label errors as people make them, beside drawn ones of the same rate",
    scales=_PRESETS,
    points=points,
    draw=draw,
    finding=finding,
    claims=(),
    method="Each image has one label. Rate and matrix T[true, observed] are counted over all training "
    "images; uniform errors are drawn at that rate, class-conditional ones from the row of the true class "
    "in T, both stratified, so that their counts are exact. Observed and class-conditional errors then "
    "differ in which images of a class are wrong, and in nothing else but the chance of which images are "
    "taken. All labels of a seed are on the same images, with the same ones set aside for validation, "
    "whose true labels choose the step.\n\nPoints are means over seeds, bars 95 % Student t intervals. The "
    "difference between observed and class-conditional errors is taken seed by seed. Nothing was predicted "
    "of it, so no claim is judged.",
)
