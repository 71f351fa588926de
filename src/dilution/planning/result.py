"""The result of a plan: a pilot, its law, and the answers for somebody who buys labels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from dilution.noise.single_label import LabelMode
from dilution.planning import explain
from dilution.planning.accuracy_law import LEVEL, AccuracyLaw, median_and_interval
from dilution.planning.queries import (
    LabelKind,
    PlanEstimate,
    Purchase,
    cheapest_purchase,
    expected_accuracy,
    labels_needed,
)
from dilution.report.json_file import SCHEMA_VERSION, plain
from dilution.report.notebook import notebook_html


@dataclass(frozen=True, repr=False)
class Plan:
    """Which labels to buy for a test accuracy.

    Parameters
    ----------
    name
        Name of the data.
    target
        Test accuracy wanted.
    n_existing
        Number of existing labels; they are of the kind `same`.
    same, better
        The kinds of labels that can be bought: of the same quality, and better ones.
    runs
        The pilot, one row per run. ``n_distinct`` and ``n_test_distinct`` count copies once. Default of
        these: there are no copies.
    law
        The law fitted to it.
    notes
        What was left out, merged, converted or guessed, in the data and in the pilot, one sentence each.
    label_mode
        ``"added"``: an example has several labels; ``"replaced"``: each has one.
    is_mode_assumed
        Whether the user did not give the label mode.
    """

    name: str
    target: float
    n_existing: float
    same: LabelKind
    better: LabelKind
    runs: pd.DataFrame
    law: AccuracyLaw
    notes: tuple[str, ...] = ()
    label_mode: LabelMode = "added"
    is_mode_assumed: bool = False

    def __repr__(self) -> str:
        """Return the answer."""
        return f"Plan for {self.name}: {self.answer}"

    def _repr_html_(self) -> str:
        """Return the answer and the values of labels for a notebook."""
        return notebook_html(repr(self), self.label_values)

    @cached_property
    def expected_accuracy(self) -> PlanEstimate:
        """Test accuracy to expect from the existing labels."""
        return expected_accuracy(self.law, self.n_existing, self.same.alpha, self.same.eta)

    @cached_property
    def n_same(self) -> PlanEstimate:
        """Labels of the same quality that the target needs, the existing ones included."""
        return labels_needed(self.law, self.target, self.same.alpha, self.same.eta)

    @cached_property
    def n_better(self) -> PlanEstimate:
        """Labels of the better quality alone that the target needs."""
        return labels_needed(self.law, self.target, self.better.alpha)

    @cached_property
    def purchase(self) -> Purchase | None:
        """The cheapest purchase that reaches the target; None if the pilot does not support any."""
        return cheapest_purchase(self.law, self.target, self.n_existing, (self.same, self.better))

    @cached_property
    def label_values(self) -> pd.DataFrame:
        """Value of a label of each noise level, in clean labels.

        Columns ``alpha``, ``theory`` (1/(1 + α)²), ``mean``, ``low``, ``high`` (measured, with an
        80 % interval), ``exponent``, ``exponent_low``, ``exponent_high`` (p of 1/(1 + α)^p).
        """
        levels = sorted({*self.runs["alpha"], self.same.alpha, self.better.alpha} - {0.0})
        rows = []
        for alpha in levels:
            median, low, high = median_and_interval(self.law.label_value(alpha))
            p, p_low, p_high = median_and_interval(self.law.exponent(alpha))
            rows.append((alpha, (1 + alpha) ** -2.0, median, low, high, p, p_low, p_high))
        columns = ["alpha", "theory", "mean", "low", "high", "exponent", "exponent_low", "exponent_high"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def answer(self) -> str:
        """The answer in one sentence."""
        return explain.answer(self)

    @property
    def details(self) -> list[str]:
        """Further results, one sentence or two each."""
        return explain.details(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``plan.json``: all numbers, sentences and notes, in the types of JSON.

        A number that is refused, or infinite, is None; ``refusal`` gives the reason.
        """
        estimates = {name: getattr(self, name) for name in ("expected_accuracy", "n_same", "n_better")}
        content = {
            "schema_version": SCHEMA_VERSION,
            "kind": "plan",
            "name": self.name,
            "answer": self.answer,
            "details": self.details,
            "notes": self.notes,
            "target": self.target,
            "label_mode": self.label_mode,
            "n_existing": self.n_existing,
            "same": vars(self.same),
            "better": vars(self.better),
            "level": LEVEL,
            **{
                name: estimate.to_dict() | {"refusal": estimate.refusal}
                for name, estimate in estimates.items()
            },
            "purchase": None if self.purchase is None else vars(self.purchase),
            "label_values": self.label_values,
            "runs": len(self.runs),
        }
        converted: dict[str, Any] = plain(content)
        return converted
