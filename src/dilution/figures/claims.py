"""Claims of the paper, each with a rule that decides from a table of runs whether it is reproduced."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from dilution.study.statistics import best_lr, name_matrices, varying_settings, with_diverged_at_chance
from dilution.utils.estimate import Estimate

Verdict = Literal["reproduced", "not reproduced", "not testable"]


@dataclass(frozen=True)
class Judgement:
    """A verdict and the numbers behind it."""

    verdict: Verdict
    numbers: str


def _as_it_is(table: pd.DataFrame) -> pd.DataFrame:
    return table


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
    prepare
        Function of the table of runs → what `judge` takes in its place; computed once for all claims of a
        figure that have the same function.
    """

    figure: str
    sentence: str
    rule: str
    judge: Callable[[Any], Judgement]
    prepare: Callable[[pd.DataFrame], Any] = _as_it_is


def decide(passed: bool, numbers: str) -> Judgement:
    """Return "reproduced" if the rule holds, otherwise "not reproduced"."""
    return Judgement("reproduced" if passed else "not reproduced", numbers)


def not_testable(reason: str) -> Judgement:
    """Return "not testable" with the reason."""
    return Judgement("not testable", reason)


def judge_all(
    claims: Sequence[Claim], table: pd.DataFrame, *, pending: int = 0, remark: str = ""
) -> pd.DataFrame:
    """Return one row per claim with its verdict.

    No claim is decided while runs are missing from the table (not finished, or failed). Diverged runs count
    as accuracy at chance; the numbers of every claim say how many there are.

    Parameters
    ----------
    claims
        The claims.
    table
        One row per run.
    pending
        Number of further runs that a search requests.
    remark
        What the numbers of every claim say too, such as what limits the choice of the learning rates.

    Returns
    -------
    DataFrame
        Columns ``figure``, ``claim``, ``rule``, ``runs`` (required), ``finished``, ``verdict``, ``numbers``.
    """
    rows: list[tuple[str | int, ...]] = []
    required = len(table) + pending
    finished = int(table["state"].isin(["done", "diverged"]).sum())
    missing = required - finished
    filled = with_diverged_at_chance(table)
    unknown = 0 if missing else int((filled["test_acc_at_best_clean_val"].isna()).sum())
    diverged = "" if missing else describe_diverged(filled)
    prepared: dict[Callable[[pd.DataFrame], Any], Any] = {}
    for claim in claims:
        if missing:
            judgement = not_testable(f"{missing} of {required} runs are not finished")
        elif unknown:
            judgement = not_testable(
                f"{diverged}; {unknown} of them have no majority_share, so what counts as chance is unknown"
            )
        else:
            if claim.prepare not in prepared:
                prepared[claim.prepare] = claim.prepare(filled)
            judgement = claim.judge(prepared[claim.prepare])
        numbers = "; ".join(filter(None, [judgement.numbers, "" if missing or unknown else diverged, remark]))
        row = (claim.figure, claim.sentence, claim.rule, required, finished)
        rows.append((*row, judgement.verdict, numbers))
    return pd.DataFrame(rows, columns=["figure", "claim", "rule", "runs", "finished", "verdict", "numbers"])


def describe_diverged(table: pd.DataFrame) -> str:
    """Return how many runs diverged, and how many of them at the best learning rate; empty if none did.

    Parameters
    ----------
    table
        One row per run.
    """
    if "key" in table:
        table = table.drop_duplicates("key")  # two figures may share a run
    diverged = int((table["state"] == "diverged").sum())
    if not diverged:
        return ""
    text = f"{diverged} of {len(table)} runs diverged and count as accuracy at chance"
    table = name_matrices(table)
    settings = [name for name in varying_settings(table) if name != "lr"] or ["model"]
    best = best_lr(table, by=settings)
    chosen = int((best["state"] == "diverged").sum())
    return text if len(best) == len(table) else f"{text}, {chosen} of them at the best learning rate"


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


def difference_estimate(estimate: Estimate) -> str:
    """Return an estimated difference of two accuracies in percentage points, with its interval."""
    return difference_interval(estimate.value, estimate.low, estimate.high)


def percent_interval(mean: float, low: float, high: float) -> str:
    """Return a mean fraction in percent, with its 95 % interval if there is one."""
    return percent(mean) + ("" if math.isnan(low) else f" [{100 * low:.1f}, {100 * high:.1f}]")


def count_interval(mean: float, low: float, high: float) -> str:
    """Return a number of examples, with its 95 % interval if there is one; its bounds may be infinite."""
    bounds = [("∞" if bound > 0 else "−∞") if math.isinf(bound) else f"{bound:,.0f}" for bound in (low, high)]
    return f"{mean:,.0f}" + ("" if math.isnan(low) else f" [{bounds[0]}, {bounds[1]}]")
