"""The one call: networks predict held-out labels, and a fit tells their errors from those of the labels."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.special import gammaincc
from scipy.stats import binomtest

from dilution.data import Arrays, Labelled, check_classes, labelled
from dilution.diagnosis.bootstrap import DRAWS, bootstrap
from dilution.diagnosis.class_similarity import likeness, order_of
from dilution.diagnosis.cross_validation import FOLDS, REPEATS, HeldOut, held_out
from dilution.diagnosis.label_issues import suspects
from dilution.diagnosis.noise_fit import Floats, Ints, Mixture, Observed, fit
from dilution.diagnosis.noise_pattern import shape_of
from dilution.diagnosis.result import Diagnosis
from dilution.diagnosis.verified_labels import read_checked
from dilution.errors import InputError
from dilution.training.config import PrecisionName

_BINS = 10
_SUREST_ALONE = 2.0  # no probability is as large: what counts as clear by it does not
_LEARNED = 3.0  # standard errors by which held-out labels must be predicted better than by their frequencies


def diagnose(
    data: str | Path | Arrays | Labelled,
    *,
    model: str | None = None,
    checked: str | Path | Mapping[str, str] | None = None,
    folds: int = FOLDS,
    repeats: int = REPEATS,
    draws: int = DRAWS,
    seed: int = 0,
    recipe: str | Path | None = None,
    precision: PrecisionName = "float32",
    root: str | Path | None = None,
    workers: int | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = lambda _: None,
) -> Diagnosis:
    """Estimate how noisy labels are, from the noisy labels alone.

    Parameters
    ----------
    data
        Name of a data set or path as for :func:`dilution.load`; or `Arrays`. Where they have observed labels
        beside right ones, the observed ones are diagnosed, and the right ones only counted against.
    network
        Name of a network, of one's own or of a learner, as for :func:`dilution.train`. Default: a small
        ConvNet for images, an MLP for features.
    checked
        Right labels that somebody has looked up: row to class, or the path of a CSV file with columns ``row``
        and ``right``. Rows are called as in the list of suspects.
    folds, repeats
        As for :func:`dilution.diagnosis.cross_validation.held_out`.
    draws
        Bootstrap draws behind the intervals.
    seed
        Root seed of folds, weights, order and bootstrap.
    recipe
        ``"advised"``, or the path of a recipe: how the networks train, but for the order and the epochs.
    precision
        What products are computed in, ``"float32"`` or ``"bfloat16"``.
    root
        Folder of downloaded data.
    workers
        Processes that train; default one a core. 0 trains in this process. Scripts that use worker processes
        need the usual ``if __name__ == "__main__":`` guard.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    say
        Called with lines on progress.

    Raises
    ------
    InputError
        If there are too few examples, or one class only, or a name is unknown.
    DataError
        If a file cannot be read.
    """
    examples = data if isinstance(data, Labelled) else _opened(data, root)
    for note in examples.notes:
        say(note)
    arrays = examples.arrays
    truth = arrays.labels if arrays.observed is not None else None
    noisy = arrays.labels if arrays.observed is None else arrays.observed
    labels = noisy.numpy()
    check_classes(noisy, arrays.classes)
    right = read_checked(checked, examples)
    predicted = held_out(
        Arrays(arrays.images, noisy, arrays.classes),
        model=model,
        folds=folds,
        repeats=repeats,
        seed=seed,
        recipe=recipe,
        precision=precision,
        workers=workers,
        device=device,
        say=say,
    )
    seen = Observed(predicted.probabilities, labels, right, np.ones(len(labels)))
    found = fit(seen)
    say(f"fitting again to {draws} bootstrap draws")
    drawn = bootstrap(seen, found, draws=draws, seed=seed)
    other = fit(seen, clear=_SUREST_ALONE)
    shape = shape_of(found, drawn)
    patterned, alike = shape.kind in ("structured", "concentrated"), likeness(arrays, found)
    return Diagnosis(
        name=str(data) if isinstance(data, str | Path) else "data",
        classes=arrays.classes,
        labels=labels,
        held_out=predicted,
        learned=_learned(predicted, labels),
        found=found,
        drawn=drawn,
        other=other,
        shape=shape,
        order=order_of(found, drawn, other, alike, patterned=patterned, seed=seed),
        misfit=_misfit(found, labels),
        checked=int((right >= 0).sum()),
        checked_wrong=_wilson(int((right[right >= 0] != labels[right >= 0]).sum()), int((right >= 0).sum())),
        suspects=suspects(examples, labels, found),
        counted=math.nan if truth is None else float((truth != noisy).double().mean()),
    )


def _opened(data: str | Path | Arrays, root: str | Path | None) -> Labelled:
    if isinstance(data, Arrays):
        return Labelled(data)
    if isinstance(data, str | Path):
        return labelled(data, root)
    raise InputError(
        f"the data are a {type(data).__name__}; diagnose takes the name or path of a data set, or Arrays of "
        "images and labels."
    )


def _learned(predicted: HeldOut, labels: Ints) -> bool:
    """Return whether held-out labels are predicted better than by their frequencies, beyond chance."""
    shares = np.bincount(labels, minlength=predicted.probabilities.shape[1]) / len(labels)
    gain = np.log(predicted.probabilities[np.arange(len(labels)), labels] / shares[labels])
    return bool(gain.mean() > _LEARNED * gain.std() / math.sqrt(len(gain)))


def _wilson(count: int, of: int) -> tuple[float, float, float]:
    """Return a share with Wilson's 95 % interval (1927); NaN of none."""
    if not of:
        return math.nan, math.nan, math.nan
    found = binomtest(count, of)
    low, high = found.proportion_ci(method="wilson")
    return float(found.statistic), float(low), float(high)


def _misfit(found: Mixture, labels: Ints) -> float:
    """Return the p-value of a χ² test that labels agree with the network as often as the fit says.

    Examples are put into ten bins by how sure the network is of their class; in each, agreements are counted
    and compared with their expectation.
    """
    taken = found.posterior.argmax(axis=1)
    sure = found.posterior.max(axis=1)
    expected = (found.posterior * found.matrix[:, taken].T).sum(axis=1)
    agree: Floats = (labels == taken).astype(np.float64)
    statistic = 0.0
    bins = np.array_split(np.argsort(sure, kind="stable"), _BINS)
    for rows in bins:
        variance = float((expected[rows] * (1 - expected[rows])).sum())
        statistic += float((agree[rows] - expected[rows]).sum()) ** 2 / max(variance, 1e-9)
    freedom = _BINS - 2  # the calibration has taken up to two
    return float(gammaincc(freedom / 2, statistic / 2))
