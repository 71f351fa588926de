"""Noise fits to samples of the examples, searched from the fit to all of them along its curvature.

A sample moves the most likely parameters by about their standard error, in directions that differ in it by
orders of magnitude: an entry of T that few labels speak about moves far, β hardly. Scaled by the information
of the fit to all examples, all directions are alike, and the search takes half as many steps and ends nearer
to the optimum (docs/log.md).
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

MAX_CLASSES = 50
"""Largest number of classes whose information is computed: it is a matrix of classes⁴ numbers."""

_RIDGE = 1e-4  # of the largest variance of a gradient: labels say nothing about some directions
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-8  # of the loss in nats, per step


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
        self._scale: Floats | None = None
        if predictions.classes <= MAX_CLASSES:
            information = likelihood(predictions, self._log_unmixed).information(self._start)
            diagonal = np.einsum("ii->i", information)
            diagonal += _RIDGE * diagonal.max()
            root = cholesky(information, lower=True)
            self._scale = solve_triangular(root.T, np.eye(len(root)), lower=False)

    def fit(self, weights: Floats) -> NoiseFit:
        """Return the fit to a sample that contains each example as often as its weight says.

        Parameters
        ----------
        weights
            Weight of each example, float64, shape (n,), in place of those of the predictions.
        """
        sample = replace(self._predictions, weights=weights)
        if self._scale is None:
            return maximise_likelihood(sample, self._log_unmixed, self._fit)
        loss, scale, start = likelihood(sample, self._log_unmixed), self._scale, self._start

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
        calibration = slice(0, self._predictions.classes)  # β and b; logits of T may be any numbers
        low, high = np.array(loss.bounds)[calibration].T
        if ((parameters[calibration] < low) | (parameters[calibration] > high)).any():
            return maximise_likelihood(sample, self._log_unmixed, self._fit)
        return fit_with(loss, parameters, self._fit.anchors, self._log_unmixed)
