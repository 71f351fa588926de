"""A benchmark in sentences: which method is best where, and which differences are beyond their intervals."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from dilution.benchmarking.methods import REFERENCE
from dilution.benchmarking.ranks import Ranks
from dilution.benchmarking.tables import leaders
from dilution.utils.estimate import Estimate

_MAX_NAMES = 4  # of methods in a sentence
_LEVEL = 0.05  # of tests
_ROUNDING = 1e-9  # of mean ranks

Titles = Mapping[str, str]
"""Name of a method or noise → its name in figures."""


def findings(
    runs: pd.DataFrame, differences: pd.DataFrame, ranks: Mapping[str, Ranks], titles: Titles
) -> tuple[str, ...]:
    """Return what a benchmark found, the answer first: which method is best where.

    The others say whether that is beyond the intervals, which methods have the best mean rank, and how often
    these are above cross entropy.

    Parameters
    ----------
    runs
        As from :func:`dilution.benchmarking.tables.named_runs`.
    differences
        As from :func:`dilution.benchmarking.tables.differences`.
    ranks
        Measure → ranks.
    titles
        Names in figures.
    """
    last = ranks.get("last")
    if runs["method"].nunique() == 1:
        return (_alone(runs, titles),)
    where_best = _best_where(runs, titles)
    if last is None:
        return (
            *where_best,
            "The methods are not ranked: at no noise have all of them runs, and at least two differ.",
        )
    where = "Over the noises that every method has" if last.left_out else "Over all noises"
    sentences = [*where_best, _best_rank(last, where, titles)]
    sentences += [_against_reference(differences, "last", name, titles) for name in _leading(last)]
    return tuple(filter(None, sentences))


def by_noisy_validation(differences: pd.DataFrame, ranks: Mapping[str, Ranks], titles: Titles) -> str:
    """Return who has the best mean rank at the step that noisy validation labels choose; empty without ranks.

    Parameters
    ----------
    differences, ranks, titles
        As for :func:`findings`.
    """
    chosen = ranks.get("best_noisy_val")
    if chosen is None:
        return ""
    where = "With the step that noisy validation labels choose"
    sentences = [
        _best_rank(chosen, where, titles),
        *(_against_reference(differences, "best_noisy_val", name, titles) for name in _leading(chosen)),
    ]
    return " ".join(filter(None, sentences))


def _alone(runs: pd.DataFrame, titles: Titles) -> str:
    """Return the accuracies of the only method."""
    means = runs.groupby("noise", sort=False)["last"].mean()
    shares = [f"{100 * mean:.1f} % with {titles[str(noise)]}" for noise, mean in means.dropna().items()]
    method = titles[str(runs["method"].iloc[0])]
    return (
        f"Of one method, {method}, there is nothing to compare. After the last step it has "
        f"{', '.join(shares)}."
    )


def _best_where(runs: pd.DataFrame, titles: Titles) -> tuple[str, str]:
    """Return which method is the most accurate after the last step at which noises, and how surely."""
    best = leaders(runs, "last")
    noises_of = {
        method: [titles[noise] for noise in part["noise"]]
        for method, part in best.groupby("method", sort=False)
    }
    order = sorted(noises_of, key=lambda method: -len(noises_of[method]))
    if len(best) <= _MAX_NAMES:
        parts = [f"{titles[str(method)]} with {list_names(noises_of[method])}" for method in order]
    else:  # which noises they are is said below, beside the plot
        counts = [len(noises_of[method]) for method in order]
        parts = [
            list_names([titles[str(m)] for m, n in zip(order, counts, strict=True) if n == count])
            + f" at {count}"
            + (f" of {len(best)} noises" if count == counts[0] else "")
            + (" each" if counts.count(count) > 1 else "")
            for count in dict.fromkeys(counts)
        ]
    alone = sum(
        bool(second) and not tied for second, tied in zip(best["runner_up"], best["tied"], strict=True)
    )
    return (
        f"After the last step the most accurate method is {'; '.join(parts)}.",
        f"The most accurate method is ahead of all others beyond the 95 % interval at {alone} of {len(best)} "
        "noises.",
    )


def _leading(ranks: Ranks) -> list[str]:
    """Return the methods that have the best mean rank: one, or several that share it."""
    best = ranks.mean_ranks <= ranks.mean_ranks.iloc[0] + _ROUNDING
    return [str(name) for name in ranks.mean_ranks.index[best]]


def _best_rank(ranks: Ranks, where: str, titles: Titles) -> str:
    """Return who has the best mean rank, and who is not told apart from it."""
    count = len(ranks.noises)
    noises = "1 noise" if count == 1 else f"{count} noises"
    without = f"; without {list_names([titles[name] for name in ranks.left_out])}" if ranks.left_out else ""
    leading = _leading(ranks)
    verb = "has" if len(leading) == 1 else "share"
    subject = f"{list_names([titles[name] for name in leading])} {verb}"
    sentence = (
        f"{where}, {subject} the best mean rank of {len(ranks.mean_ranks)} methods over {noises} "
        f"({ranks.mean_ranks.iloc[0]:.1f}{without})"
    )
    if math.isnan(ranks.critical_difference):
        return f"{sentence}."
    if ranks.critical_difference > len(ranks.mean_ranks) - 1:
        return (
            f"{sentence}. Ranks over so few noises tell no two methods apart: the critical difference is "
            f"{ranks.critical_difference:.1f} ranks, and the largest possible one "
            f"{len(ranks.mean_ranks) - 1}."
        )
    tied = [titles[name] for name in ranks.best if name not in leading]
    if not tied:
        return f"{sentence}, beyond the critical difference from all others."
    them = "it" if len(leading) == 1 else "them"
    return f"{sentence}, and {list_names(tied)} cannot be told apart from {them} by ranks."


def _against_reference(differences: pd.DataFrame, measure: str, method: str, titles: Titles) -> str:
    """Return at how many noises a method is above or below cross entropy, beyond the interval."""
    if method == REFERENCE:
        rows = differences[differences["measure"] == measure]
        better = sorted(set(rows.loc[rows["low"] > 0, "method"]), key=list(titles).index)
        if not better:
            return "No other method is above it at any noise beyond the 95 % interval."
        names = list_names([titles[name] for name in better])
        return f"At single noises {names} are above it beyond the interval."
    rows = differences[(differences["measure"] == measure) & (differences["method"] == method)]
    if rows.empty:
        return ""
    is_above = rows["low"] > 0
    above, below = int(is_above.sum()), int((rows["high"] < 0).sum())
    corrected = int((is_above & (rows["p_holm"] < _LEVEL)).sum())
    most = (rows[is_above] if above else rows)["mean"].idxmax()
    gain = f"{points_text(_estimate(rows.loc[most]))}, with {titles[str(rows.loc[most, 'noise'])]}"
    name = f"{titles[method][:1].upper()}{titles[method][1:]}"
    return (
        f"{name} is above {titles[REFERENCE]} beyond the 95 % interval at {above} of {len(rows)} noises"
        + (f" ({corrected} after Holm's correction for all differences)" if above else "")
        + f" and below it at {below}; the largest {'of these gains' if above else 'gain'} is {gain}."
    )


def per_noise(runs: pd.DataFrame, measure: str, titles: Titles) -> tuple[str, ...]:
    """Return for each noise which method is best, and which others are not told apart from it.

    Parameters
    ----------
    runs
        As from :func:`dilution.benchmarking.tables.named_runs`.
    measure
        One of :data:`MEASURES`.
    titles
        Names in figures.
    """
    parts = []
    for row in leaders(runs, measure).to_dict("records"):
        best = f"{titles[row['noise']]}: {titles[row['method']]} {100 * row['mean']:.1f} %"
        if not row["runner_up"]:
            parts.append(best)
        elif row["tied"]:
            parts.append(f"{best}, not told apart from {list_names([titles[name] for name in row['tied']])}")
        else:
            lead = points_text(row["lead"])
            parts.append(f"{best}, ahead of the next, {titles[row['runner_up']]}, by {lead}")
    return tuple(parts)


def points_text(difference: Estimate) -> str:
    """Return a difference of accuracies in percentage points, with its interval if there is one."""
    value, low, high = (
        f"{100 * bound:.1f}".replace("-", "−")
        for bound in (difference.value, difference.low, difference.high)
    )
    return f"{value} points" + ("" if math.isnan(difference.low) else f" [{low}, {high}]")


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(float(row["mean"]), float(row["low"]), float(row["high"]))


def list_names(names: Sequence[str]) -> str:
    """Return names as text, the first ones of many: ``"a, b, c, d and 5 more"``."""
    if len(names) > _MAX_NAMES:
        return f"{', '.join(names[:_MAX_NAMES])} and {len(names) - _MAX_NAMES} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
