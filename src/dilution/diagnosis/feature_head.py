"""Held-out predictions from features of a frozen network: logistic regression, fitted in seconds.

Features of some hundred images are more numerous than the images, so a regression on them makes errors of its
own, which the noise fit counts as wrong labels. How many is measured: noise like the estimated one is planted
on the estimated true labels, and the whole estimate is repeated, where the answer is known.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dilution.data import Arrays
from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.cross_validation import (
    CrossValidation,
    check_folds,
    mean_probs,
    split_folds,
)
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit, fit_noise
from dilution.utils import rng
from dilution.utils.blas_threads import one_thread
from dilution.utils.estimate import Estimate
from dilution.utils.stage_log import track

HEAD = "logistic regression"
PLANTED = 8
"""How often noise is planted to measure the errors of the models."""
PENALTIES = (1.0, 3.0, 10.0, 30.0)
"""Values of C that are tried: under much noise a small one is best, because others memorise wrong labels."""

_MAX_ITERATIONS = 200
_TOLERANCE = 1e-3
_MIN_PROB = 1e-9
_RANK_TOLERANCE = 1e-8  # of the largest eigenvalue; directions below carry rounding errors


class _Split(NamedTuple):
    train_rows: Ints
    held_out_rows: Ints
    train: Floats  # coordinates of the training examples along their principal directions
    held_out: Floats


@dataclass(frozen=True)
class FeaturePredictions:
    """Held-out predictions from features, which can be repeated with other labels.

    Parameters
    ----------
    cross_validation
        The predictions.
    penalty
        The C that was chosen.
    """

    cross_validation: CrossValidation
    penalty: float
    _head: "_Head"

    def excess(
        self, fit: NoiseFit, labels: Ints, seed: int, log: Callable[[str], None] = lambda _: None
    ) -> Estimate | None:
        """Return by how much the noise fit overestimates noise like the estimated one, with its spread.

        Parameters
        ----------
        fit
            The noise fit to these predictions.
        labels
            The noisy labels, int64, shape (n,).
        seed
            Root seed of the planted noise.
        log
            Called with lines about the progress.

        Returns
        -------
        Estimate or None
            The mean of the errors, minus and plus their standard deviation; None if planted noise seldom had
            labels of all classes.
        """
        random = np.random.default_rng(rng.stream(seed, "planted noise") & (2**63 - 1))
        posterior, errors = fit.posterior(labels), list[float]()
        for _ in track(range(PLANTED), PLANTED):
            true = _draw(posterior, random)
            planted = _draw(fit.transition[true], random)
            if len(np.unique(planted)) < posterior.shape[1]:
                continue
            pred_probs = self._head.predict(planted, self.penalty, repeats=1)
            unknown = np.full(len(planted), -1)
            repeated = fit_noise(HeldOutPredictions(pred_probs, planted, unknown, np.ones(len(planted))))
            errors.append(repeated.noise_rate - float((planted != true).mean()))
        if len(errors) < PLANTED // 2:
            return None
        mean, deviation = float(np.mean(errors)), float(np.std(errors, ddof=1))
        log(f"errors of the models add about {100 * mean:.1f} percentage points to the noise rate")
        return Estimate(mean, mean - deviation, mean + deviation)


def predict_from_features(
    features: NDArray[np.float32],
    data: Arrays,
    name: str,
    *,
    folds: int,
    repeats: int,
    seed: int,
    log: Callable[[str], None] = lambda _: None,
) -> FeaturePredictions:
    """Predict each example by regressions that were fitted to the noisy labels of the other folds.

    Parameters
    ----------
    features
        Shape (n, d).
    data
        The examples; `labels` are the noisy ones. Examples of one group are in one fold.
    name
        Name of the features, for the result.
    folds, repeats, seed
        As for :func:`dilution.diagnosis.cross_validation.cross_validate`.
    log
        Called with lines about the progress.

    Raises
    ------
    InputError
        If there are too few examples or groups for the folds.
    """
    groups = None if data.split_groups is None else data.split_groups.numpy()
    check_folds(data, groups, folds)
    labels, classes = data.labels.numpy(), len(data.classes)
    head = _Head(features, labels, groups, classes, folds, repeats, seed)
    rows = np.arange(len(labels))
    losses: dict[float, float] = {}
    for penalty in track(PENALTIES, len(PENALTIES)):
        pred_probs = head.predict(labels, penalty, repeats=1)
        losses[penalty] = -float(np.log(pred_probs[rows, labels]).mean())
    best = min(losses, key=losses.__getitem__)
    tried = ", ".join(f"{loss:.4f} at C = {penalty:g}" for penalty, loss in losses.items())
    log(f"selected C = {best:g} of {HEAD} on {name}; cross entropy of held-out labels: {tried}")
    pred_probs = head.predict(labels, best, repeats=repeats)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    cross_validation = CrossValidation(
        pred_probs,
        f"{HEAD} on {name}",
        folds * repeats,
        0,
        -float(np.log(pred_probs[rows, labels]).mean()),
        -float(np.log(shares[labels]).mean()),
    )
    return FeaturePredictions(cross_validation, best, head)


class _Head:
    """Logistic regressions on the folds of a data set; the geometry of the features is computed once."""

    def __init__(
        self,
        features: NDArray[np.float32],
        labels: Ints,
        groups: Ints | None,
        classes: int,
        folds: int,
        repeats: int,
        seed: int,
    ) -> None:
        self._classes, self._n, self._folds = classes, len(labels), folds
        values = _scaled(features)
        with one_thread():
            self._splits = [
                _split(
                    values, np.concatenate([part for k, part in enumerate(parts) if k != number]), held_out
                )
                for repeat in range(repeats)
                for parts in [split_folds(len(labels), groups, folds, seed, repeat, labels)]
                for number, held_out in enumerate(parts)
            ]

    def predict(self, labels: Ints, penalty: float, *, repeats: int) -> Floats:
        """Return held-out probabilities, the geometric mean over repeats: shape (n, classes)."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        log_probs = np.zeros((self._n, self._classes))
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore", ConvergenceWarning)  # predictions are compared, not coefficients
            for split in self._splits[: repeats * self._folds]:
                model = LogisticRegression(C=penalty, max_iter=_MAX_ITERATIONS, tol=_TOLERANCE)
                model.fit(split.train, labels[split.train_rows])
                probs = np.zeros((len(split.held_out_rows), self._classes))
                probs[:, model.classes_] = model.predict_proba(split.held_out)
                log_probs[split.held_out_rows] += np.log(probs + _MIN_PROB)
        return mean_probs(log_probs, repeats)


def _scaled(features: NDArray[np.float32]) -> Floats:
    """Return features as float64, rows of length 1; of features that are never negative the square roots.

    Activations behind a ReLU have few large values, which would dominate; square roots even them out.
    """
    values: Floats = features.astype(np.float64)
    if values.min() >= 0:
        values = np.sqrt(values)
    scaled: Floats = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return scaled


def _split(values: Floats, train_rows: Ints, held_out_rows: Ints) -> _Split:
    """Return a fold in coordinates along the principal directions of its training examples.

    A regression with an L2 penalty is the same in these coordinates, which are at most as many as examples.
    """
    centre = values[train_rows].mean(axis=0)
    train, held_out = values[train_rows] - centre, values[held_out_rows] - centre
    scale = np.sqrt((train**2).sum(axis=1).mean()) or 1.0
    train, held_out = train / scale, held_out / scale
    if len(train_rows) >= values.shape[1]:
        return _Split(train_rows, held_out_rows, train, held_out)
    eigenvalues, vectors = np.linalg.eigh(train @ train.T)
    kept = eigenvalues > _RANK_TOLERANCE * max(float(eigenvalues[-1]), 1e-12)
    lengths, vectors = np.sqrt(eigenvalues[kept]), vectors[:, kept]
    return _Split(train_rows, held_out_rows, vectors * lengths, held_out @ train.T @ vectors / lengths)


def _draw(probs: Floats, random: np.random.Generator) -> Ints:
    """Return one class per row of probabilities, int64, shape (n,)."""
    thresholds = random.random(len(probs))[:, None] * probs.sum(axis=1, keepdims=True)
    drawn: Ints = np.minimum((probs.cumsum(axis=1) < thresholds).sum(axis=1), probs.shape[1] - 1)
    return drawn
