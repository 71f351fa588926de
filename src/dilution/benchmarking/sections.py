"""Sections of a benchmark's page beside its accuracies: ranks, cost, noise, published numbers."""

import math
from pathlib import Path

import pandas as pd

from dilution.benchmarking.explain import by_noisy_validation, points_text
from dilution.benchmarking.methods import REFERENCE
from dilution.benchmarking.plots import draw_ranks
from dilution.benchmarking.result import Benchmark
from dilution.benchmarking.tables import MEASURES
from dilution.benchmarking.transitions import draw_transitions
from dilution.report.marks import Plot
from dilution.report.section import Section
from dilution.report.style import publish
from dilution.report.tables import MISSING
from dilution.utils.estimate import Estimate


def rank_table(result: Benchmark) -> pd.DataFrame:
    """Return the mean ranks, one row per measure and method, the best first."""
    rows = [
        (measure, name, rank, len(ranks.noises), ranks.critical_difference, ranks.p)
        for measure, ranks in result.ranks.items()
        for name, rank in ranks.mean_ranks.items()
    ]
    columns = ["measure", "method", "mean_rank", "noises", "critical_difference", "friedman_p"]
    return pd.DataFrame(rows, columns=columns)


def rank_section(result: Benchmark, folder: Path) -> Section:
    """Return the section of mean ranks, and write its plot."""
    ranks = result.ranks.get("last")
    plot = _NO_PLOT
    if ranks is not None:
        plot = publish(draw_ranks(ranks, result.titles, MEASURES["last"]), folder, "ranks")
    tests = "; ".join(
        f"{MEASURES[measure]} Friedman's test that all methods rank alike has p = {part.p:.2g}, and the "
        f"critical difference is {part.critical_difference:.2f} ranks"
        for measure, part in result.ranks.items()
    )
    chosen = by_noisy_validation(result.differences, result.ranks, result.titles)
    return Section(
        name="ranks",
        title="Mean ranks of the methods over the noises",
        summary=f"{tests[:1].upper()}{tests[1:]}. {chosen}".rstrip()
        if tests
        else "At no noise have all methods runs, and at least two differ.",
        svg=plot.svg,
        marks=plot.marks,
        caption="Methods joined by a bar have mean ranks that differ by less than the critical difference.",
        method="At each noise the methods are ranked by mean accuracy over the seeds; equal accuracies share "
        "their mean rank. Friedman's test and Nemenyi's critical difference at 5 % (Demšar 2006, "
        "Statistical Comparisons of Classifiers over Multiple Data Sets) take the noises in place of data "
        "sets. Noises of one kind at several rates are not independent, and a rank does not say by how much "
        "a method is ahead: see the differences above.",
        claims=pd.DataFrame(),
        points=_ranks_side_by_side(result),
        points_title="Mean ranks (1 is the best)",
        runs=pd.DataFrame(),
        as_percent=False,
        notes=plot.notes,
    )


_NO_PLOT = Plot("", ())


def _ranks_side_by_side(result: Benchmark) -> pd.DataFrame:
    """Return one row per method with its mean rank by each measure."""
    columns = {f"mean rank {MEASURES[measure]}": ranks.mean_ranks for measure, ranks in result.ranks.items()}
    if not columns:
        return pd.DataFrame()
    order = next(iter(columns.values())).index
    table = pd.DataFrame({name: ranks.round(2) for name, ranks in columns.items()}).reindex(order)
    table.insert(0, "method", [result.titles[name] for name in table.index])
    return table.reset_index(drop=True)


def cost_section(result: Benchmark) -> Section:
    """Return the section of seconds per training."""
    costs, titles = result.costs, result.titles
    bounds = [_seconds_text(seconds) for seconds in (costs["seconds"].min(), costs["seconds"].max())]
    span = " to ".join(dict.fromkeys(bounds))
    summary = f"A training takes {span} s."
    others = costs[(costs["method"] != REFERENCE) & costs["times_reference"].notna()]
    if len(others):
        most = others.loc[others["times_reference"].idxmax()]
        name = titles[most["method"]]
        summary += (
            f" {name[:1].upper()}{name[1:]} takes the most of the others, {most['times_reference']:.2f} "
            f"times the time of {titles[REFERENCE]} ({most['times_least']:.2f} to {most['times_most']:.2f} "
            "over the noises)."
        )
    shown = pd.DataFrame(
        {
            "method": costs["method"].map(titles),
            "seconds per training": costs["seconds"].round(3),
            f"times {titles[REFERENCE]}": costs["times_reference"].round(2),
            "ratio, least to most over noises": [
                MISSING if math.isnan(least) else f"{least:.2f} to {most:.2f}"
                for least, most in zip(costs["times_least"], costs["times_most"], strict=True)
            ],
            "models trained together": costs["models_together"].round(1),
            "device": costs["device"],
        }
    )
    return Section(
        name="cost",
        title="What each method costs",
        summary=summary,
        svg="",
        caption="Wall time of the trainings, evaluations included; other load on the machine is in it, so "
        "that ratios between losses may be those of the load.",
        method="Models that train together each have an equal share of their time. All methods take the same "
        "number of steps of as many examples.",
        claims=pd.DataFrame(),
        points=shown,
        points_title="Seconds per training",
        runs=pd.DataFrame(),
        as_percent=False,
    )


def _seconds_text(seconds: float) -> str:
    """Return seconds with two digits, or all before the decimal point."""
    return f"{seconds:.2g}" if seconds < 99.5 else f"{seconds:.0f}"


def noise_section(result: Benchmark, folder: Path) -> Section:
    """Return the section of the noise that was asked for and delivered, and write its plot."""
    rates = result.noise_rates
    drawn = draw_transitions(result)
    plot = _NO_PLOT if drawn is None else publish(drawn, folder, "noise")
    shown = pd.DataFrame(
        {
            "noise": rates["noise"].map(result.titles),
            "asked for": rates["asked"],
            "wrong labels expected (%)": (100 * rates["expected"]).round(2),
            "delivered (%)": (100 * rates["delivered"]).round(2),
            "least to most of the seeds (%)": [
                f"{100 * low:.2f} to {100 * high:.2f}"
                for low, high in zip(rates["least"], rates["most"], strict=True)
            ],
            "setting": rates["setting"],
        }
    )
    return Section(
        name="noise",
        title="Noise asked for and noise delivered",
        summary="The rate in the name of a noise is the nominal one of papers; the share of wrong labels may "
        "be another.",
        svg=plot.svg,
        marks=plot.marks,
        notes=plot.notes,
        caption="Delivered noise is counted over the labels of the training images. The matrices are T[true, "
        "noisy], counted over all labels of the first seed, from white (0) to blue (1), and grey for a class "
        "without images; transitions.csv has them in numbers, beside what the noise is expected to give.",
        method="Symmetric noise draws from all classes, the true one included, as in DivideMix; so even a "
        "nominal rate of 90 % leaves the true class the most frequent one. Noise that never draws the true "
        "class is called symmetric too, with its rate in brackets.",
        claims=pd.DataFrame(),
        points=shown,
        points_title="Shares of wrong labels",
        runs=pd.DataFrame(),
        as_percent=False,
    )


def published_section(result: Benchmark) -> Section:
    """Return the section of published numbers beside the measured ones."""
    rows = result.published.to_dict("records")
    shown = pd.DataFrame(
        {
            "noise": [result.titles[row["noise"]] for row in rows],
            "method": [result.titles[row["method"]] for row in rows],
            "published (%)": [f"{100 * row['published']:.1f}" for row in rows],
            "measured (%)": [
                Estimate(row["mean"], row["low"], row["high"]).percent().replace(" %", "") for row in rows
            ],
            "source": [row["source"] for row in rows],
        }
    )
    several = len({row["method"] for row in rows}) > 1
    gaps = tuple(
        (f"{result.titles[row['method']]}, " if several else "")
        + f"{result.titles[row['noise']]} {points_text(_gap(row))}"
        for row in rows
    )
    return Section(
        name="published",
        title="Published numbers beside the measured ones",
        summary="Measured after the last step minus published:",
        findings=gaps,
        svg="",
        caption="Numbers of papers for the same data, kind of network and noise; optimizer, schedule and "
        "number of epochs may differ, and details of the network where the source says so.",
        method="A number is shown only beside trainings on all training images, with a network of the same "
        "name and the same definition of the noise. A published number has no interval here.",
        claims=pd.DataFrame(),
        points=shown,
        points_title="Test accuracy after the last step",
        runs=pd.DataFrame(),
        as_percent=False,
    )


def _gap(row: dict[str, float]) -> Estimate:
    """Return measured minus published; a published number has no interval."""
    return Estimate(*(row[name] - row["published"] for name in ("mean", "low", "high")))
