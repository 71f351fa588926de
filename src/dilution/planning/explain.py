"""A plan in sentences: what to buy, and the numbers behind it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dilution.planning.accuracy_law import prior_exponent
from dilution.planning.distinct_examples import N_DISTINCT, n_distinct, n_test_distinct

if TYPE_CHECKING:
    from dilution.planning.queries import LabelKind, PlanEstimate
    from dilution.planning.result import Plan

_Z_80 = 1.2816  # 80 % of a normal distribution lie within so many standard deviations


def answer(plan: Plan) -> str:
    """Return what to buy in one sentence, or why the pilot does not support an answer."""
    purchase, target = plan.purchase, f"{100 * plan.target:.4g} % test accuracy on {plan.name}"
    if purchase is None:
        reason = plan.n_better.refusal or plan.n_same.refusal or "No mixture of these labels reaches it."
        return f"No plan for {target}. {reason}"
    if plan.n_existing and not any(map(round, purchase.n_labels)):
        certainty = "" if plan.n_existing >= plan.n_same.high else "probably, but not certainly, "
        return (
            f"Buy no labels: the {plan.n_existing:,.0f} existing {plan.same.description} are {certainty}"
            f"enough for {target}."
        )
    parts = [
        f"{_two_digits(count)} {kind.description}"
        for count, kind in zip(purchase.n_labels, (plan.same, plan.better), strict=True)
        if round(count)
    ]
    keep = "" if purchase.keep_existing or not plan.n_existing else "; do not train on the existing labels"
    return f"Buy {' and '.join(parts)} for {target} (cost: {_two_digits(purchase.cost)}){keep}."


def details(plan: Plan) -> list[str]:
    """Return the numbers behind the answer, with intervals or the reason why there are none."""
    sentences = []
    if plan.n_existing:
        sentences.append(_accuracy_sentence(plan))
    sentences += [
        _count_sentence(plan, plan.n_same, plan.same),
        _count_sentence(plan, plan.n_better, plan.better),
    ]
    if plan.same.alpha > 0:
        sentences.append(_value_sentence(plan))
    if plan.is_mode_assumed:
        sentences.append(_label_mode_sentence(plan))
    if N_DISTINCT in plan.runs and (n_distinct(plan.runs).round() < plan.runs["n"]).any():
        sentences.append(_copies_sentence(plan))
    return [*sentences, _measurement_sentence(plan)]


def _accuracy_sentence(plan: Plan) -> str:
    labels = f"the {plan.n_existing:,.0f} existing {plan.same.description}"
    accuracy = plan.expected_accuracy
    if accuracy.refusal:
        return f"No estimate of the test accuracy with {labels}: {accuracy.refusal}"
    return f"{accuracy.percent()} is the test accuracy to expect with {labels}."


def _count_sentence(plan: Plan, count: PlanEstimate, kind: LabelKind) -> str:
    target = f"{100 * plan.target:.4g} % test accuracy"
    if count.refusal:
        reason = ", for the same reason." if count.refusal in plan.answer else f": {count.refusal}"
        return f"No estimate of how many {kind.description} alone give {target}{reason}"
    return f"{count.text(',.0f')} {kind.description} alone give {target}.{_missing_sentence(plan, kind)}"


def _missing_sentence(plan: Plan, kind: LabelKind) -> str:
    """Return how the labels to buy follow from the labels needed, after a space; empty for a mixture."""
    purchase = plan.purchase
    if purchase is not None and not plan.n_existing:
        bought = [round(number) for number in purchase.n_labels]
        count = bought[(plan.same, plan.better).index(kind)]
        if (
            not count
            or not all(number in (0, count) for number in bought)
            or _two_digits(count) == f"{count:,}"
        ):
            return ""
        return f" The answer is this number to two digits, {_two_digits(count)}."
    if kind is not plan.same or purchase is None or not purchase.keep_existing or not plan.n_existing:
        return ""
    count, other = (round(number) for number in purchase.n_labels)
    if other or not count:
        return ""
    rounded = "" if _two_digits(count) == f"{count:,}" else f", about {_two_digits(count)}"
    return f" {plan.n_existing:,.0f} of them exist, and {count:,} are missing{rounded}."


def _label_mode_sentence(plan: Plan) -> str:
    if plan.label_mode == "replaced":
        return (
            "Each example is taken to have one label, as in most data of one's own, so that more labels are "
            "more examples; the label mode 'added' plans several labels per example."
        )
    return (
        "Noisy labels are taken to be added to the clean label of an example, as in the paper; the label "
        "mode 'replaced' plans one label per example, as data of one's own have."
    )


def _value_sentence(plan: Plan) -> str:
    values = plan.label_values
    row = values[values["alpha"] == plan.same.alpha].iloc[0]
    kind = plan.same.description.replace("labels", "label", 1)
    if plan.same.eta is not None:
        kind = f"{kind} (α = {plan.same.alpha:.3g})"
    prior, prior_low, prior_high = prior_exponent(float(row["alpha"]))
    return (
        f"One {kind} is worth {row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}] clean labels; theory: "
        f"1/(1 + α)² = {row['theory']:.3g}. The measured exponent p of 1/(1 + α)^p is {row['exponent']:.2f} "
        f"[{row['exponent_low']:.2f}, {row['exponent_high']:.2f}]; without a pilot the fit would assume "
        f"{prior:.2f} [{prior_low:.2f}, {prior_high:.2f}]."
    )


def _copies_sentence(plan: Plan) -> str:
    largest = plan.runs["n"].max()
    different = n_distinct(plan.runs).max()
    return (
        f"Runs of the pilot have up to {largest:,.0f} clean examples, of which about {different:,.0f} "
        "differ; numbers of labels are those of different examples."
    )


def _measurement_sentence(plan: Plan) -> str:
    n_test, majority = n_test_distinct(plan.runs), plan.runs["majority_share"].max()
    measured_on = f"{plan.runs['n_test'].max():,.0f} examples"
    if n_test < plan.runs["n_test"].max():
        measured_on += f", which with their copies are worth {n_test:,.0f} different ones"
    sampling_error = _Z_80 * math.sqrt(plan.target * (1 - plan.target) / n_test)
    return (
        f"Intervals cover 80 %. Test accuracy was measured on {measured_on}; predicting the "
        f"majority class alone has {100 * majority:.1f} %. The sampling error of another test set of this "
        f"size, ± {100 * sampling_error:.1f} points at {100 * plan.target:.4g} %, is not included in the "
        "intervals."
    )


def _two_digits(count: float) -> str:
    """Return a count rounded to two significant digits: more would not be supported."""
    digits = max(0, math.floor(math.log10(max(count, 1))) - 1)
    return f"{round(count, -digits):,.0f}"
