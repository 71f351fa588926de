"""The result of a fit in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dilution.fitting.methods import DESCRIPTIONS, METHODS

if TYPE_CHECKING:
    from dilution.fitting.result import FitResult
    from dilution.fitting.validation import Candidate


def answer(result: FitResult) -> str:
    """Return the answer in one sentence."""
    if result.diagnosis is not None and not result.diagnosis.learned:
        return (
            "Held-out labels are predicted no better than by their frequencies, so that nobody can tell "
            "whether the model is of use: the examples may be too few, or the labels noise alone."
        )
    if result.accuracy is None:
        n = f"{result.n_examples:,}"
        return f"A model was fitted to {n} examples, too few to estimate how often it is right."
    return (
        f"The model is right on {result.accuracy.clean.percent()} of new examples, as estimated from noisy "
        "labels."
    )


def details(result: FitResult) -> list[str]:
    """Return further results, one sentence each."""
    sentences = [_method(result)]
    chosen = next((c for c in result.candidates if c.method == result.method), None)
    if chosen is not None:
        sentences.append(f"Models: {describe_models(chosen)}, fitted to all {result.n_examples:,} examples.")
    if result.accuracy is not None:
        agreement, largest = result.accuracy.agreement, result.accuracy.largest_agreement
        sentences.append(
            f"It agrees with {agreement.percent()} of held-out noisy labels; a model without errors would "
            f"agree with {largest.percent()}."
        )
        sentences.append(
            "Classes that overlap look like wrong labels, so that the model may be right less often than "
            "estimated; the lower bound allows for that. Verified labels tell more."
        )
    if result.n_verified:
        noun = "label was" if result.n_verified == 1 else "labels were"
        sentences.append(f"{result.n_verified:,} verified {noun} learned in place of the given ones.")
    return sentences


def _method(result: FitResult) -> str:
    """Return the method with the reason for it."""
    description = DESCRIPTIONS[result.method]
    if not result.is_auto:
        return f"Method: {result.method} ({description}), as asked for."
    names_of: dict[str, list[str]] = {}
    for name in METHODS:
        if name in result.obstacles:
            names_of.setdefault(result.obstacles[name], []).append(name)
    untried = [f"{', '.join(names)} not tried, as {reason}" for reason, names in names_of.items()]
    if len(result.candidates) < 2:
        reason = "; ".join(untried) or "there are too few examples to compare methods"
        return f"Method: {result.method} ({description}): {reason}."
    losses = ", ".join(
        f"{candidate.method} {candidate.loss:.4f}"
        for candidate in sorted(result.candidates, key=lambda candidate: candidate.loss)
    )
    text = (
        f"Method: {result.method} ({description}): it predicts held-out noisy labels best. Cross entropy in "
        f"nats: {losses}"
    )
    return "; ".join([text, *untried]) + "."


def describe_models(candidate: Candidate) -> str:
    """Return the models of a method, with budgets and shares in the average."""
    parts = [
        f"{score.learner.name} ({score.learner.describe_budget(score.budget)})" for score in candidate.scores
    ]
    if len(parts) == 1:
        return parts[0]
    shares = [f"{score.share:.0%}" for score in candidate.scores]
    *others, last = [f"{share} {part}" for share, part in zip(shares, parts, strict=True)]
    return f"{', '.join(others)} and {last}"
