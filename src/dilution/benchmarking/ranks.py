"""Mean ranks of methods over noises, with Friedman's test and Nemenyi's critical difference."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from dilution.errors import InputError

_LEAST_METHODS = 3  # of Friedman's test


@dataclass(frozen=True)
class Ranks:
    """The ranks of methods, best first.

    Parameters
    ----------
    mean_ranks
        Mean rank of each method over the noises; 1 is the best at every noise. Sorted.
    noises
        Noises at which the methods were ranked.
    left_out
        Noises that are not ranked, because a method has no finished run there.
    p
        p-value of Friedman's test that all methods rank alike; NaN with fewer than 3 methods or 2 noises.
    critical_difference
        Nemenyi's critical difference: methods whose mean ranks differ by less are not told apart; NaN as `p`.
    """

    mean_ranks: pd.Series
    noises: tuple[str, ...]
    left_out: tuple[str, ...]
    p: float
    critical_difference: float

    @property
    def best(self) -> list[str]:
        """The method of the best mean rank, and those that are not told apart from it."""
        if math.isnan(self.critical_difference):
            return [str(self.mean_ranks.index[0])]
        least = self.mean_ranks.iloc[0]
        return [
            str(name) for name, rank in self.mean_ranks.items() if rank - least < self.critical_difference
        ]

    @property
    def groups(self) -> list[list[str]]:
        """The largest groups of methods whose mean ranks differ by less than the critical difference."""
        names, ranks = list(map(str, self.mean_ranks.index)), self.mean_ranks.to_numpy()
        groups: list[list[str]] = []
        end = 0
        for start, rank in enumerate(ranks):
            stop = start + int((ranks[start:] - rank < self.critical_difference).sum())
            if stop - start > 1 and stop > end:
                groups.append(names[start:stop])
            end = max(end, stop)
        return groups


def rank_methods(accuracies: pd.DataFrame, level: float = 0.05) -> Ranks:
    """Rank methods at each noise by mean accuracy, and average the ranks.

    As Demšar 2006, *Statistical Comparisons of Classifiers over Multiple Data Sets*, sections 3.2.2 and
    3.2.3, with noises in place of data sets: equal accuracies share their mean rank; the critical difference
    of k methods at N noises is q √(k (k + 1)/(6 N)), where q is the Studentized range of k means with
    infinite degrees of freedom, divided by √2.

    Parameters
    ----------
    accuracies
        One row per noise, one column per method: mean accuracy over seeds, in [0, 1]. Rows with a missing
        value are left out.
    level
        Level of the critical difference, in (0, 1).

    Raises
    ------
    InputError
        If no noise has an accuracy of every method.
    """
    complete = accuracies.dropna()
    if complete.empty:
        raise InputError(
            "no noise has a finished run of every method, so they cannot be ranked. Run the same command "
            "again."
        )
    values = complete.to_numpy(dtype=np.float64)
    ranks = scipy.stats.rankdata(-values, axis=1)
    n_noises, n_methods = values.shape
    mean_ranks = pd.Series(ranks.mean(axis=0), index=complete.columns).sort_values(kind="stable")
    p = difference = math.nan
    if n_methods >= _LEAST_METHODS and n_noises > 1:
        # all methods alike at every noise have no variance to test against
        p = 1.0 if not np.ptp(ranks) else float(scipy.stats.friedmanchisquare(*values.T).pvalue)
        difference = critical_difference(n_methods, n_noises, level)
    left_out = tuple(map(str, accuracies.index.difference(complete.index, sort=False)))
    return Ranks(mean_ranks, tuple(map(str, complete.index)), left_out, p, difference)


def critical_difference(n_methods: int, n_noises: int, level: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks; see :func:`rank_methods`."""
    q = float(scipy.stats.studentized_range.ppf(1 - level, n_methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_noises))
