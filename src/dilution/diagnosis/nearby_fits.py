"""Noise fits to samples of the examples, searched from the fit to all of them along its curvature.

A sample moves the most likely parameters by about their standard error, in directions that differ in it by
orders of magnitude: an entry of T that few labels speak about moves far, β hardly. Scaled by the information
of the fit to all examples, all directions are alike, and the search ends nearer to the optimum; on the cases
of docs/log.md it takes half as many steps.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from dilution.diagnosis.anchors import Floats
from dilution.diagnosis.noise_fit import (
    HeldOutPredictions,
    NoiseFit,
    fit_with,
    likelihood,
    maximise_likelihood,
    parameters_of,
)

MAX_CLASSES = 30
"""Largest number of classes whose information is computed: it has classes⁴ numbers, and from about 40 classes
the products with it take longer than the steps that they save."""

_RIDGE = 1e-4  # of the largest variance of a gradient: labels say nothing about some directions
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-8  # of the loss in nats, per step
_LOGIT_BOUND = 20.0  # below the largest of its row: an entry of T of 0 could never be doubted


class NearbyFits:
    """Finds the most likely noise fits to samples of the examples.

    Parameters
    ----------
    predictions
        Predictions and labels of all examples, with their weights.
    fit
        The fit to all of them; its anchors are kept.
    """

    def __init__(self, predictions: HeldOutPredictions, fit: NoiseFit) -> None:
        self._predictions, self._fit = predictions, fit
        self._log_unmixed = predictions.log_unmixed(fit.anchors)
        self._start = parameters_of(fit)
        self._scale = self._scale_of_fit() if predictions.classes <= MAX_CLASSES else None

    def _scale_of_fit(self) -> Floats:
        """Return L with L Lᵀ the inverse of the information, with its ridge, shape (P, P)."""
        information = likelihood(self._predictions, self._log_unmixed).information(self._start)
        diagonal = np.einsum("ii->i", information)
        diagonal += _RIDGE * diagonal.max()
        root = cholesky(information, lower=True)
        scale: Floats = solve_triangular(root.T, np.eye(len(root)), lower=False)
        return scale

    def fit(self, weights: Floats) -> NoiseFit:
        """Return the fit to a sample that contains each example as often as its weight says.

        Parameters
        ----------
        weights
            Weight of each example, float64, shape (n,), in place of those of the predictions.
        """
        sample = replace(self._predictions, weights=weights)
        if self._scale is not None and (fit := self._search(sample, self._scale)) is not None:
            return fit
        return maximise_likelihood(sample, self._log_unmixed, self._fit)

    def _search(self, sample: HeldOutPredictions, scale: Floats) -> NoiseFit | None:
        """Return the fit to a sample; None if its calibration lies out of bounds."""
        loss, start = likelihood(sample, self._log_unmixed), self._start

        def scaled(step: Floats) -> tuple[float, Floats]:
            value, gradient = loss(start + scale @ step)
            return value, gradient @ scale

        best = minimize(
            scaled,
            np.zeros(len(start)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "maxfun": 2 * _MAX_ITERATIONS, "ftol": _TOLERANCE},
        )
        parameters = start + scale @ best.x
        m = self._predictions.classes
        low, high = np.array(loss.bounds)[:m].T  # of β and b
        if not ((parameters[:m] >= low) & (parameters[:m] <= high)).all():
            return None
        logits = parameters[m:].reshape(m, m)  # T depends on their differences within a row alone
        np.maximum(logits, logits.max(axis=1, keepdims=True) - _LOGIT_BOUND, out=logits)
        return fit_with(loss, parameters, self._fit.anchors, self._log_unmixed)
