"""Claims: sentences of the paper, each with a rule that a table of results passes or fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dilution.study.selection import best_lr, name_matrices, varying_settings

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


def judge_all(claims: Sequence[Claim], table: pd.DataFrame, *, asked: int = 0) -> pd.DataFrame:
    """Judge claims on a table of runs; `asked` is how many further runs a search asks for.

    Returns
    -------
    DataFrame
        Columns ``figure``, ``claim``, ``rule``, ``runs`` (required), ``finished``, ``verdict``, ``numbers``,
        one row a claim. With runs missing from the table (not done, failed) no claim is decided. A
        network that diverged at the learning rate that validation chose has not learnt: then no claim
        counts as reproduced.
    """
    rows: list[tuple[str | int, ...]] = []
    required = len(table) + asked
    finished = int(table["state"].isin(["done", "diverged"]).sum())
    missing = required - finished
    diverged = "" if missing else _diverged(table)
    for claim in claims:
        if missing:
            judgement = not_testable(f"{missing} of {required} runs are not finished")
        elif diverged:
            judgement = decided(False, diverged)
        else:
            judgement = claim.judge(table)
        said = claim.figure, claim.sentence, claim.rule
        rows.append((*said, required, finished, judgement.verdict, judgement.numbers))
    return pd.DataFrame(rows, columns=["figure", "claim", "rule", "runs", "finished", "verdict", "numbers"])


def _diverged(table: pd.DataFrame) -> str:
    """Say which runs diverged among those at the best learning rate; empty if none did."""
    table = name_matrices(table)
    settings = [name for name in varying_settings(table) if name != "lr"] or ["model"]
    chosen = best_lr(table, by=settings)
    lost = chosen[chosen["state"] == "diverged"]
    if lost.empty:
        return ""
    first = ", ".join(f"{name} {lost.iloc[0][name]}" for name in [*settings, "seed"])
    return f"{len(lost)} of {len(chosen)} runs diverged, the first: {first}"


def percent(share: float) -> str:
    """Write an accuracy as percent with one decimal."""
    return f"{100 * share:.1f} %"


def difference(shares: float) -> str:
    """Write a difference of two accuracies in percentage points, with one decimal."""
    return f"{_signed(shares)} points"


def _signed(shares: float) -> str:
    return f"{100 * shares:.1f}".replace("-", "−")


def difference_interval(mean: float, low: float, high: float) -> str:
    """Write a difference of two accuracies with its 95 % interval in percentage points."""
    return f"{difference(mean)} [{_signed(low)}, {_signed(high)}]"


def percent_interval(mean: float, low: float, high: float) -> str:
    """Write a mean with its 95 % interval in percent."""
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
