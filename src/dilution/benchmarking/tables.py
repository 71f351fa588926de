"""The tables of a benchmark, computed from its runs: accuracies, paired differences, cost, noise."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dilution.benchmarking.methods import REFERENCE, Method
from dilution.benchmarking.noises import BenchmarkNoise
from dilution.study.differences import holm
from dilution.study.pairs import contrast
from dilution.study.statistics import intervals, rounding_deviation, two_sided_p, with_diverged_at_chance
from dilution.utils.estimate import Estimate

MEASURES: Mapping[str, str] = {
    "last": "after the last step",
    "best_noisy_val": "at the best step by noisy validation labels",
    "best_test": "at the best step by the test set",
}
"""The accuracies of a benchmark. The first two can be had without clean labels; the third is an oracle."""

ORACLE = "best_test"

_COLUMNS = {
    "last": "test_acc_last",
    "best_noisy_val": "test_acc_at_best_noisy_acc",
    "best_test": "test_acc_max",
}


def named_runs(table: pd.DataFrame, planned: pd.DataFrame, methods: Sequence[Method]) -> pd.DataFrame:
    """Return one row per method, noise and seed: names, the accuracies of :data:`MEASURES`, and the run.

    Parameters
    ----------
    table
        One row per run, as from :func:`dilution.study.results.table`.
    planned
        Columns ``method``, ``noise``, ``key`` and ``same_as`` of a plan: a run may belong to two methods.
    methods
        The methods. One that stops early has its accuracy at the best step by noisy validation labels as
        ``last``, and no other.

    Returns
    -------
    DataFrame
        In the order of `planned`; ``noise_setting`` is the noise of the run. Accuracies of :data:`MEASURES`
        are NaN for failed runs and at chance for diverged ones.
    """
    runs = planned.merge(table, on="key", how="left", suffixes=("", "_setting"))
    filled = with_diverged_at_chance(runs)
    stops_early = runs["method"].isin([method.name for method in methods if method.stops_early])
    for measure, column in _COLUMNS.items():
        values = pd.to_numeric(filled[column]).astype("float64")
        runs[measure] = values.where(~stops_early)
    chosen = pd.to_numeric(filled[_COLUMNS["best_noisy_val"]]).astype("float64")
    runs["last"] = runs["last"].where(~stops_early, chosen)
    return runs


def exported_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with the columns of an exported table, which can be imported, and a few more.

    ``noise`` is the setting of the run, and ``noise_name`` the name of the noise in the benchmark.

    Parameters
    ----------
    runs
        As from :func:`named_runs`.
    """
    runs = runs.drop(columns="same_as")
    return runs.rename(columns={"noise": "noise_name", "noise_setting": "noise"})


def accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean accuracy with its interval over seeds, one row per measure, noise and method.

    Parameters
    ----------
    runs
        As from :func:`named_runs`.

    Returns
    -------
    DataFrame
        ``measure``, ``noise``, ``method``, ``mean``, ``low``, ``high`` (in [0, 1]), ``seeds``; in the order
        of the runs. A method without a value at a noise has no row.
    """
    parts = []
    for measure in MEASURES:
        known = runs.dropna(subset=[measure])
        points = intervals(known, by=["noise", "method"], value=measure)
        points.insert(0, "measure", measure)
        parts.append(points)
    points = pd.concat(parts, ignore_index=True)
    order = {name: place for place, name in enumerate([*runs["noise"].unique(), *runs["method"].unique()])}
    places = points["noise"].map(order) * len(order) + points["method"].map(order)
    measures = points["measure"].map({name: place for place, name in enumerate(MEASURES)})
    return (
        points.assign(_m=measures, _p=places)
        .sort_values(["_m", "_p"])
        .drop(columns=["_m", "_p"])
        .reset_index(drop=True)
    )


def differences(runs: pd.DataFrame, other: str = REFERENCE) -> pd.DataFrame:
    """Return the paired difference of each method from another one, by measure and noise.

    Runs of one noise and seed have the same images, noisy labels, initial weights and order of examples, so
    they are pairs.

    Parameters
    ----------
    runs
        As from :func:`named_runs`.
    other
        Name of the method that the others are compared with.

    Returns
    -------
    DataFrame
        ``measure``, ``noise``, ``method``, ``mean`` (method − other), ``low``, ``high`` (95 %), ``seeds``,
        ``p`` (two-sided paired t test, which agrees with the interval; NaN with one seed), ``p_holm`` (the
        same after the correction of Holm (1979) over all rows of the measure).
    """
    rounding = rounding_deviation(runs)
    rows = []
    for measure in MEASURES:
        for noise, part in runs.groupby("noise", sort=False):
            values = part.pivot(index="seed", columns="method", values=measure)
            for method in part["method"].unique():
                if method == other or other not in values or values[method].isna().all():
                    continue
                pairs = values[[method, other]].dropna()
                if pairs.empty:
                    continue
                difference = contrast(pairs, {method: 1.0, other: -1.0}, rounding=rounding)
                sides = pairs[method].tolist(), pairs[other].tolist()
                p = two_sided_p(*sides, rounding=rounding * math.sqrt(2))
                bounds = difference.value, difference.low, difference.high
                rows.append((measure, noise, method, *bounds, len(pairs), p))
    columns = ["measure", "noise", "method", "mean", "low", "high", "seeds", "p"]
    table = pd.DataFrame(rows, columns=columns)
    by_measure = table.groupby("measure")["p"]
    return table.assign(p_holm=by_measure.transform(lambda p: holm(p.to_numpy(dtype=np.float64))))


def leaders(runs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the most accurate method at each noise, and the methods that are not told apart from it.

    Of methods that train in the same way the first one counts alone.

    Parameters
    ----------
    runs
        As from :func:`named_runs`.
    measure
        One of :data:`MEASURES`.

    Returns
    -------
    DataFrame
        ``noise``, ``method``, ``mean``, ``runner_up``, ``lead`` (an :class:`Estimate`, paired by seed),
        ``tied`` (names whose paired difference from the best has an interval that reaches 0).
    """
    rounding = rounding_deviation(runs)
    rows = []
    for noise, part in runs.groupby("noise", sort=False):
        values = part.pivot(index="seed", columns="method", values=measure).dropna(axis=1, how="all")
        same_as = dict(zip(part["method"], part["same_as"], strict=True))
        values = values[[name for name in values if same_as[name] not in values]]
        means = values.mean().sort_values(ascending=False, kind="stable")
        if means.empty:
            continue
        best, others = str(means.index[0]), list(map(str, means.index[1:]))
        leads = {
            other: contrast(values[[best, other]].dropna(), {best: 1.0, other: -1.0}, rounding=rounding)
            for other in others
        }
        tied = [other for other, lead in leads.items() if not lead.low > 0]
        runner_up = others[0] if others else ""
        lead = leads.get(runner_up, Estimate(math.nan, math.nan, math.nan))
        rows.append((noise, best, float(means.iloc[0]), runner_up, lead, tied))
    return pd.DataFrame(rows, columns=["noise", "method", "mean", "runner_up", "lead", "tied"])


def by_method(points: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return mean accuracies with one row per noise and one column per method, in the order of the points.

    Parameters
    ----------
    points
        As from :func:`accuracies`.
    measure
        One of :data:`MEASURES`.
    """
    part = points[points["measure"] == measure]
    table = part.pivot(index="noise", columns="method", values="mean")
    return table.loc[list(part["noise"].unique()), list(part["method"].unique())]


def repeated_methods(runs: pd.DataFrame, noises: Sequence[str]) -> dict[str, str]:
    """Return the methods that train as an earlier one does at all of these noises, each with that one.

    Parameters
    ----------
    runs
        As from :func:`named_runs`.
    noises
        Names of noises.
    """
    at_noises = runs[runs["noise"].isin(noises)]
    names = {str(method): set(part["same_as"]) for method, part in at_noises.groupby("method", sort=False)}
    return {method: min(others) for method, others in names.items() if "" not in others}


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the seconds per training of each method, beside those of cross entropy.

    Runs that trained together each have an equal share of their time. The seconds of a method are the median
    over noises of their mean: the first trainings of a process also wait for its start. The ratio to cross
    entropy is the median over noises as well; other load on the machine is a part of its range.

    Parameters
    ----------
    runs
        As from :func:`named_runs`.

    Returns
    -------
    DataFrame
        ``method``, ``seconds``, ``times_reference``, ``times_least``, ``times_most``, ``models_together``,
        ``device``.
    """
    seconds = pd.to_numeric(runs["seconds"]).astype("float64")
    by_noise = seconds.groupby([runs["method"], runs["noise"]], sort=False).mean()
    means = by_noise.groupby("method", sort=False).median()
    reference = by_noise.get(REFERENCE, pd.Series(dtype="float64"))
    ratios = by_noise / by_noise.index.get_level_values("noise").map(reference)
    times = ratios.groupby("method", sort=False).agg(["median", "min", "max"])
    devices = runs.groupby("method", sort=False)["device"].agg(
        lambda names: ", ".join(sorted(set(names.dropna())))
    )
    together = pd.to_numeric(runs["group_size"]).groupby(runs["method"], sort=False).mean()
    return pd.DataFrame(
        {
            "method": means.index,
            "seconds": means.to_numpy(),
            "times_reference": times["median"].to_numpy(),
            "times_least": times["min"].to_numpy(),
            "times_most": times["max"].to_numpy(),
            "models_together": together.to_numpy(),
            "device": devices.to_numpy(),
        }
    )


def delivered_noise(runs: pd.DataFrame, noises: Sequence[BenchmarkNoise]) -> pd.DataFrame:
    """Return the noise asked for and the share of wrong labels delivered, one row per noise.

    Parameters
    ----------
    runs
        As from :func:`named_runs`.
    noises
        The noises.

    Returns
    -------
    DataFrame
        ``noise``, ``asked`` (in words, with the nominal rate), ``setting``, ``expected`` and ``delivered``
        (shares of wrong labels, the latter counted over the labels trained on, mean over seeds), ``least``
        and ``most`` (of the seeds).
    """
    rows = []
    for noise in noises:
        part = runs[runs["noise"] == noise.name].drop_duplicates("seed")
        expected, counted = (
            pd.to_numeric(part[name]).astype("float64")
            for name in ("noise_rate_expected", "noise_rate_empirical")
        )
        setting = ", ".join(f"{name} = {value}" for name, value in noise.settings.items())
        bounds = (counted.min(), counted.max()) if len(counted.dropna()) else (np.nan, np.nan)
        rows.append((noise.name, noise.asked, setting, expected.mean(), counted.mean(), *bounds))
    columns = ["noise", "asked", "setting", "expected", "delivered", "least", "most"]
    return pd.DataFrame(rows, columns=columns)
