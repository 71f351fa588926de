"""Advice in sentences: the answer, and the reason for each choice."""

import math

from dilution.advice.advise import Advice
from dilution.advice.halving import Kept, Verdict
from dilution.advice.noise_scale import Scale
from dilution.training.recipes import batch_size_for


def answer(advice: Advice) -> str:
    """Return the advice in one plain sentence."""
    run = advice.run
    mean, low, high = advice.accuracy
    labels = "all labels of an image at once" if run.targets == "pooled" else "one label at a time"
    average = f", weights averaged by {run.ema_decay:g}" if run.ema_decay else ""
    what = "of test accuracy" if advice.trusted else "of agreement with the test labels as they are given"
    shifts = f", images shifted by up to {run.translate} pixels" if run.translate else ""
    return (
        f"Train {run.model} on {advice.name} with {labels}, batch {run.batch_size}, "
        f"{run.optimizer.capitalize()} at {run.lr:g} ({_SCHEDULES[run.schedule]}){average}{shifts}: in "
        f"{advice.images:,} images that gave {mean:.1%} [{low:.1%}, {high:.1%}] {what}"
        f"{_AFTER[advice.kept.step]}. {_beside(advice)}"
    )


def _beside(advice: Advice) -> str:
    """Say what naming one class gets, and where that is as much."""
    said = f"Naming the commonest class alone gets {advice.majority:.1%}"
    learned = advice.accuracy[1] > advice.majority
    return f"{said}." if learned else f"{said}: with this budget nothing beyond that was surely learned."


_AFTER = {"last": "", "noisy": " at the step with the least loss on noisy validation labels"}
_SCHEDULES = {
    "constant": "constant",
    "linear": "falling to 0 over the last 70 % of the steps",
    "cosine": "falling to 0 along half a cosine",
    "step": "falling in steps",
}


def growth(advice: Advice) -> str:
    """Say how the noise scale grew with the noise; empty where there is one level."""
    if math.isnan(advice.growth):
        return ""
    first, last = advice.scales[0], advice.scales[-1]
    return (
        f"The gradient noise scale of single labels is {scale_text(first, 'label')} examples without "
        f"added noise and {scale_text(last, 'label')} at α = {last.alpha:g}: it grows as (1 + "
        f"α)^{advice.growth:.2f}, where theory has (1 + α)²."
    )


def reasons(advice: Advice) -> dict[str, str]:
    """Return the reason for each setting of the recipe, one sentence each, and for the ``weights`` kept."""
    at, run, budget = advice.scales[-1], advice.run, f"{advice.images:,} images"
    said: dict[str, str] = {}
    if run.targets == "pooled":
        said["targets"] = (
            "All labels of an image at once: gradients of such images agree from "
            f"{scale_text(at, 'image')} on, those of single labels from {scale_text(at, 'label')}."
        )
    else:
        said["targets"] = "Each image has one label: there is nothing to pool."
    unit, kind = ("images", "image") if run.targets == "pooled" else ("examples", "label")
    _, bound = batch_size_for(min(getattr(at, kind), 1e9), advice.images)
    said["batch_size"] = (
        f"The gradient noise scale is {scale_text(at, kind)} {unit}"
        + {
            "scale": "; larger batches would waste images, smaller ones only time.",
            "budget": f", but a budget of {budget} allows no larger one, with {run.steps} steps.",
            "largest": "; larger batches than this are not proposed.",
            "least": "; smaller batches than this only cost time.",
        }[bound]
    )
    said["optimizer"] = "Not searched: Adam needs no other rate for each network."
    last = advice.trials[advice.trials["share"] == advice.trials["share"].max()]
    first = advice.trials[advice.trials["share"] == advice.trials["share"].min()]
    tried = ", ".join(f"{rate:g}" for rate in sorted(first["lr"]))
    edge = advice.run.lr in (first["lr"].min(), first["lr"].max())
    said["lr"] = (
        f"The best of {tried} on noisy validation labels, by successive halving up to "
        f"{last['share'].iloc[0]:g} of the budget."
        + (" It is at the edge of these: one beyond might do better." if edge else "")
    )
    for each in advice.verdicts:
        said[each.setting] = _verdict(each)
    said["weights"] = _kept(advice.kept)
    return said


def _kept(found: Kept) -> str:
    named = f"{abs(found.gain):.2%} ± {found.error:.2%} of the noisy validation labels"
    if found.step == "noisy":
        return (
            "Keep those of the step with the least loss on noisy validation labels: the last step names "
            f"{named} fewer."
        )
    if found.gain > found.error:
        return f"Keep the last: the step with the least noisy loss names {named} fewer."
    if found.gain == found.error == 0:
        return "Keep the last: the step with the least noisy loss names as many noisy labels."
    return (
        "Keep the last: the step with the least noisy loss names no more noisy validation labels, as far "
        f"as {found.gain:+.2%} ± {found.error:.2%} can tell."
    )


def _verdict(each: Verdict) -> str:
    gain, error = (f"{value:.2g}" for value in (abs(each.gain), each.error))
    if math.isinf(each.gain):
        return f"With {each.other} trainings diverged."
    if abs(each.gain) <= each.error:
        return (
            f"No worse than {each.other}, as far as {gain} ± {error} nats of noisy validation loss can tell."
        )
    better = "better" if each.gain > 0 else "worse"
    return f"{gain} ± {error} nats of noisy validation loss {better} than {each.other}."


def scale_text(at: Scale, kind: str) -> str:
    """Return a noise scale with its interval as text; `kind` is ``"label"`` or ``"image"``."""
    value, low, high = (getattr(at, kind + end) for end in ("", "_low", "_high"))
    shown = ["∞" if math.isinf(each) else f"{each:,.0f}" for each in (value, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"
