"""Memorisation in a benchmark: which share of the wrong training labels each method predicts at the end."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dilution.benchmarking.explain import list_names
from dilution.benchmarking.methods import REFERENCE
from dilution.benchmarking.plots import draw_means, legend_above, new_panels
from dilution.benchmarking.result import Benchmark
from dilution.benchmarking.tables import leaders
from dilution.report.marks import mark_points
from dilution.report.memorisation import SHARES
from dilution.report.section import Section
from dilution.report.style import COLOURS, publish, style
from dilution.report.tables import MISSING
from dilution.study.statistics import intervals
from dilution.training.memorisation import EXAMPLES
from dilution.utils.estimate import Estimate

_LOOKS = {"memorised": ("o", COLOURS[1]), "recovered": ("^", COLOURS[0])}


def memorisation(result: Benchmark) -> pd.DataFrame:
    """Return what is predicted for wrongly labelled training images after the last step.

    Parameters
    ----------
    result
        The benchmark. Methods that stop early have no row: their runs go on after the step that they choose.

    Returns
    -------
    DataFrame
        ``share`` (a key of :data:`dilution.report.memorisation.SHARES`), ``noise``, ``method``, ``mean`` in
        [0, 1], ``low``, ``high`` (95 % by Student's t over seeds, not clipped), ``seeds``; empty if it was
        not measured, as without wrong labels.
    """
    stops_early = [method.name for method in result.methods if method.stops_early]
    runs = result.runs[~result.runs["method"].isin(stops_early) & (result.runs["state"] == "done")]
    columns = ["share", "noise", "method", "mean", "low", "high", "seeds"]
    parts = [pd.DataFrame(columns=columns)]
    for share in SHARES:
        values = pd.to_numeric(runs[f"{share}_last"]).astype("float64")
        # a share is a multiple of 1/EXAMPLES, or of more, as an accuracy is one of 1/n_test
        known = runs.assign(share=share, value=values, n_test=EXAMPLES).dropna(subset=["value"])
        if len(known):
            parts.append(intervals(known, by=["share", "noise", "method"], value="value")[columns])
    points = pd.concat(parts[1:] or parts, ignore_index=True)
    noises, methods = result.runs["noise"].unique(), result.runs["method"].unique()
    places = {name: place for place, name in enumerate([*noises, *methods])}
    order = points.assign(
        share=points["share"].map({share: place for place, share in enumerate(SHARES)}),
        noise=points["noise"].map(places),
        method=points["method"].map(places),
    ).sort_values(["share", "noise", "method"])
    return points.loc[order.index].reset_index(drop=True)


def memorisation_section(result: Benchmark, points: pd.DataFrame, folder: Path) -> Section:
    """Return the section on memorisation, and write its plot.

    Parameters
    ----------
    result
        The benchmark.
    points
        As from :func:`memorisation`, with a row or more.
    folder
        Folder for the plot.

    Raises
    ------
    DilutionError
        If the plot cannot be written.
    """
    plot = publish(_draw(points, result), folder, "memorisation")
    return Section(
        name="memorisation",
        title="What is predicted for wrongly labelled training images",
        summary=_summary(points, result),
        svg=plot.svg,
        marks=plot.marks,
        caption="Up to 1,000 training examples with wrong labels, after the last step; means with 95 % "
        "intervals over seeds. The two shares of one example exclude each other, and the rest is predicted "
        "as a third class.",
        method=_METHOD + (_STOPS_EARLY if any(method.stops_early for method in result.methods) else ""),
        claims=pd.DataFrame(),
        points=_grid(points, result),
        points_title=" / ".join(SHARES.values()).capitalize() + ", in percent",
        runs=pd.DataFrame(),
        as_percent=False,
        notes=plot.notes,
    )


_METHOD = (
    "A wrong label may be predicted without having been learned: where wrong labels are spread evenly over "
    "k classes by a model that knows nothing in 1 of k cases, and where one class is labelled as another one "
    "also for images that it has not seen. Diverged runs are left out."
)
_STOPS_EARLY = (
    " Early stopping has no row: its runs are those of cross entropy, which go on after the step that it "
    "chooses."
)


def _summary(points: pd.DataFrame, result: Benchmark) -> str:
    """Return where cross entropy predicts the most wrong labels, and which method the fewest there."""
    titles = result.titles
    memorised = points[points["share"] == "memorised"]
    reference = memorised[memorised["method"] == REFERENCE]
    most = (reference if len(reference) else memorised).sort_values("mean").iloc[-1]
    noise, method = most["noise"], titles[most["method"]]
    several = memorised["noise"].nunique() > 1
    sentences = [
        f"With {titles[noise]} {method} predicts {_share(most)} of the wrong labels after the last step"
        + (", on average more than with any other noise" if several else "")
        + f"{_recovered(points, most)}."
    ]
    fewest, tied = _fewest(result, noise, memorised.loc[memorised["noise"] == noise, "method"].tolist())
    if fewest != most["method"]:
        least = memorised[(memorised["noise"] == noise) & (memorised["method"] == fewest)].iloc[0]
        apart = f", not told apart from {list_names([titles[name] for name in tied])}" if tied else ""
        sentences.append(
            f"Of the methods there, {titles[fewest]} predicts the fewest, {_share(least)}"
            f"{_recovered(points, least)}{apart}."
        )
    return " ".join(sentences)


def _fewest(result: Benchmark, noise: str, methods: list[str]) -> tuple[str, list[str]]:
    """Return the method that predicts the fewest wrong labels, and those not told apart from it."""
    runs = result.runs[(result.runs["noise"] == noise) & result.runs["method"].isin(methods)]
    shares = pd.to_numeric(runs["memorised_last"]).astype("float64").where(runs["state"] == "done")
    (row,) = leaders(runs.assign(fewest=-shares, n_test=EXAMPLES), "fewest").to_dict("records")
    return row["method"], row["tied"]


def _recovered(points: pd.DataFrame, row: pd.Series) -> str:
    """Return the true classes that are predicted instead, as the end of a clause; empty if not measured."""
    same = (points["noise"] == row["noise"]) & (points["method"] == row["method"])
    recovered = points[same & (points["share"] == "recovered")]
    return f", and the true class of {_share(recovered.iloc[0])}" if len(recovered) else ""


def _share(row: pd.Series) -> str:
    estimate = Estimate(float(row["mean"]), float(row["low"]), float(row["high"]))
    return estimate.percent().replace("-", "−")


def _grid(points: pd.DataFrame, result: Benchmark) -> pd.DataFrame:
    """Return a table as text: one row per method, one column per noise."""
    titles = result.titles
    cells: dict[str, dict[str, list[str]]] = {name: {} for name in points["method"].unique()}
    for row in points.to_dict("records"):
        cells[row["method"]].setdefault(titles[row["noise"]], []).append(f"{100 * row['mean']:.1f}")
    noises = [titles[noise] for noise in points["noise"].unique()]
    rows = [
        {"method": titles[name]} | {noise: " / ".join(row.get(noise, [MISSING])) for noise in noises}
        for name, row in cells.items()
    ]
    return pd.DataFrame(rows)


def _draw(points: pd.DataFrame, result: Benchmark) -> Figure:
    """Draw one panel per noise, with both shares of each method."""
    noises, methods = list(points["noise"].unique()), list(points["method"].unique())
    with style():
        figure, axes = new_panels(noises, methods, result.titles, "share of wrongly labelled images")
        for axis, noise in zip(axes, noises, strict=True):
            for share, (marker, colour) in _LOOKS.items():
                part = points[(points["noise"] == noise) & (points["share"] == share)]
                y = [methods.index(name) for name in part["method"]]
                draw_means(axis, part, y, marker, colour)
                mark_points(axis, part, part["mean"], y, SHARES[share], colour)
            axis.set_xlim(-0.02, 1.02)
            axis.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
        for share, (marker, colour) in _LOOKS.items():
            axes[0].plot([], [], marker, color=colour, label=SHARES[share])
        legend_above(axes[0])
    return figure
