"""What an advice takes besides the data: features of images, and a finished diagnosis of the same data."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from dilution.data import UnsplitData, open_examples
from dilution.data.duplicates import find_and_group
from dilution.data.open_examples import shown_name
from dilution.diagnosis import Diagnosis
from dilution.diagnosis.feature_source import FeatureSource
from dilution.diagnosis.saved_diagnosis import open_diagnosis
from dilution.errors import InputError
from dilution.utils.estimate import Estimate
from dilution.utils.stage_log import begin_stage

_LEAST_SLOPE = 0.05  # of agreement against accuracy; below, labels say nearly nothing about the true class


def as_features(data: Any, features: Any, columns: dict[str, Any], root: str | None) -> UnsplitData | None:
    """Return the examples with features in place of their images; None if pixels are asked for.

    Parameters
    ----------
    data, columns
        The data, and the columns of a table, as for :func:`dilution.data.open_examples`.
    features
        As for :func:`dilution.diagnose`, except that the default is none.
    root
        Folder of downloaded data.

    Raises
    ------
    InputError
        If they are no features, or do not fit the examples.
    """
    if features is None:
        return None
    source = FeatureSource(features, trains_here=False)
    examples = open_examples(source.name_with_size(data, **columns), **columns, root=root)
    begin_stage("computing features")
    computed, notes = source.find(data, examples)
    if computed is None:
        return None
    arrays = computed.as_examples(examples.arrays)
    return replace(examples, arrays=arrays, notes=(*examples.notes, *notes))


def find_diagnosis(
    diagnosis: Diagnosis | str | Path | None, data: Any, columns: dict[str, Any], root: str | None
) -> Diagnosis | None:
    """Return a diagnosis of the data, which may be in a folder.

    Parameters
    ----------
    diagnosis
        The diagnosis, or its folder.
    data, columns, root
        As for :func:`as_features`.

    Raises
    ------
    InputError
        If it is a diagnosis of other data.
    DataError
        If it cannot be read.
    """
    if diagnosis is None:
        return None
    examples = open_examples(data, **columns, root=root)
    arrays = examples.arrays
    noisy = arrays if arrays.observed is None else replace(arrays, labels=arrays.observed, observed=None)
    if isinstance(diagnosis, Diagnosis):
        same_labels = diagnosis.labels.tolist() == noisy.labels.tolist()
        if not same_labels or diagnosis.classes != noisy.classes:
            raise InputError(
                f"the diagnosis is of {len(diagnosis.labels):,} labels of {diagnosis.name}, and these are "
                f"not the {len(noisy):,} labels of the data. Diagnose the same data, or leave diagnosis out."
            )
        return diagnosis
    grouped = find_and_group(noisy, str if examples.names is None else examples.names.__getitem__)
    given = replace(examples, arrays=noisy)
    name, copies = shown_name(data, **columns), grouped.copies.groups
    return open_diagnosis(Path(diagnosis), name, given, grouped.arrays, copies=copies)


def clean_accuracy(agreement: Estimate, diagnosis: Diagnosis) -> Estimate | None:
    """Return the accuracy on true labels to which an agreement with noisy labels corresponds.

    At the noise rate η a right prediction agrees with probability 1 − η, and a wrong one of m classes with
    η/(m − 1) on average. So agreement = a (1 − η) + (1 − a) η/(m − 1) at the accuracy a. The interval is that
    of the agreement and that of the noise rate in quadrature, as of independent errors.

    Parameters
    ----------
    agreement
        Share of noisy labels that are the predicted class.
    diagnosis
        A diagnosis of the labels.

    Returns
    -------
    Estimate or None
        None if the diagnosis learned nothing, or labels hardly depend on the true class.
    """
    rate, others = diagnosis.noise_rate, len(diagnosis.classes) - 1
    if not diagnosis.learned or not 1 - rate.value - rate.value / others > _LEAST_SLOPE:
        return None

    def accuracy(agreement: float, noise_rate: float) -> float:
        when_wrong = noise_rate / others
        slope = max(_LEAST_SLOPE, 1 - noise_rate - when_wrong)
        return min(1.0, max(0.0, (agreement - when_wrong) / slope))

    value = accuracy(agreement.value, rate.value)
    below, above = (
        math.hypot(accuracy(of_agreement, rate.value) - value, accuracy(agreement.value, of_rate) - value)
        for of_agreement, of_rate in ((agreement.low, rate.low), (agreement.high, rate.high))
    )
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))
