"""Unmixing predictions with anchor points."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from noisy_predictions import CLASSES, transition_at
from scipy.special import softmax

from dilution.diagnosis.anchors import unmix


@given(st.integers(0, 2**16), st.floats(0, 0.6))
@example(0, 0.6)  # where the steps approach the predictions most slowly
@settings(max_examples=20, deadline=None)
def test_unmixing_gives_distributions_that_mix_to_the_predictions(seed, noise_rate):
    true_probs = softmax(np.random.default_rng(seed).normal(size=(20, CLASSES)), axis=1)
    transition = transition_at(noise_rate)
    pred_probs = true_probs @ transition
    unmixed = unmix(pred_probs, transition)
    np.testing.assert_allclose(unmixed.sum(axis=1), 1, atol=1e-6)
    assert (unmixed >= 0).all()
    error = np.abs(unmixed @ transition - pred_probs).max()
    assert error <= np.abs(pred_probs @ transition - pred_probs).max() / 3 + 1e-9
