"""Held-out predictions of a diagnosis: given ones, regressions on features, or networks trained here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilution.data import Arrays, UnsplitData
from dilution.diagnosis.cross_validation import BUDGETS, REPEATS, CrossValidation, cross_validate
from dilution.diagnosis.feature_head import FeaturePredictions, predict_from_features
from dilution.diagnosis.feature_source import FEW, Features, FeatureSource, are_photographs
from dilution.diagnosis.given_probabilities import given_cross_validation
from dilution.diagnosis.many_classes import MANY_BUDGETS, MANY_REPEATS, describe_many
from dilution.diagnosis.result import (
    MIN_PER_CLASS,
    MIN_PER_CLASS_WITH_FEATURES,
    MIN_PHOTOGRAPHS_PER_CLASS,
)
from dilution.models import name_model
from dilution.study.execution import Execution
from dilution.training.config import PrecisionName
from dilution.utils.stage_log import StageLog


@dataclass(frozen=True)
class HeldOut:
    """Held-out predictions, and what is to be known of them.

    Parameters
    ----------
    cross_validation
        The predictions.
    notes
        Where they come from, one sentence each.
    min_per_class
        Examples per class below which the noise rate that they give is an upper bound.
    regressions
        What repeats them with other labels; None unless they are regressions on features.
    """

    cross_validation: CrossValidation
    notes: tuple[str, ...]
    min_per_class: int
    regressions: FeaturePredictions | None = None


def predict_held_out(
    data: Any,
    examples: UnsplitData,
    noisy: Arrays,
    source: FeatureSource,
    *,
    model: Any,
    pred_probs: Any,
    folds: int,
    repeats: int | None,
    seed: int,
    n_distinct: int,
    recipe: str | Path | None,
    precision: PrecisionName,
    execution: Execution,
    log: StageLog,
) -> HeldOut:
    """Return held-out predictions of the noisy labels.

    Parameters
    ----------
    data
        What the user gave.
    examples
        The examples in it.
    noisy
        The same with the noisy labels.
    source
        Where features come from.
    model, pred_probs, folds, repeats, seed, recipe, precision, execution
        As for :func:`dilution.diagnose`.
    n_distinct
        Number of examples without copies.
    log
        Writes lines about the progress.

    Raises
    ------
    InputError
        If an argument does not fit the data.
    DataError
        If a file cannot be read.
    """
    if pred_probs is not None:
        given, notes = given_cross_validation(pred_probs, examples, noisy.labels.numpy())
        return HeldOut(given, notes, MIN_PER_CLASS)
    log.begin("computing features")
    features, notes = source.find(data, examples)
    log.begin("predicting held-out labels")
    if features is not None and source.trains_here and len(noisy) <= FEW:
        regressions = predict_from_features(
            features.values,
            noisy,
            features.name,
            folds=folds,
            repeats=REPEATS if repeats is None else repeats,
            seed=seed,
            log=log,
        )
        return HeldOut(regressions.cross_validation, notes, MIN_PER_CLASS_WITH_FEATURES, regressions)
    cross_validation = cross_validate(
        noisy if features is None else features.as_examples(noisy),
        model=name_model(model),
        folds=folds,
        repeats=repeats,
        seed=seed,
        n_distinct=n_distinct,
        recipe=recipe,
        precision=precision,
        execution=execution,
        log=log,
    )
    notes = (*notes, *_many_classes_note(noisy, repeats))
    return HeldOut(cross_validation, notes, _min_per_class(noisy, features))


def _many_classes_note(noisy: Arrays, repeats: int | None) -> tuple[str, ...]:
    """Return a note on what the cross-validation leaves out where classes are many."""
    budgets = " or ".join(map(str, MANY_BUDGETS))
    once = (
        f"{MANY_REPEATS} repeat of the cross-validation in place of {REPEATS} and " if repeats is None else ""
    )
    return describe_many(
        len(noisy.classes),
        f"held-out predictions come from {once}networks of {budgets} epochs in place of up to {BUDGETS[-1]}",
    )


def _min_per_class(noisy: Arrays, features: Features | None) -> int:
    """Return the examples per class below which an estimate of networks trained here is an upper bound."""
    learns_pixels = are_photographs(noisy.shape) and features is None
    return MIN_PHOTOGRAPHS_PER_CLASS if learns_pixels else MIN_PER_CLASS
