"""An advice in sentences: the answer, the growth of the noise scale, and the reason for each setting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dilution.training.recipes import BatchSizeRule, batch_size_for
from dilution.utils.estimate import Estimate

if TYPE_CHECKING:
    from dilution.advice.ablation import CheckpointChoice, Comparison
    from dilution.advice.result import Advice
    from dilution.utils.estimate import Estimate

_MAX_SCALE = 1e9  # stands for an infinite noise scale
_SCHEDULES = {
    "constant": "constant",
    "linear": "decreasing to 0 over the last 70 % of the steps",
    "cosine": "decreasing to 0 along half a cosine",
    "step": "decreasing in steps",
}
_BEST = "the step with the lowest loss on noisy validation labels"


def answer(advice: Advice) -> str:
    """Return the advised settings and their test accuracy."""
    run = advice.run
    ema = f", EMA decay {run.ema_decay:g}" if run.ema_decay else ""
    schedule = _SCHEDULES.get(run.schedule, run.schedule)
    shifts = f", images shifted by up to {run.translate} pixels" if run.translate else ""
    return (
        f"Train {run.model} on {advice.name} with {run.targets} targets, batch size {run.batch_size}, "
        f"{run.optimizer.capitalize()} at learning rate {run.lr:g} ({schedule}){ema}{shifts}"
        f": {accuracy_text(advice)} after {advice.n_images:,} examples"
        f"{'' if advice.checkpoint.step == 'last' else f', at {_BEST}'}. {_majority_sentence(advice)}"
    )


def accuracy_text(advice: Advice) -> str:
    """Return the test accuracy with its interval, and what it is measured against.

    With a diagnosis the accuracy on clean labels comes first, which noisy test labels do not show.
    """
    if advice.clean_accuracy is not None:
        return (
            f"{advice.clean_accuracy.percent()} right, as estimated from "
            f"{advice.accuracy.percent()} agreement with the test labels as they are"
        )
    measure = "test accuracy" if advice.trusts_test_labels else "agreement with the test labels as they are"
    return f"{advice.accuracy.percent()} {measure}"


def _majority_sentence(advice: Advice) -> str:
    majority = f"{100 * advice.majority_share:.1f} %"
    if advice.accuracy.low > advice.majority_share:
        return f"Predicting the majority class alone has {majority}."
    if advice.clean_accuracy is not None:
        return (
            f"The most frequent label alone agrees with {majority} of the test labels, not significantly "
            "fewer than the model does: where labels are wrong, agreement hides how much better a model is."
        )
    return f"At this budget the model is not significantly better than the majority class ({majority})."


def noise_text(advice: Advice) -> str:
    """Return the noise in the unit in which the user gave it: ``"α = 4"``, ``"noise rate 0.4 (α = 0.8)"``."""
    alpha = f"α = {advice.noise_scales[-1].alpha:.3g}"
    return alpha if advice.eta is None else f"noise rate {advice.eta:g} ({alpha})"


def details(advice: Advice) -> list[str]:
    """Return the clean accuracy, how the noise scale grows with the noise, and how labels were noised."""
    sentences = _clean_sentences(advice)
    if advice.run.noise == "observed" or not advice.run.alpha:
        return sentences
    if not math.isnan(advice.growth_exponent):
        first, last = advice.noise_scales[0], advice.noise_scales[-1]
        n_infinite = sum(math.isinf(scale.label.value) for scale in advice.noise_scales)
        levels = f"{n_infinite} of {len(advice.noise_scales)} noise levels"
        left_out = f" (left out: {levels}, at which it is infinite)" if n_infinite else ""
        sentences.append(
            f"The gradient noise scale of single labels grows as (1 + α)^{advice.growth_exponent:.2f}"
            f"{left_out}; theory: (1 + α)². It is {_scale_text(first.label)} examples without added noise "
            f"and {_scale_text(last.label)} at {noise_text(advice)}."
        )
    return [*sentences, *([_mode_sentence(advice)] if advice.is_mode_assumed else [])]


def _clean_sentences(advice: Advice) -> list[str]:
    """Return what a diagnosis says of the agreement with noisy test labels."""
    clean = advice.clean_accuracy
    if advice.diagnosis is None or clean is None:
        return []
    rate = advice.diagnosis.noise_rate
    most = Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low)
    return [
        f"By the diagnosis {rate.percent()} of the labels are wrong, so that a model without errors would "
        f"agree with {most.percent()} of the test labels. This model is right on "
        f"{clean.percent()} of them, as estimated."
    ]


def _mode_sentence(advice: Advice) -> str:
    if advice.run.label_mode == "replaced":
        return (
            "Noisy labels replace the labels, since each example of your own data has one; the label mode "
            "'added' adds them instead."
        )
    return "Noisy labels are added to the labels, as in the paper; the label mode 'replaced' replaces them."


def reasons(advice: Advice) -> dict[str, str]:
    """Return the reason for each setting of the recipe, and for the ``checkpoint`` that is kept."""
    return {
        "targets": _targets_reason(advice),
        "batch_size": _batch_size_reason(advice),
        "optimizer": "Not searched: Adam needs no separate learning rate for each model.",
        "lr": _lr_reason(advice),
        **{comparison.setting: _comparison_reason(comparison) for comparison in advice.comparisons},
        "checkpoint": _checkpoint_reason(advice.checkpoint),
    }


def _targets_reason(advice: Advice) -> str:
    if advice.run.targets != "pooled":
        return "Each example has one label: label pooling does not apply."
    scale = advice.noise_scales[-1]
    return (
        f"Gradients of all labels of an example agree from a batch of {_scale_text(scale.image)} examples "
        f"on, those of single labels from {_scale_text(scale.label)} labels on."
    )


def _batch_size_reason(advice: Advice) -> str:
    pooled, scale = advice.run.targets == "pooled", advice.noise_scales[-1]
    estimate, unit = (scale.image, "examples") if pooled else (scale.label, "labels")
    _, rule = batch_size_for(min(estimate.value, _MAX_SCALE), advice.n_images)
    conclusions: dict[BatchSizeRule, str] = {
        "scale": "larger batches would waste examples, smaller ones time.",
        "budget": f"the budget of {advice.n_images:,} examples leaves {advice.run.steps} steps, and larger "
        "batches would leave too few.",
        "largest": "this is the largest batch size that is proposed.",
        "least": "smaller batches would only take longer.",
    }
    return f"The gradient noise scale is {_scale_text(estimate)} {unit}; {conclusions[rule]}"


def _lr_reason(advice: Advice) -> str:
    trials = advice.lr_trials
    first = trials[trials["budget_fraction"] == trials["budget_fraction"].min()]
    tried = ", ".join(f"{lr:g}" for lr in sorted(first["lr"]))
    at_edge = advice.run.lr in (first["lr"].min(), first["lr"].max())
    return (
        f"The best of {tried} on noisy validation labels, by successive halving up to "
        f"{trials['budget_fraction'].max():g} of the budget."
        + (" It is the first or last of these; one beyond may be better." if at_edge else "")
    )


def _checkpoint_reason(choice: CheckpointChoice) -> str:
    points = f"{100 * abs(choice.gain):.1f} ± {100 * choice.error:.1f} points"
    lower = f"has {points} lower accuracy on noisy validation labels."
    if choice.step == "at_best_noisy_val":
        return f"Keep {_BEST}: the last step {lower}"
    if choice.gain > choice.error:
        return f"Keep the last step: {_BEST} {lower}"
    if choice.gain == choice.error == 0:
        return f"Keep the last step: {_BEST} has the same accuracy on noisy validation labels."
    signed = f"{-100 * choice.gain:+.1f} ± {100 * choice.error:.1f} points".replace("-", "−")
    return (
        f"Keep the last step: {_BEST} is not more accurate on noisy validation labels by a standard error "
        f"({signed})."
    )


def _comparison_reason(comparison: Comparison) -> str:
    gain, error = f"{abs(comparison.gain):.2g}", f"{comparison.error:.2g}"
    other = f"{comparison.setting} = {comparison.other}"
    if math.isinf(comparison.gain):
        return f"Trainings with {other} diverged."
    if abs(comparison.gain) <= comparison.error:
        return (
            f"Within a standard error of {other}: the noisy validation losses differ by {gain} ± {error} "
            "nats."
        )
    direction = "lower" if comparison.gain > 0 else "higher"
    return f"{gain} ± {error} nats {direction} noisy validation loss than with {other}."


def _scale_text(estimate: Estimate) -> str:
    """Return a noise scale with its interval: ``"331 [202, ∞]"``."""
    value, low, high = (
        "∞" if math.isinf(bound) else f"{bound:,.0f}"
        for bound in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"
