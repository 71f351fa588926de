"""The function that estimates how noisy labels are: cross-validation, noise fit, tests, label issues."""

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dilution.data import Arrays, UnsplitData, check_classes, load_unsplit
from dilution.data.duplicates import find_and_group, with_groups
from dilution.data.from_arrays import leave_out_unused
from dilution.data.group_files import match_groups
from dilution.data.group_numbers import count_groups
from dilution.data.registry import with_group_column
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import N_BOOTSTRAP, bootstrap
from dilution.diagnosis.class_similarity import class_similarity, similarity_test
from dilution.diagnosis.copies import NO_COPIES, copy_evidence
from dilution.diagnosis.cross_validation import FOLDS, REPEATS, CrossValidation, cross_validate
from dilution.diagnosis.goodness_of_fit import class_conditional_p_value, has_learned
from dilution.diagnosis.label_issues import rank_label_issues
from dilution.diagnosis.noise_fit import HeldOutPredictions, fit_noise
from dilution.diagnosis.noise_pattern import estimate_noise_pattern
from dilution.diagnosis.result import Diagnosis
from dilution.diagnosis.verified_labels import (
    describe_verified_copies,
    read_verified_labels,
    verified_noise_rate,
)
from dilution.errors import InputError
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.training.config import PrecisionName
from dilution.utils.notes import printed_notes

_CLEAREST_ONLY = 2.0  # no probability is as large, so that only the clearest examples are anchors


@takes_execution
def diagnose(
    data: str | Path | Arrays | UnsplitData,
    *,
    model: str | None = None,
    verified_labels: str | Path | Mapping[str, str] | None = None,
    group: str | Path | ArrayLike | None = None,
    folds: int = FOLDS,
    repeats: int = REPEATS,
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
        Name of a data set or path as for :func:`dilution.load`, or `Arrays`. If it has observed
        labels beside true ones, the observed labels are diagnosed, and the true ones are only used
        to count wrong labels.
    model
        Name of a model, of an estimator or of a custom factory, as for :func:`dilution.train`.
        Default: a small ConvNet for images, an MLP for features.
    verified_labels
        Labels that somebody has looked up: id of an example → its class, or the path of a CSV file
        with the columns ``id`` and ``verified_label``. Ids are those of ``label_issues``. A verified
        label counts for its own example, not for copies of it.
    group
        Groups such as patients, whose examples share a fold: a column of a table, which is then no
        feature; the path of a CSV file with the columns ``id`` and another one, the name of the group; or
        one value per example. Copies share a fold in any case.
    folds, repeats
        Folds and repeats of the cross-validation.
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
    log = _print_to_stderr if execution.progress else _ignore
    source, group = with_group_column(data, group)
    examples, copies = _grouped(_open_examples(source, execution.root), group)
    verified, notes = read_verified_labels(verified_labels, examples)
    notes += describe_verified_copies(verified, copies, examples)
    examples = replace(examples, notes=(*examples.notes, *notes))
    for line in printed_notes(examples.notes):
        log(line)
    noisy, true_noise_rate = _noisy_labels(examples.arrays)
    check_classes(noisy.labels, noisy.classes, examples.names)
    cross_validation = cross_validate(
        noisy,
        model=model,
        folds=folds,
        repeats=repeats,
        seed=seed,
        n_distinct=count_groups(copies),
        recipe=recipe,
        precision=precision,
        execution=execution,
        log=log,
    )
    log(f"fitting the noise to {n_bootstrap} bootstrap samples")
    name = str(data) if isinstance(data, str | Path) else "data"
    return diagnose_predictions(
        name, examples, noisy, cross_validation, verified, n_bootstrap, seed, true_noise_rate, copies
    )


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
) -> Diagnosis:
    """Fit the noise to held-out predictions, and test its pattern; `copies` are groups of copies."""
    split_groups = None if noisy.groups is None else noisy.split_groups
    groups = None if split_groups is None else split_groups.numpy()
    labels, pred_probs = noisy.labels.numpy(), cross_validation.pred_probs
    # The total weight is that of the prior of the calibration: copies must not make it weaker.
    weight = 1.0 if copies is None else count_groups(copies) / len(labels)
    predictions = HeldOutPredictions(pred_probs, labels, verified, np.full(len(labels), weight))
    fit = fit_noise(predictions)
    bootstrap_fits = bootstrap(predictions, fit, samples=n_bootstrap, seed=seed, groups=groups)
    alternative = fit_noise(predictions, clear=_CLEAREST_ONLY)
    pattern = estimate_noise_pattern(fit, bootstrap_fits)
    return Diagnosis(
        name=name,
        classes=noisy.classes,
        labels=labels,
        cross_validation=cross_validation,
        learned=has_learned(pred_probs, labels, groups),
        fit=fit,
        bootstrap_fits=bootstrap_fits,
        alternative_fit=alternative,
        noise_pattern=pattern,
        class_similarity=similarity_test(
            fit,
            bootstrap_fits,
            alternative,
            class_similarity(noisy, fit),
            patterned=pattern.kind in ("structured", "concentrated"),
            seed=seed,
        ),
        class_conditional_p_value=class_conditional_p_value(fit, labels, groups),
        n_verified=int((verified >= 0).sum()),
        n_verified_groups=None if groups is None else len(np.unique(groups[verified >= 0])),
        verified_noise_rate=verified_noise_rate(verified, labels, groups),
        label_issues=rank_label_issues(examples, labels, fit),
        true_noise_rate=true_noise_rate,
        n_groups=None if groups is None else count_groups(groups),
        groups_per_class=None if groups is None else count_groups_per_class(groups, labels, noisy.classes),
        copies=NO_COPIES
        if copies is None
        else copy_evidence(copies, labels, fit, bootstrap_fits, groups, seed),
        notes=examples.notes,
    )


def count_groups_per_class(groups: Ints, labels: Ints, classes: tuple[str, ...]) -> Ints:
    """Return the number of groups that have each label, int64, shape (classes,)."""
    of_groups = np.unique(np.stack([labels, groups]), axis=1)[0]
    return np.bincount(of_groups, minlength=len(classes))


def _check_executor(execution: Execution) -> None:
    if execution.executor == "ray":
        raise InputError(
            "executor is 'ray'; diagnose trains on one machine. Use executor='processes' or 'inline'."
        )


def _open_examples(data: object, root: str | None) -> UnsplitData:
    """Return the labelled examples that `data` names or holds, without classes that no label names."""
    if isinstance(data, str | Path):
        data = load_unsplit(data, root)
    elif isinstance(data, Arrays):
        data = UnsplitData(data)
    elif not isinstance(data, UnsplitData):
        raise InputError(
            f"the data are a {type(data).__name__}; diagnose takes the name or path of a data set, or Arrays "
            "of images and labels."
        )
    (arrays,), unused = leave_out_unused([data.arrays])
    return replace(data, arrays=arrays, notes=(*data.notes, *unused)) if unused else data


def _grouped(examples: UnsplitData, group: Any) -> tuple[UnsplitData, Ints]:
    """Return the examples with their groups and notes on them, and the groups of copies."""
    arrays, notes = examples.arrays, examples.notes
    if group is not None:
        groups, group_notes = match_groups(group, examples)
        arrays, notes = with_groups(arrays, groups), (*notes, *group_notes)
    names = examples.names
    grouped = find_and_group(arrays, str if names is None else names.__getitem__)
    notes = tuple(dict.fromkeys((*notes, *grouped.notes)))
    return replace(examples, arrays=grouped.arrays, notes=notes), grouped.copies.groups


def _noisy_labels(arrays: Arrays) -> tuple[Arrays, float]:
    """Return the examples with the labels to diagnose, and their true noise rate where it is known."""
    if arrays.observed is None:
        return arrays, math.nan
    wrong = float((arrays.labels != arrays.observed).double().mean())
    return Arrays(arrays.images, arrays.observed, arrays.classes, groups=arrays.groups), wrong


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ignore(_line: str) -> None:
    pass
