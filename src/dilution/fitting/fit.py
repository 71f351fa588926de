"""The function that fits a model to doubtful labels: diagnosis, methods, validation, refit on all rows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dilution.data import Arrays, UnsplitData, open_examples
from dilution.data.class_checks import check_two_classes
from dilution.data.duplicates import find_and_group
from dilution.data.id_table import check_id_file
from dilution.data.open_examples import shown_name
from dilution.diagnosis import Diagnosis, diagnose
from dilution.diagnosis.counts import check_counts
from dilution.diagnosis.cross_validation import FOLDS
from dilution.diagnosis.feature_source import FeatureSource
from dilution.diagnosis.held_out_file import verified_classes
from dilution.diagnosis.result import MIN_PER_CLASS_WITH_FEATURES
from dilution.diagnosis.saved_diagnosis import open_diagnosis
from dilution.diagnosis.verified_labels import open_verified_labels
from dilution.errors import InputError, unknown
from dilution.fitting.choice import AUTO, Choice, Fitting
from dilution.fitting.estimator_learner import EstimatorLearner, cannot_save, check_weights
from dilution.fitting.example_weights import ALREADY_WEIGHTED, weigh_examples
from dilution.fitting.extractor import Extractor
from dilution.fitting.feature_learner import FeatureLearner
from dilution.fitting.fitted_model import FittedModel
from dilution.fitting.label_types import label_type
from dilution.fitting.learner_selection import describe_selection, select_learners
from dilution.fitting.learners import Floats, Learner, NetworkLearner
from dilution.fitting.methods import METHODS
from dilution.fitting.network_loss import check_network_loss, describe_network_loss
from dilution.fitting.result import FitResult
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.training.early_checks import check_settings
from dilution.utils.notes import printed_notes
from dilution.utils.stage_log import StageLog
from dilution.utils.whole_numbers import check_count

N_BOOTSTRAP = 50
"""Bootstrap samples behind the interval of the clean accuracy."""

MAX_MODELS = 1_000
"""Most networks that are averaged: more change no prediction."""


@takes_execution
def fit(
    data: Any,
    *,
    label: str | None = None,
    noisy_label: Any = None,
    ids: Any = None,
    group: str | Path | ArrayLike | None = None,
    method: str = AUTO,
    model: Any = None,
    features: Any = None,
    diagnosis: Diagnosis | str | Path | None = None,
    verified_labels: str | Path | Mapping[str, str] | None = None,
    sample_weight: ArrayLike | None = None,
    n_models: int | None = None,
    folds: int = FOLDS,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    recipe: str | Path | None = None,
    loss: Any = None,
    to_file: bool = False,
    execution: Execution | None = None,
) -> FitResult:
    """Fit a model to examples with doubtful labels, by the method that predicts held-out labels best.

    Parameters
    ----------
    data, label, noisy_label, ids, group
        As for :func:`dilution.diagnose`. Of true labels beside observed ones, the observed ones are learned.
    method
        ``"plain"``: the labels as they are; ``"forward"``: forward correction with the estimated transition
        matrix; ``"prune"``: label issues left out; ``"reweight"``: each label weighted by the probability
        that it is right; or ``"auto"``: whichever of these predicts held-out noisy labels best.
    model
        Name of a network, ``"module:factory"``, or a class or function that makes a ``torch.nn.Module``;
        ``"sklearn:forest"``, ``"sklearn:boosting"`` or ``"sklearn:logistic"``; or a classifier of
        scikit-learn, an instance or a class, which gets features as they are and images as rows of numbers
        in [0, 1]. Default: for images a small ConvNet; for tables the average of networks, a random forest,
        boosted trees and logistic regression with the shares that predict held-out labels best; for
        `features` logistic regression.
    features
        As for :func:`dilution.diagnose`, with the same default. Of a function, predictions on new images take
        features by the same function; of numbers, predictions take such numbers in place of images.
    diagnosis
        A diagnosis of these examples, or the folder that one was written to, whose transition matrix and
        label issues are used. Default: one is made from the held-out predictions of the same models.
    verified_labels
        As for :func:`dilution.diagnose`. They are learned in place of the given labels. Default: those of
        `diagnosis`.
    sample_weight
        Weight of each example, shape (n,), ≥ 0. The diagnosis does not use it. Default: the column
        ``label_weight`` of a table that has one, as ``diagnose --clean weight`` writes it; otherwise all 1.
    n_models
        Number of networks whose average is the model. Default: 4 of those that train together, otherwise 1.
    folds
        Folds of the cross-validation.
    n_bootstrap
        Bootstrap samples behind the interval of the clean accuracy.
    seed
        Root seed of the folds, the weights, the batch order and the bootstrap.
    recipe
        ``"advised"``, or the path of a recipe: how networks are trained, except for `targets` and the number
        of epochs.
    loss
        Loss of the networks: a name with parameters such as ``"gce(q=0.3)"``, as for :func:`dilution.train`,
        that depends on logits and one label alone; other models of the average keep their own. With another
        loss than cross entropy no network is trained with forward correction. Default: that of `recipe`, or
        cross entropy.
    to_file
        Whether the model will be saved, so that one that no file can hold is refused before it is fitted.
    execution
        Its `device`, `data_root` and `progress` are used.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        If an argument breaks its rule, or the method is not expected to help.
    DataError
        If a file cannot be read.
    """
    started = time.perf_counter()
    execution = execution or Execution()
    check_counts(seed, folds=folds, n_bootstrap=n_bootstrap)
    if method not in (AUTO, *METHODS):
        raise unknown("method", method, (AUTO, *METHODS))
    if n_models is not None:
        check_count("n_models", n_models, 1, MAX_MODELS)
    loss = check_network_loss(loss)
    is_free = model is None and recipe is None
    source = FeatureSource(
        features, trains_here=is_free and loss is None, names_loss=is_free and loss is not None
    )
    check_settings(model, recipe, weighs_labels=True)
    source.check()
    check_id_file(verified_labels)
    columns = {"label": label, "noisy_label": noisy_label, "ids": ids, "group": group}
    with StageLog.to_stderr("reading the data", progress=execution.progress) as log:
        name = shown_name(data, **columns)
        examples = open_examples(source.name_with_size(data, **columns), **columns, root=execution.root)
        verified = open_verified_labels(verified_labels, examples)
        noisy = _noisy(examples.arrays)
        check_two_classes(noisy.labels, noisy.classes)
        kind = label_type(data, noisy_label if isinstance(noisy_label, str) else label, noisy.classes)
        log.begin("searching for copies")
        grouped = find_and_group(noisy, str if examples.names is None else examples.names.__getitem__)
        arrays = grouped.arrays
        notes = tuple(dict.fromkeys((*examples.notes, *grouped.notes, *verified.notes)))
        for line in printed_notes(notes):
            log(line)
        if isinstance(diagnosis, str | Path):
            given, copies = replace(examples, arrays=noisy), grouped.copies.groups
            diagnosis = open_diagnosis(Path(diagnosis), name, given, arrays, seed=seed, copies=copies)
        if diagnosis is not None:
            _check_diagnosis(diagnosis, arrays)
        known = verified.classes
        if verified_labels is None and diagnosis is not None:
            known = verified_classes(diagnosis)
            if count := int((known != -1).sum()):
                subject = "1 verified label" if count == 1 else f"{count:,} verified labels"
                notes = (*notes, f"the fit uses {subject} of the diagnosis")
                log(f"note: {notes[-1]}")
        weights, weight_notes = weigh_examples(sample_weight, examples, known)
        for line in printed_notes(weight_notes):
            log(line)
        notes = (*notes, *weight_notes)
        log.begin("computing features")
        learned, feature_notes = source.find(data, examples)
        for line in printed_notes(feature_notes):
            log(line)
        notes = (*notes, *feature_notes)
        inputs = arrays if learned is None else learned.as_examples(arrays)
        learners = (
            [FeatureLearner()]
            if learned is not None and source.trains_here
            else select_learners(model, inputs, recipe, execution.device_type, loss)
        )
        selection_notes = (*describe_selection(learners, inputs), *describe_network_loss(learners, loss))
        for line in printed_notes(selection_notes):
            log(line)
        notes = (*notes, *selection_notes)
        for learner in learners:
            if isinstance(learner, EstimatorLearner):
                check_weights(learner, weights)
                if to_file and not learner.is_saved:
                    raise InputError(cannot_save(learner.name))
        fitting = Fitting(inputs, known, weights, learners, folds, seed, log)
        given = replace(examples, arrays=noisy, notes=())
        log.begin("fitting models")
        is_weighted = method == AUTO and sample_weight is None and examples.weights is not None
        choice = fitting.choose(
            "plain" if is_weighted else method,
            diagnosis,
            partial(_diagnose, given, verified_labels, n_bootstrap, seed),
        )
        if is_weighted:
            others = {name: ALREADY_WEIGHTED for name in METHODS if name != choice.method}
            choice = replace(choice, obstacles=others)
        if learned is not None and choice.diagnosis is not None and diagnosis is None:
            of_features = replace(choice.diagnosis, min_per_class=MIN_PER_CLASS_WITH_FEATURES)
            choice = replace(choice, diagnosis=of_features)
        members, shares = fitting.refit(choice, n_models)
    # Of features that were given as numbers, nothing is known about how they were made of images.
    taken = inputs if learned is not None and learned.function is None else arrays
    fitted = FittedModel(
        _model_name(fitting.learners, choice),
        taken.shape,
        taken.dtype,
        taken.classes,
        members,
        choice.method,
        None if taken is inputs and learned is not None else examples.arrays.encoding,
        _facts(name, len(arrays), seed, loss, choice),
        shares,
        None
        if learned is None or learned.function is None
        else Extractor.of_function(learned.name, learned.function, inputs.shape[0]),
        kind,
    )
    return FitResult(
        name=name,
        model=fitted,
        method=choice.method,
        is_auto=method == AUTO,
        candidates=choice.candidates,
        obstacles=choice.obstacles,
        diagnosis=choice.diagnosis,
        noise=choice.noise,
        accuracy=choice.accuracy,
        n_examples=len(arrays),
        n_verified=int((known >= 0).sum()),
        seconds=time.perf_counter() - started,
        notes=notes,
    )


def _diagnose(
    examples: UnsplitData, verified_labels: Any, n_bootstrap: int, seed: int, pred_probs: Floats
) -> Diagnosis:
    """Return the diagnosis of held-out predictions."""
    return diagnose(
        examples,
        pred_probs=pred_probs,
        verified_labels=verified_labels,
        n_bootstrap=n_bootstrap,
        seed=seed,
        execution=Execution(progress=False),
    )


def _model_name(learners: Sequence[Learner], choice: Choice) -> str:
    """Return the name of the network in the average, or that of the trees if there is none."""
    used = learners if choice.best is None else [score.learner for score in choice.best.scores]
    return next((learner.name for learner in used if isinstance(learner, NetworkLearner)), used[0].name)


def _noisy(arrays: Arrays) -> Arrays:
    """Return the examples with the labels to learn."""
    return arrays if arrays.observed is None else replace(arrays, labels=arrays.observed, observed=None)


def _check_diagnosis(diagnosis: Diagnosis, data: Arrays) -> None:
    """Refuse a diagnosis of other examples."""
    if not np.array_equal(diagnosis.labels, data.labels.numpy()) or diagnosis.classes != data.classes:
        raise InputError(
            f"the diagnosis is of {len(diagnosis.labels):,} labels of {diagnosis.name}, and these are not "
            f"the {len(data):,} labels to learn. Diagnose the same data, or leave diagnosis out."
        )


def _facts(name: str, n: int, seed: int, loss: str | None, choice: Choice) -> dict[str, Any]:
    """Return what a model file keeps of the fit."""
    facts: dict[str, Any] = {"data": name, "n_examples": n, "seed": seed}
    if loss is not None:
        facts["loss"] = loss
    if choice.best is not None:
        facts["models"] = [
            {
                "model": score.learner.name,
                "budget": score.learner.describe_budget(score.budget),
                "share": round(score.share, 4),
            }
            for score in choice.best.scores
        ]
    if choice.accuracy is not None:
        facts["clean_accuracy"] = choice.accuracy.clean.to_dict()
        facts["agreement"] = choice.accuracy.agreement.to_dict()
    return facts
