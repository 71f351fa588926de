"""Unmixing with anchors that classes share: the closed form beside the updates that it replaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_predictions import noisy_predictions, transition_at

from dilution.diagnosis.anchors import unmix
from dilution.diagnosis.candidates import N_CANDIDATES, find_candidates
from dilution.diagnosis.pooled_anchors import OWN_ANCHOR_LABELS, _unmix_even, find_pooled_anchors


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), shared=st.floats(0.02, 0.9))
def test_the_closed_form_is_the_nearest_mixture(seed, shared):
    random = np.random.default_rng(seed)
    probs, background = random.dirichlet(np.full(8, 0.3), size=5), random.dirichlet(np.full(8, 5.0))
    probs = np.maximum(probs, 1e-9)
    probs /= probs.sum(axis=1, keepdims=True)
    unmixed = _unmix_even(probs, np.tile(background, (5, 1)), np.full(5, shared))
    np.testing.assert_allclose(unmixed.sum(axis=1), 1)
    assert (unmixed >= 0).all()
    anchors = (1 - shared) * np.eye(8) + shared * background

    def divergence(q):
        return (probs * np.log(probs / (q @ anchors))).sum(axis=1)

    assert (divergence(unmixed) <= divergence(unmix(probs, anchors)) + 1e-9).all()
    # At the optimum no class could gain (Karush, Kuhn and Tucker).
    gains = (probs / (unmixed @ anchors)) @ anchors.T
    assert gains.max() <= 1 + 1e-6


def test_candidates_have_the_label_first_and_the_verified_class_among_them():
    predictions, true = noisy_predictions(transition_at(0.5, classes=50), n=300)
    verified = np.where(np.arange(300) % 2 == 0, true, -1)
    candidates = find_candidates(predictions.pred_probs, predictions.labels, verified)
    np.testing.assert_array_equal(candidates.classes[:, 0], predictions.labels)
    assert (candidates.classes[::2] == true[::2, None]).any(axis=1).all()
    assert all(len(set(row)) == N_CANDIDATES for row in candidates.classes)
    np.testing.assert_allclose(candidates.probs.sum(axis=1), 1)
    largest = np.sort(predictions.pred_probs, axis=1)[:, -(N_CANDIDATES - 2) :]
    assert (candidates.probs[:, :-1].sum(axis=1) >= largest.sum(axis=1) - 1e-9).all()


def test_a_class_with_few_labels_has_the_shared_anchor():
    transition = transition_at(0.3, classes=30)
    predictions, _ = noisy_predictions(transition, n=120, separation=5.0)
    rare = predictions.labels
    candidates = find_candidates(predictions.pred_probs, rare, predictions.verified)
    anchors, _ = find_pooled_anchors(predictions.pred_probs, candidates, rare, predictions.weights)
    counts = np.bincount(rare, minlength=30)
    np.testing.assert_array_equal(anchors.own >= 0, counts >= OWN_ANCHOR_LABELS)
    shared = anchors.spread[anchors.own < 0]
    assert len(set(shared)) == 1
    # s spreads over all classes, the right one too.
    assert shared[0] * (1 - 1 / 30) == pytest.approx(0.3, abs=0.1)
    assert (anchors.own >= 0).any()
    assert anchors.background.sum() == pytest.approx(1)
