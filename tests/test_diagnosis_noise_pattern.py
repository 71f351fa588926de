"""The pattern of the noise: uniform, structured or concentrated."""

import numpy as np
import pytest
from noisy_predictions import noisy_predictions, transition_at

from dilution.diagnosis.bootstrap import bootstrap
from dilution.diagnosis.noise_fit import fit_noise
from dilution.diagnosis.noise_pattern import estimate_noise_pattern
from dilution.noise import structured, uniform


def pattern_of(transition, n, samples):
    predictions, _ = noisy_predictions(transition, n=n)
    fit = fit_noise(predictions)
    return estimate_noise_pattern(fit, bootstrap(predictions, fit, samples=samples))


@pytest.mark.parametrize(
    ("noise", "kind"), [(uniform(), "uniform"), (structured(0.3), "structured")], ids=["uniform", "δ 0.3"]
)
def test_uniform_and_structured_noise_are_recognised(noise, kind):
    pattern = pattern_of(transition_at(0.5, noise, classes=5), n=2000, samples=10)
    assert pattern.kind == kind
    delta = 0.0 if kind == "uniform" else 0.3
    assert pattern.delta.low - 0.1 <= delta <= pattern.delta.high + 0.1


def test_noise_on_one_wrong_class_per_class_is_concentrated():
    transition = 0.7 * np.eye(4) + 0.3 * np.roll(np.eye(4), 1, axis=1)
    pattern = pattern_of(transition, n=1500, samples=5)
    assert pattern.kind == "concentrated"
    assert pattern.top_share > 0.9


def test_with_two_classes_noise_has_no_pattern():
    assert pattern_of(transition_at(0.2, classes=2), n=500, samples=2).kind == "undecided"


@pytest.mark.parametrize("seed", range(4))
def test_the_most_frequent_wrong_label_has_at_least_an_even_share(seed):
    predictions, _ = noisy_predictions(transition_at(0.2, classes=7), n=300, seed=seed)
    fit = fit_noise(predictions)
    assert estimate_noise_pattern(fit, bootstrap(predictions, fit, samples=10)).top_share >= 1 / 6
