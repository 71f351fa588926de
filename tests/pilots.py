"""Pilots of a world in which theory holds: n clean examples count as n/(1 + alpha)."""

import math

import numpy as np
from scipy.special import expit


def true_accuracy(n, alpha):
    return expit(-6 + 1.2 * np.log(n / (1 + alpha)))


def true_n(accuracy, alpha):
    return math.exp((math.log(accuracy / (1 - accuracy)) + 6) / 1.2) * (1 + alpha)


def simulated_pilot(seed=0, scatter=0.05, largest=4000, alphas=(0.0, 2.0, 5.0, 10.0)):
    """Return n, alpha and measured accuracy of the runs of a pilot."""
    random = np.random.default_rng(seed)
    sizes = largest / 2.0 ** np.arange(5)
    n, alpha = (axis.ravel() for axis in np.meshgrid(np.repeat(sizes, 2), alphas))
    accuracy = true_accuracy(n, alpha)
    measured = expit(np.log(accuracy / (1 - accuracy)) + random.normal(size=n.shape) * scatter)
    return n, alpha, measured
