"""Claims of the paper, each with a rule that decides from a table of runs whether it is reproduced."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dilution.study.statistics import best_lr, name_matrices, varying_settings

Verdict = Literal["reproduced", "not reproduced", "not testable"]


@dataclass(frozen=True)
class Judgement:
    """A verdict and the numbers behind it."""

    verdict: Verdict
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A statement of the paper with a rule for its verdict.

    Parameters
    ----------
    figure
        Name of the figure that tests the claim.
    sentence
        The statement.
    rule
        Condition under which the claim counts as reproduced.
    judge
        Function of the table of runs → the verdict.
    """

    figure: str
    sentence: str
    rule: str
    judge: Callable[[pd.DataFrame], Judgement]


def decide(passed: bool, numbers: str) -> Judgement:
    """Return "reproduced" if the rule holds, otherwise "not reproduced"."""
    return Judgement("reproduced" if passed else "not reproduced", numbers)


def not_testable(reason: str) -> Judgement:
    """Return "not testable" with the reason."""
    return Judgement("not testable", reason)


def judge_all(claims: Sequence[Claim], table: pd.DataFrame, *, pending: int = 0) -> pd.DataFrame:
    """Return one row per claim with its verdict.

    No claim is decided while runs are missing from the table (not finished, or failed). If a run diverged at
    the learning rate that validation chose, no claim counts as reproduced.

    Parameters
    ----------
    claims
        The claims.
    table
        One row per run.
    pending
        Number of further runs that a search requests.

    Returns
    -------
    DataFrame
        Columns ``figure``, ``claim``, ``rule``, ``runs`` (required), ``finished``, ``verdict``, ``numbers``.
    """
    rows: list[tuple[str | int, ...]] = []
    required = len(table) + pending
    finished = int(table["state"].isin(["done", "diverged"]).sum())
    missing = required - finished
    diverged = "" if missing else _diverged_runs(table)
    for claim in claims:
        if missing:
            judgement = not_testable(f"{missing} of {required} runs are not finished")
        elif diverged:
            judgement = decide(False, diverged)
        else:
            judgement = claim.judge(table)
        row = (claim.figure, claim.sentence, claim.rule, required, finished)
        rows.append((*row, judgement.verdict, judgement.numbers))
    return pd.DataFrame(rows, columns=["figure", "claim", "rule", "runs", "finished", "verdict", "numbers"])


def _diverged_runs(table: pd.DataFrame) -> str:
    """Return how many runs diverged among those at the best learning rate; empty if none did."""
    table = name_matrices(table)
    settings = [name for name in varying_settings(table) if name != "lr"] or ["model"]
    best = best_lr(table, by=settings)
    diverged = best[best["state"] == "diverged"]
    if diverged.empty:
        return ""
    first = ", ".join(f"{name} {diverged.iloc[0][name]}" for name in [*settings, "seed"])
    return f"{len(diverged)} of {len(best)} runs diverged, the first: {first}"


def percent(fraction: float) -> str:
    """Return a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f} %"


def difference(fraction: float) -> str:
    """Return a difference of two accuracies in percentage points with one decimal."""
    return f"{_signed(fraction)} points"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:.1f}".replace("-", "−")


def difference_interval(mean: float, low: float, high: float) -> str:
    """Return a difference of two accuracies in percentage points, with its 95 % interval if there is one."""
    return difference(mean) + ("" if math.isnan(low) else f" [{_signed(low)}, {_signed(high)}]")


def percent_interval(mean: float, low: float, high: float) -> str:
    """Return a mean fraction in percent, with its 95 % interval if there is one."""
    return percent(mean) + ("" if math.isnan(low) else f" [{100 * low:.1f}, {100 * high:.1f}]")


def count_interval(mean: float, low: float, high: float) -> str:
    """Return a number of examples, with its 95 % interval if there is one; its bounds may be infinite."""
    bounds = [("∞" if bound > 0 else "−∞") if math.isinf(bound) else f"{bound:,.0f}" for bound in (low, high)]
    return f"{mean:,.0f}" + ("" if math.isnan(low) else f" [{bounds[0]}, {bounds[1]}]")
