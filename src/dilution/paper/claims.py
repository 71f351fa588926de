"""Claims: sentences of the paper, each with a rule that a table of results passes or fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Verdict = Literal["reproduced", "not reproduced", "not testable at this scale"]


@dataclass(frozen=True)
class Judgement:
    """A verdict and the numbers that it rests on."""

    verdict: Verdict
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper turned into a rule.

    Parameters
    ----------
    figure
        The figure it belongs to.
    sentence
        What the paper found.
    rule
        When we say *reproduced*.
    judge
        Function of the table of runs → the verdict.
    """

    figure: str
    sentence: str
    rule: str
    judge: Callable[[pd.DataFrame], Judgement]


def decided(passed: bool, numbers: str) -> Judgement:
    """Return the verdict of a rule that could be tested."""
    return Judgement("reproduced" if passed else "not reproduced", numbers)


def not_testable(why: str) -> Judgement:
    """Return the verdict of a rule that these results cannot decide."""
    return Judgement("not testable at this scale", why)


def judge_all(claims: Sequence[Claim], table: pd.DataFrame) -> pd.DataFrame:
    """Judge claims on a table of runs.

    Returns
    -------
    DataFrame
        Columns ``figure``, ``claim``, ``rule``, ``verdict``, ``numbers``, one row a claim. With runs
        missing from the table (not done, failed) no claim is decided; a diverged run counts as it is:
        without an accuracy.
    """
    rows = []
    missing = int((~table["state"].isin(["done", "diverged"])).sum())
    for claim in claims:
        if missing:
            judgement = not_testable(f"{missing} of {len(table)} runs are not finished")
        else:
            judgement = claim.judge(table)
        rows.append((claim.figure, claim.sentence, claim.rule, judgement.verdict, judgement.numbers))
    return pd.DataFrame(rows, columns=["figure", "claim", "rule", "verdict", "numbers"])


def percent(share: float) -> str:
    """Write an accuracy as percent with one decimal."""
    return f"{100 * share:.1f} %"


def percent_interval(mean: float, low: float, high: float) -> str:
    """Write a mean with its 95 % interval in percent."""
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
